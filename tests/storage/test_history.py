"""Runs of the past: found, listed, deleted."""

from datetime import timedelta
from uuid import UUID

import pytest

from celeryctl.errors import CeleryctlError, UsageError
from celeryctl.pipeline.lookup import find_run
from celeryctl.storage import coverage, history
from celeryctl.storage.database import session
from celeryctl.storage.history import Pruned

from .ledgerkit import order, people, sql, take

pytestmark = pytest.mark.integration

INSERT = """INSERT INTO runs
  (id, dataset, trigger, status, page_size, batch_size, record_limit, started_at, finished_at)
VALUES (%s, %s, %s, %s, 1, 1, %s, now() - %s * interval '1 day', now() - %s * interval '1 day')"""


@pytest.fixture(autouse=True)
def clean(database_url: str) -> None:
    """Every test has empty tables."""


def past(
    days: float, *, number: int = 0, dataset: str = "users", trigger: str = "schedule", limit: int | None = None
) -> str:
    """A run that ended so many days ago."""
    run_id = str(UUID(int=number << 96 | int(days * 1000)))
    sql(INSERT, run_id, dataset, trigger, "succeeded", limit, days, days)
    return run_id


def ids() -> list[str]:
    return [row[0] for row in sql("SELECT id::text FROM runs ORDER BY started_at")]


def test_a_run_is_found_by_the_beginning_of_its_id() -> None:
    first, second = past(1, number=0xABC00000), past(2, number=0xABD00000)
    assert str(find_run("abc").id) == first
    assert str(find_run("ABD0").id) == second
    assert str(find_run(second).id) == second


@pytest.mark.parametrize(
    ("text", "kind"), [("ab", UsageError), ("fff", CeleryctlError), ("%", UsageError), ("", UsageError)]
)
def test_what_names_no_run_or_several_is_told(text: str, kind: type[CeleryctlError]) -> None:
    past(1, number=0xABC00000)
    past(2, number=0xABD00000)
    with pytest.raises(kind) as told:
        find_run(text)
    assert told.value.fix == "celeryctl runs"
    assert type(told.value) is kind
    if text == "ab":
        assert "abc00000 (users, succeeded), abd00000 (users, succeeded)" in told.value.why


def test_runs_are_listed_newest_first_and_by_what_is_asked() -> None:
    old, new = past(2, dataset="addresses"), past(1)
    assert [str(run.id) for run in history.newest(10)] == [new, old]
    assert [str(run.id) for run in history.newest(1)] == [new]
    assert [str(run.id) for run in history.newest(10, dataset="addresses")] == [old]
    assert history.newest(10, status="failed") == []


def test_open_batches_are_told_with_what_is_left_of_their_lease() -> None:
    people(6)
    opened = order()
    claim = take(opened.batches[0])
    (held, left), (free, _) = history.batches(opened.run)
    assert (held.id, held.run.dataset, held.token) == (claim.id, "addresses", claim.token)
    assert 0 < left <= 6
    assert free.token is None
    assert history.batch(claim.id) is not None
    assert history.batch(None) is None


def test_old_runs_are_deleted_but_for_what_the_schedule_counts_from() -> None:
    kept = past(40)
    gone = [past(50), past(60, trigger="seed"), past(70, limit=5)]
    limited = past(35, limit=5)
    assert history.prune(timedelta(days=30)) == Pruned(3, 0, 0)
    assert ids() == [kept, limited]
    assert not set(gone) & set(ids())
    assert history.prune(timedelta(days=30)) == Pruned(0, 0, 0)


def test_the_schedule_is_the_same_before_and_after() -> None:
    for days in (3, 4, 5):
        past(days)
        past(days - 2.5, limit=1)
    with session():
        before = coverage.last_scheduled("users")
    history.prune(timedelta(seconds=1))
    with session():
        assert coverage.last_scheduled("users") == before


def test_what_runs_is_kept_however_old() -> None:
    people(1)
    opened = order()
    past(1, dataset="addresses")
    sql("UPDATE runs SET started_at = now() - interval '1 year' WHERE status = 'running'")
    assert history.prune(timedelta(days=1)).runs == 0
    assert str(opened.run.id) in ids()


def test_the_silent_go_as_well() -> None:
    columns = "(name, seen_at, active, concurrency, rss)"
    sql(f"INSERT INTO workers {columns} VALUES ('w', now() - interval '2 days', 0, 1, 1)")
    sql("INSERT INTO beats VALUES ('b', now() - interval '2 days', false), ('c', now(), true)")
    assert history.prune(timedelta(days=1)) == Pruned(0, 1, 1)
    assert sql("SELECT name FROM beats") == [("c",)]


def test_a_dry_run_counts_and_deletes_nothing() -> None:
    past(1)
    past(50)
    assert history.prune(timedelta(days=30), dry_run=True) == Pruned(1, 0, 0)
    assert len(ids()) == 2


def test_many_are_deleted_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "CHUNK", 3)
    for number in range(8):
        past(40 + number, number=number)
    assert history.prune(timedelta(days=30)).runs == 7


def test_who_lives_is_kept_however_short_the_age() -> None:
    for name, seconds in (("live", 10), ("dead", 60)):
        sql("INSERT INTO beats VALUES (%s, now() - %s * interval '1 second', true)", name, seconds)
    assert history.prune(timedelta(seconds=1)) == Pruned(0, 0, 1)
    assert sql("SELECT name FROM beats") == [("live",)]


def test_a_dry_run_and_the_deletion_that_follows_agree() -> None:
    for number, days in enumerate((31, 32, 40, 50, 10)):
        past(days, number=number, limit=5 if number == 1 else None)
    counted = history.prune(timedelta(days=30), dry_run=True)
    assert counted.runs == 4
    assert history.prune(timedelta(days=30)) == counted


def test_readings_that_are_old_are_deleted_without_being_counted() -> None:
    sql(
        """INSERT INTO readings (dataset, lo, hi, page_size, digests, records, least, greatest, mark, read_at)
      SELECT 'users', n, n, 1, '{}', '{}', n, n, '', now() - n * interval '1 day' FROM generate_series(1, 3) n"""
    )
    assert history.prune(timedelta(days=2), dry_run=True) == Pruned(0, 0, 0)
    assert history.prune(timedelta(days=2)) == Pruned(0, 0, 0)
    assert sql("SELECT lo FROM readings") == [(1,)]
