"""The commands that look at the ledger: runs, cancel, schedule, why, wait, prune, tail."""

import json
import socket

import pytest

from celeryctl.storage import pause
from celeryctl.storage.database import session, transaction
from celeryctl.storage.ledger import Batch, Miss
from celeryctl.storage.ledger import Run as LedgerRun

from .commandline import Run, assert_refused

pytestmark = pytest.mark.integration
FAILED = "abc00000-0000-4000-8000-000000000000"
RUNNING = "abd00000-0000-4000-8000-000000000000"


@pytest.fixture
def ledger(run: Run, database: str) -> str:
    """Three users with everything, a run that failed and one that goes on."""
    assert run("seed", "3").code == 0
    common = {"page_size": 1, "batch_size": 1, "trigger": "command"}
    with transaction():
        LedgerRun.insert(
            id=FAILED, dataset="addresses", status="failed", error="503 \x1b[2J", error_exit=69, retries=4,
            record_limit=7, refresh=True, finished_at="2030-01-01T00:00:00Z", **common,
        ).execute()  # fmt: skip
        LedgerRun.insert(id=RUNNING, dataset="users", followers=["addresses"], parent=FAILED, **common).execute()
    return database


def test_runs_are_listed_newest_first_and_one_in_full(run: Run, ledger: str) -> None:
    listed = run("runs")
    assert listed.code == 0
    assert [line.split()[0] for line in listed.out.splitlines()[1:3]] in (
        ["abc00000", "abd00000"],
        ["abd00000", "abc00000"],
    )
    assert "Next: celeryctl runs abc00000" in listed.out
    one = run("runs", "abc0000").out
    for part in (FAILED, "failed", "503", "command --limit 7 --refresh", "4 tries beyond the first", "opened",
                 "abd00000", "Next: celeryctl why abc00000"):  # fmt: skip
        assert part in one, part
    assert "\x1b" not in one
    other = run("runs", "abd0000").out
    for part in ("running", "after run abc00000", "then", "addresses", "Next: celeryctl tail abd00000"):
        assert part in other, part


def test_runs_are_chosen_by_data_set_and_outcome(run: Run, ledger: str) -> None:
    def ids(*words: str) -> list[str]:
        return [one["id"] for one in json.loads(run("runs", "--json", *words).out)["runs"]]

    assert ids("--status", "failed") == [FAILED]
    assert ids("--dataset", "users", "--limit", "1") == [RUNNING]
    assert len(ids("--dataset", "credit-cards")) == 1
    assert ids("abc0000") == [FAILED]


def test_without_any_run_the_next_command_is_told(run: Run, database: str) -> None:
    said = run("runs")
    assert (said.code, said.out.splitlines()) == (0, ["No run is known.", "Next: celeryctl fetch all"])


@pytest.mark.parametrize(("words", "code", "told"), [
    (["runs", "fff"], 1, "there is no run fff"),
    (["runs", "ab"], 2, "several runs begin with ab"),
    (["runs", "xyz"], 2, "is not the id of a run"),
    (["runs", "abc0000", "--status", "failed"], 2, "does not go with"),
    (["runs", "--dataset", "user"], 2, "there is no data set 'user'"),
    (["runs", "--limit", "0"], 2, "--limit"),
    (["cancel", "fff"], 1, "there is no run fff"),
    (["cancel", "ab"], 2, "several runs begin with ab"),
    (["cancel", "abc0000"], 1, "it is over: failed"),
    (["cancel"], 2, "Missing argument"),
    (["why", "77"], 1, "there is no user 77"),
    (["why", "abf"], 1, "no user, run or open task is called abf"),
    (["why", "77", "--external"], 1, "there is no user 77"),
    (["why", "x y"], 1, "there is no user"),
    (["schedule", "pause", "nobody"], 2, "there is no data set 'nobody'"),
    (["schedule", "stop"], 2, "stop"),
    (["schedule", "--json", "pause", "users"], 2, "--json stands after pause"),
    (["schedule", "-q", "pause", "users"], 2, "--quiet stands after pause"),
    (["prune"], 2, "--older-than"),
    (["prune", "--older-than", "yesterday"], 2, "no duration"),
    (["wait"], 2, "--for"),
    (["wait", "--for", "queue"], 2, "it breaks off"),
    (["wait", "--for", "running=1", "--timeout", "0"], 2, "no duration"),
    (["tail", "ab"], 2, "several runs begin with ab"),
    (["tail", "--since", "-3s"], 2, "no duration"),
    (["tail", "-n", "99999999999999999999"], 2, "-n"),
    (["stats", "--interval", "1s"], 2, "--interval goes with --watch only"),
    (["stats", "--watch", "--interval", "never"], 2, "no duration"),
])  # fmt: skip
def test_what_makes_no_sense_is_refused_in_three_lines(
    run: Run, ledger: str, words: list[str], code: int, told: str
) -> None:
    assert_refused(run(*words), code, told)


def test_cancel_stops_a_run_and_what_was_to_follow_it_and_says_how_to_go_on(run: Run, ledger: str) -> None:
    with transaction():
        Batch.insert(run=RUNNING, lo=1, hi=1, due="2030-01-01T00:00:00Z").execute()
    said = run("cancel", "abd0000")
    assert said.code == 0
    assert "cancelled" in said.out
    assert "Next: celeryctl fetch users" in said.out
    with session():
        assert not Batch.select().exists()
    (known,) = json.loads(run("runs", "--json", "--status", "cancelled").out)["runs"]
    assert (known["id"], known["followers"]) == (RUNNING, ["addresses"])
    assert json.loads(run("runs", "--json", "--status", "running").out)["runs"] == []
    assert_refused(run("cancel", "abd0000"), 1, "it is over: cancelled")


def test_cancel_as_json_is_the_run_as_runs_tells_it(run: Run, ledger: str) -> None:
    document = json.loads(run("cancel", RUNNING, "--json").out)
    assert document == json.loads(run("runs", RUNNING, "--json").out)
    assert [one["status"] for one in document["runs"]] == ["cancelled"]


def test_the_schedule_shows_what_is_paused_and_resumes_it(run: Run, ledger: str) -> None:
    said = run("schedule")
    assert said.code == 0
    assert [line.split()[0] for line in said.out.splitlines()[1:4]] == ["users", "addresses", "credit_cards"]
    assert "Next: celeryctl schedule run all" in said.out
    paused = run("schedule", "pause", "credit-cards")
    assert "paused" in paused.out
    assert "Next: celeryctl schedule resume credit-cards" in paused.out
    assert pause.paused() == {"credit_cards"}
    both = json.loads(run("schedule", "pause", "all", "--json").out)["schedule"]
    assert [(one["paused"], one["next_due"]) for one in both] == [(True, None)] * 3
    assert json.loads(run("stats", "--json").out)["datasets"][0]["paused"]
    resumed = json.loads(run("schedule", "resume", "all", "--json").out)["schedule"]
    assert [one["paused"] for one in resumed] == [False] * 3


def test_the_schedule_alone_takes_the_common_options(run: Run, ledger: str) -> None:
    plain = run("schedule")
    for word in ("-q", "-v", "--no-color", "--debug"):
        assert run("schedule", word) == plain
    assert run("schedule", "pause", "users", "-q").code == 0


def test_why_tells_a_user_and_a_run(run: Run, ledger: str) -> None:
    with session():
        Miss.insert(dataset="addresses", key="1", user=1, outcome="rejected", reasons=["\x1b[2J bad"]).execute()
    said = run("why", "1")
    assert said.code == 0
    assert said.out.startswith("user 1: lacks addresses\n")
    assert "addresses: rejected." in said.out
    assert "\x1b" not in said.out
    assert run("why", "2").out.startswith("user 2: complete\n")
    assert run("why", "2", "--external").out.startswith("user 2: complete\n")
    failed = run("why", "abc00")
    assert failed.out.startswith("run abc00000 of addresses: failed\n")
    assert "Next: celeryctl fetch addresses" in failed.out
    verdict = json.loads(run("why", "abc00", "--json").out)
    assert (verdict["state"], verdict["next"]) == ("failed", "celeryctl fetch addresses")


def test_wait_returns_as_soon_as_it_holds_or_when_the_time_is_over(run: Run, ledger: str) -> None:
    said = run("wait", "--for", "running=1 and missing.credit-cards=0", "--timeout", "5m")
    assert (said.code, said.out) == (0, "It holds: running is 1, missing.credit_cards is 0\n")
    late = run("wait", "--for", "running=0 or queue=0", "--timeout", "0.3s", "--interval", "0.1s")
    assert late.code == 4
    assert "why: running is 1, queue is not known" in late.err
    assert late.err.count("there is no broker") == 1
    assert json.loads(run("wait", "--for", "failed=1", "--json").out)["values"] == {"failed": 1}


def test_prune_says_what_goes_and_keeps_what_counts(run: Run, ledger: str) -> None:
    with transaction():
        LedgerRun.update(started_at="2020-01-01T00:00:00Z").where(LedgerRun.id == FAILED).execute()
        LedgerRun.update(finished_at="2020-01-01T00:00:01Z").where(LedgerRun.id == FAILED).execute()
    assert run("prune", "--older-than", "30d", "--dry-run").out == "would be deleted: 1 runs, 0 workers, 0 beats\n"
    assert json.loads(run("prune", "--older-than", "30d", "--json").out)["deleted"]["runs"] == 1
    assert run("prune", "--older-than", "30d").out == "deleted: 0 runs, 0 workers, 0 beats\n"
    assert run("prune", "--older-than", "0s").code == 0
    assert run("runs", "abd0000").code == 0


def test_the_tail_of_a_run_that_is_over_ends_at_once_with_its_exit_code(run: Run, ledger: str) -> None:
    said = run("tail", "abc0000")
    assert said.code == 69
    assert "run abc00000 failed: 0 new, 0 changed, 0 same, 0 rejected" in said.out
    assert "\x1b" not in said.out
    lines = [json.loads(line) for line in run("tail", "abc0000", "--json").out.splitlines()]
    assert {line["kind"] for line in lines} == {"run-opened", "run-ended"}
    assert run("tail", "abc0000", "-n", "0").out == ""


def test_a_server_that_is_silent_is_waited_for_no_longer_than_asked(
    run: Run, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        monkeypatch.setattr("celeryctl.cluster.queues.TIMEOUT", 60)
        assert_refused(run("wait", "--for", "queue=0", "--timeout", "0.5s"), 4, "neither answers nor refuses to")
