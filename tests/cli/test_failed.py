"""`failed`: what failed and why, and trying it again."""

import json

import pytest
from faultserver import FaultServer, Reply

from celeryctl.local import generate
from celeryctl.storage.database import session
from celeryctl.storage.ledger import Miss
from celeryctl.storage.letters import DeadLetter, write

from .commandline import Run, assert_refused

pytestmark = pytest.mark.integration
GOOD = [generate.user(number, 0) for number in (1, 2)]
BAD = [GOOD[0], {**GOOD[1], "name": None, "username": "\x1b[2J[red]"}]


@pytest.fixture
def rejected(run: Run, source: FaultServer) -> FaultServer:
    """Two users, of whom one was rejected."""
    source.answer("/users", lambda asked: Reply.json(BAD if asked.query.get("_page", "1") == "1" else []))
    assert run("fetch", "users", "--sync").code == 3
    return source


def test_where_nothing_has_failed_it_says_so(run: Run, database: str) -> None:
    assert run("failed").out == "Nothing has failed.\n\nNext: celeryctl stats\n"
    assert json.loads(run("failed", "--json").out) == {"schema": 1, "total": 0, "failures": [], "dead_letters": []}
    assert "nothing to be tried again" in run("failed", "--retry", "--all").out


def test_what_was_rejected_is_listed_with_its_reasons(run: Run, rejected: FaultServer) -> None:
    said = run("failed")
    assert said.code == 0
    for part in ("users/2", "rejected", "name is missing or empty", "in 5", "celeryctl failed --retry --all"):
        assert part in said.out, said.out
    (one,) = json.loads(run("failed", "users", "--json").out)["failures"]
    assert (one["id"], one["outcome"], one["attempts"], one["user_id"]) == ("users/2", "rejected", 1, None)
    assert run("failed", "credit-cards").out.startswith("Nothing has failed.")
    assert "users/2" in run("failed", "all").out


def test_what_a_source_wrote_moves_no_cursor(run: Run, rejected: FaultServer) -> None:
    with session():
        Miss.insert(dataset="users", key="\x1b[2J", outcome="failed", reasons=["\x1b[1m[red]"]).execute()
    out = run("failed").out
    assert "\x1b" not in out
    assert "[red]" in out


def test_of_many_only_some_are_listed(run: Run, database: str) -> None:
    with session():
        Miss.insert_many([
            {"dataset": "users", "key": str(n), "outcome": "failed", "reasons": ["no"]} for n in range(30)
        ]).execute()  # fmt: skip
    assert "… and 10 more: --limit" in run("failed").out
    assert "more" not in run("failed", "-n", "30").out


def test_messages_that_were_none_are_listed_too(run: Run, database: str) -> None:
    write(database, [DeadLetter("it is no JSON", "", "", "", 7)], worker="w@h")
    assert "it is no JSON" in run("failed").out
    (letter,) = json.loads(run("failed", "--json").out)["dead_letters"]
    assert (letter["worker"], letter["reason"], letter["size"]) == ("w@h", "it is no JSON", 7)


def test_without_a_cluster_the_next_fetch_asks_again(run: Run, rejected: FaultServer) -> None:
    with session():
        Miss.update(next_try=None).execute()
    said = run("failed", "--retry", "users/2", "--json")
    assert (said.code, json.loads(said.out)) == (0, {"schema": 1, "stored": 0, "asked": {"users": 1}, "runs": []})
    rejected.answer("/users", lambda asked: Reply.json(GOOD if asked.query.get("_page", "1") == "1" else []))
    assert run("fetch", "users", "--sync").code == 0
    assert run("failed").out.startswith("Nothing has failed.")


def test_what_was_kept_is_stored_when_it_is_good_by_now(run: Run, rejected: FaultServer) -> None:
    with session():
        Miss.update(payload=GOOD[1]).execute()
    assert "1 stored from what was kept" in run("failed", "--retry", "--all").out
    assert "Ervin Howell" in run("users", "list").out


def test_a_run_that_is_partial_leads_to_it(run: Run, rejected: FaultServer) -> None:
    (one,) = json.loads(run("runs", "--json").out)["runs"]
    assert json.loads(run("why", one["id"], "--json").out)["next"] == "celeryctl failed users"


@pytest.mark.parametrize(("words", "code", "told"), [
    (["--all"], 2, "--all goes with --retry"),
    (["--retry"], 2, "--retry takes ids, or --all"),
    (["--retry", "users"], 2, "--retry takes ids, or --all"),
    (["--retry", "users/7"], 1, "there is no failure users/7"),
    (["users", "addresses"], 2, "one data set"),
    (["nobody"], 2, "no data set 'nobody'"),
    (["users/7"], 2, "no data set 'users/7'"),
    (["--limit", "0"], 2, "--limit"),
])  # fmt: skip
def test_what_makes_no_sense_is_refused(run: Run, database: str, words: list[str], code: int, told: str) -> None:
    assert_refused(run("failed", *words), code, told)
