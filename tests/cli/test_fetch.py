import _thread
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from faultserver import FaultServer, Reply

from celeryctl.local import generate
from celeryctl.storage.database import database, session
from celeryctl.storage.ledger import Run as LedgerRun

from .commandline import Run, assert_refused

pytestmark = pytest.mark.integration

RUN = {"id", "dataset", "trigger", "status", "created", "updated", "unchanged", "rejected", "requests", "retries",
       "seconds", "error"}  # fmt: skip


def told(run: Run, *arguments: str, code: int = 0) -> list[dict[str, object]]:
    said = run("fetch", *arguments, "--json")
    assert said.code == code, said
    document = json.loads(said.out)
    assert document["schema"] == 1
    assert all(set(one) >= RUN for one in document["runs"])
    return document["runs"]


def test_all_goes_in_order_and_a_second_time_changes_nothing(run: Run, source: FaultServer) -> None:
    first = told(run, "all", "--sync")
    assert [one["dataset"] for one in first] == ["users", "addresses", "credit_cards"]
    assert {(one["status"], one["created"], one["trigger"], one["error"]) for one in first} == {
        ("succeeded", 10, "command", None)
    }
    assert sum(int(str(one["requests"])) for one in first) == len(source.requests)
    second = told(run, "all", "--sync")
    assert [one["created"] for one in second] == [0, 0, 0]
    assert second[0]["unchanged"] == 10


@pytest.mark.parametrize("dataset", ["addresses", "credit-cards", "credit_cards"])
def test_refresh_asks_again_and_without_it_nobody_is_asked(run: Run, source: FaultServer, dataset: str) -> None:
    told(run, "users", "--sync")
    assert told(run, dataset, "--sync")[0]["created"] == 10
    asked = len(source.requests)
    assert told(run, dataset, "--sync")[0]["requests"] == 0
    assert len(source.requests) == asked
    again = told(run, dataset, "--sync", "--refresh")[0]
    assert int(str(again["updated"])) + int(str(again["unchanged"])) == 10
    assert len(source.requests) > asked


def test_limit_counts_records(run: Run, source: FaultServer) -> None:
    assert told(run, "users", "--sync", "--limit", "4")[0]["created"] == 4
    assert told(run, "addresses", "--sync", "--limit", "3")[0]["created"] == 3


def test_a_limit_beyond_what_the_database_counts_is_refused(run: Run, source: FaultServer) -> None:
    assert_refused(run("fetch", "users", "--sync", "--limit", str(2**63)), 2, "--limit")


@pytest.mark.parametrize("dataset", ["users", "all"])
def test_a_dry_run_asks_no_source_opens_no_run_and_creates_nothing(
    run: Run, source: FaultServer, dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = run("fetch", dataset, "--dry-run", "--json")
    intents = json.loads(said.out)["dry_run"]
    assert (said.code, intents[0]["dataset"], intents[0]["url"]) == (0, "users", f"{source.url}/users")
    assert run("fetch", dataset, "--dry-run").code == 0
    assert source.requests == []
    monkeypatch.delenv("CARD_ENCRYPTION_KEYS")
    assert run("fetch", dataset, "--dry-run").code == 0
    assert list(tmp_path.iterdir()) == []
    assert json.loads(run("stats", "--json").out)["datasets"][0]["last_run"] is None


def test_a_dry_run_does_not_show_what_a_url_hides(run: Run, monkeypatch: pytest.MonkeyPatch, database: str) -> None:
    monkeypatch.setenv("USERS_URL", "https://h.example/users?api_key=s3cret")
    for words in ([], ["--json"]):
        said = run("fetch", "users", "--dry-run", *words)
        assert (said.code, "api_key=****" in said.out, "s3cret" in said.out) == (0, True, False)


def test_a_bad_record_makes_the_run_partial(run: Run, source: FaultServer) -> None:
    source.answer("/users", Reply.json([generate.user(1, 0), {"id": 2}]))
    found = told(run, "users", "--sync", code=3)[0]
    assert (found["status"], found["created"], found["rejected"]) == ("partial", 1, 1)


def test_a_source_that_is_away_ends_with_69_and_its_reason(run: Run, source: FaultServer) -> None:
    source.answer("/users", Reply.text("\x1b[2Jbroken", 503))
    found = told(run, "users", "--sync", code=69)[0]
    assert (found["status"], "503" in str(found["error"])) == ("failed", True)
    said = run("fetch", "users", "--sync", "-q")
    assert (said.code, [line[:6] for line in said.err.splitlines()]) == (69, ["Error:", "  why:", "  fix:"])
    assert "503" in said.err
    assert "fix: celeryctl fetch users " in said.err
    assert "\x1b" not in said.out + said.err


def test_off_a_terminal_progress_is_lines_on_stderr_and_quiet_says_nothing(run: Run, source: FaultServer) -> None:
    said = run("fetch", "users", "--sync")
    assert "users: succeeded, 10" in said.err
    assert "\x1b" not in said.err
    assert said.out.splitlines()[0].split()[:2] == ["data", "set"]
    assert run("fetch", "users", "--sync", "-q").err == ""


def interrupted(make: Callable[[int, int], Any]) -> Callable[[Any], Reply]:
    """Somebody presses Ctrl-C while the source answers, well, as always."""

    def answer(asked: Any) -> Reply:
        _thread.interrupt_main()
        return Reply.json([make(number, 0) for number in range(1, int(asked.query.get("size", 1)) + 1)])

    return answer


@pytest.fixture
def picky(source: FaultServer) -> Iterator[FaultServer]:
    """A database that refuses one user, and says why with the whole row."""
    with session():
        database.execute_sql("ALTER TABLE users ADD CONSTRAINT picky CHECK (username <> 'Bret')")
    yield source
    with session():
        database.execute_sql("ALTER TABLE users DROP CONSTRAINT picky")


@pytest.mark.parametrize("loud", [(), ("-vv", "--debug")], ids=["quiet", "debug"])
def test_the_row_that_the_database_refuses_is_told_nowhere(
    run: Run, picky: FaultServer, database_url: str, loud: tuple[str, ...]
) -> None:
    insert = "INSERT INTO users (external_id, name, username, email) VALUES (1, 'n', 'Bret', 'Sincere@april.biz')"
    with (
        closing(psycopg2.connect(database_url)) as other,
        other.cursor() as cursor,
        pytest.raises(psycopg2.errors.CheckViolation, match="Sincere"),
    ):
        cursor.execute(insert)
    said = [run(*words, *loud) for words in (("fetch", "users", "--sync"), ("failed",), ("runs",), ("seed", "-q"))]
    assert (said[0].code, said[1].out.count("users/page 1"), said[3].code) == (3, 1, 1)
    text = "".join(one.out + one.err for one in said)
    assert 'violates check constraint "picky"' in said[3].err
    assert not [part for part in ("Sincere", "Bret", "Failing row", "DETAIL") if part in text]


def test_an_interrupt_finishes_the_batch_and_cancels_the_run(
    run: Run, source: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(run, "users", "--sync")
    monkeypatch.setenv("BATCH_SIZE", "2")
    source.answer("/ADDRESSES", interrupted(generate.address))
    said = run("fetch", "addresses", "--sync")
    assert said.code == 130
    assert (
        "Finishing the batch under way, whose requests take 120 s each at most; Ctrl-C again stops at once" in said.err
    )
    assert "Cancelled; what was stored until now stays" in said.err
    (found,) = json.loads(run("runs", "--dataset", "addresses", "--json").out)["runs"]
    assert (found["status"], found["created"]) == ("cancelled", 2)


def test_an_interrupt_leaves_none_of_the_runs_that_were_to_follow(
    run: Run, source: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATCH_SIZE", "2")
    source.answer("/ADDRESSES", interrupted(generate.address))
    assert run("fetch", "all", "--sync").code == 130
    last = {one["name"]: one["last_run"]["status"] for one in json.loads(run("stats", "--json").out)["datasets"]}
    assert last == {"users": "succeeded", "addresses": "cancelled", "credit_cards": "cancelled"}


def test_without_a_broker_sync_keeps_the_rate_by_itself(
    run: Run, source: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://:s3cret@127.0.0.1:1")
    monkeypatch.setenv("ADDRESSES_RATE_LIMIT", "1000/s")
    said = run("fetch", "all", "--sync", "--json")
    assert (said.code, [one["created"] for one in json.loads(said.out)["runs"]]) == (0, [10, 10, 10])
    assert said.err.startswith("The broker does not answer: rate limits are kept within this process\n")


def test_nothing_is_folded_where_nobody_looks(run: Run, source: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS")
    url = f"{source.url}/users?{'x' * 200}"
    monkeypatch.setenv("USERS_URL", url)
    assert url in run("fetch", "users", "--dry-run").out


@pytest.mark.parametrize("words", [["--refresh"], ["--limit", "2"]])
def test_a_running_run_that_differs_is_named_and_left_alone(run: Run, source: FaultServer, words: list[str]) -> None:
    from celeryctl.pipeline import orders
    from celeryctl.pipeline.context import Context

    context = Context.read({})
    context.connect()
    opened = orders.place(context.pipeline(), orders.order(context.datasets, "users", trigger="command"))
    assert_refused(run("fetch", "all", "--sync", *words), 1, str(opened.run.id)[:8])
    context.connect()
    assert LedgerRun.get_by_id(opened.run.id).followers == []
    assert told(run, "users", "--sync")[0]["id"] == str(opened.run.id)


def test_without_a_worker_wait_ends_at_once_and_detach_prints_the_run(
    run: Run, source: FaultServer, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setenv("REDIS_URL", redis_url)
    for words in (["fetch", "users"], ["fetch", "all", "--wait"], ["run-tasks"]):
        assert_refused(run(*words), 69, "worker")
    queued = told(run, "users", "--detach")
    assert queued[0]["status"] == "running"
    assert str(queued[0]["id"])[:8] in run("fetch", "users", "--detach").out


def test_a_wait_that_takes_too_long_ends_with_4(
    run: Run, source: FaultServer, database: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setenv("REDIS_URL", redis_url)
    with psycopg2.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO workers (name, seen_at, active, concurrency, rss) VALUES ('w', now(), 0, 1, 1)")
    connection.close()
    said = run("fetch", "users", "--timeout", "0.2s", "-q")
    assert_refused(said, 4, "is not over yet")


@pytest.mark.parametrize(
    "words",
    [["--sync", "--wait"], ["--sync", "--detach"], ["--sync", "--timeout", "5s"], ["--dry-run", "--timeout", "5s"],
     ["--timeout", "soon"], ["--timeout", "0"], ["--timeout", "nan"], ["--timeout", "1e99"], ["--limit", "0"]],
    ids=" ".join,
)  # fmt: skip
def test_options_that_make_no_sense_are_refused(run: Run, words: list[str], tmp_path: Path) -> None:
    assert_refused(run("fetch", "users", *words), 2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", ["--sync", "--dry-run", "--detach"])
def test_an_unknown_data_set_is_answered_with_those_that_there_are(
    run: Run, source: FaultServer, mode: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setenv("REDIS_URL", redis_url)
    assert_refused(run("fetch", "loyalty", mode), 2, "loyalty", "users", "addresses", "credit")
