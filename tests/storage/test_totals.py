"""What was ever done, counted with what it counts."""

import threading

import pytest
from waiting import eventually

from celeryctl.errors import RefusedError, SourceUnreachableError
from celeryctl.storage import batches, runs, totals
from celeryctl.storage.database import session, transaction
from celeryctl.storage.misses import Missed
from celeryctl.storage.outcomes import Outcome

from .ledgerkit import PLACE, WORKS, drain, finish, order, overdue, people, sql, take

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def clean(database_url: str) -> None:
    """Every test has empty tables."""


def known(dataset: str = "addresses") -> totals.Totals:
    with session():
        return totals.read().get(dataset, totals.Totals())


def rows() -> dict[str, float]:
    return {outcome: count for outcome, count in known().counts("rows", totals.ROWS).items() if count}


def test_a_batch_counts_its_rows_and_requests_and_a_run_its_duration() -> None:
    users = people(3)
    (batch_id,) = order().batches
    sql("UPDATE runs SET started_at = started_at - interval '20 seconds'")
    finish(
        take(batch_id),
        Missed(str(users[0]), "rejected", ("no city",)),
        Missed(str(users[1]), "none"),
        timings=[("ok", 0.02), ("ok", 0.025), ("timeout", 31.5)],
    )
    assert rows() == {"created": 1, "rejected": 1}
    found = known()
    asked = {"ok": 2, "timeout": 1}
    assert found.counts("requests", totals.REQUESTS) == {**dict.fromkeys(totals.REQUESTS, 0), **asked}
    counts = dict(found.buckets("request_seconds", totals.REQUEST_SECONDS))
    assert (counts["0.01"], counts["0.025"], counts["30"], counts["120"], counts["+Inf"]) == (0, 2, 2, 3, 3)
    assert found.values["request_seconds", totals.SUM] == pytest.approx(31.545)
    counts = dict(found.buckets("run_seconds", totals.RUN_SECONDS))
    assert (counts["10"], counts["30"], counts["+Inf"]) == (0, 1, 1)
    assert 20 <= found.values["run_seconds", totals.SUM] < 30


def test_a_batch_that_is_done_twice_counts_once() -> None:
    people(3)
    late = take(order().batches[0])
    overdue()
    finish(take(late.id), timings=[("ok", 0.1)])
    before = known().values
    assert finish(late, timings=[("ok", 0.1)]) is None
    batches.fail(late, WORKS, Outcome(timings=[("timeout", 9)]), SourceUnreachableError("down"))
    assert known().values == before
    assert rows() == {"created": 3}


def test_what_the_database_refuses_counts_for_nothing() -> None:
    (user, *_) = people(3)
    claim = take(order().batches[0])
    with pytest.raises(RefusedError):
        finish(claim, rows=[{"user": user, **PLACE, "city": None}], timings=[("ok", 0.1)])
    assert not known().values


def test_a_batch_that_is_given_up_counts_its_requests() -> None:
    people(3)
    outcome = Outcome(timings=[("http_error", 0.3), ("connection", 0.001)])
    batches.fail(take(order().batches[0]), WORKS, outcome, SourceUnreachableError("down"))
    counts = known().counts("requests", totals.REQUESTS)
    assert (counts["http_error"], counts["connection"], counts["ok"]) == (1, 1, 0)
    assert known().buckets("run_seconds", totals.RUN_SECONDS)[-1] == ("+Inf", 1)
    assert not rows()
    assert known().success is None


def test_the_end_of_the_last_run_without_an_error_is_known_when_others_failed_since() -> None:
    people(3)
    finish(take(order().batches[0]), Missed("1", "rejected", ("no city",)))
    ended = sql("SELECT extract(epoch FROM finished_at)::float8 FROM runs")[0][0]
    assert known().success == pytest.approx(ended)
    people(1)
    batches.fail(take(order().batches[0]), WORKS, Outcome(), SourceUnreachableError("down"))
    sql("DELETE FROM runs")
    assert known().success == pytest.approx(ended)


def test_totals_stay_when_runs_are_deleted() -> None:
    people(3)
    drain(order())
    drain(order(refresh=True))
    sql("DELETE FROM runs")
    assert rows() == {"created": 3, "unchanged": 3}


def test_a_cancelled_run_has_no_duration() -> None:
    people(3)
    opened = order()
    claim = take(opened.batches[0])
    runs.cancel(opened.run.id)
    assert finish(claim) is None
    assert not known().values


def test_whoever_adds_waits_for_nobody_who_waits_for_it() -> None:
    """The end of a run is added before the rows of its last batch; everybody goes in that order."""

    def other() -> None:
        with transaction():
            totals.add("addresses", rows={"created": 1}, run=1.0)

    thread = threading.Thread(target=other)
    with transaction():
        totals.add("addresses", run=1.0)
        thread.start()
        eventually(lambda: sql("SELECT count(*) FROM pg_locks WHERE NOT granted")[0][0])
        totals.add("addresses", rows={"created": 1})
    thread.join(30)
    assert rows() == {"created": 2}
