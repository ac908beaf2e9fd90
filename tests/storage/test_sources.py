"""A source that makes one run fail after the other is left alone for a while."""

import pytest

from celeryctl.errors import CeleryctlError, SourceError, SourceUnreachableError
from celeryctl.storage import batches, sources
from celeryctl.storage.outcomes import Outcome

from .ledgerkit import WORKS, finish, order, people, sql, take

pytestmark = pytest.mark.integration

ALONE = "SELECT failures, extract(epoch FROM asks_again_at - seen_at)::float FROM sources"
OVER = "UPDATE sources SET asks_again_at = now() WHERE asks_again_at IS NOT NULL"


@pytest.fixture(autouse=True)
def clean(database_url: str) -> None:
    """Every test has empty tables."""


def alone() -> tuple[int, float | None]:
    """How many runs the source has made fail, and for how many seconds it is left alone since the last time."""
    ((failures, seconds),) = sql(ALONE)
    return failures, None if seconds is None else round(seconds, 3)


def fail(batch_id: int, error: CeleryctlError | None = None) -> None:
    batches.fail(take(batch_id), WORKS, Outcome(), error or SourceUnreachableError("down"))


def test_from_the_third_failure_on_it_is_left_alone_for_twice_as_long_every_time() -> None:
    times = []
    for _ in range(10):
        sources.failed("users", "503")
        times.append(alone())
        sql(OVER)
    assert times == list(zip(range(1, 11), [None, None, 30, 60, 120, 240, 480, 600, 600, 600], strict=True))
    for _ in range(3):
        sql("UPDATE sources SET failures = 2000000000, asks_again_at = NULL")
        sources.failed("users", "503")
        assert alone()[1] == 600


def test_who_asks_in_vain_while_it_is_left_alone_does_not_prolong_that() -> None:
    for _ in range(3):
        sources.failed("users", "503")
    until = sources.asks_again_at("users")
    for _ in range(5):
        sources.failed("users", "503")
    assert (sources.asks_again_at("users"), alone()[0]) == (until, 3)


def test_one_answer_and_all_is_forgotten() -> None:
    for _ in range(4):
        sources.failed("users", "503")
    sources.answered("users")
    assert alone() == (0, None)
    assert sources.asks_again_at("users") is None
    sources.failed("users", "503")
    assert alone() == (1, None)


def test_an_answer_to_what_was_asked_before_it_failed_says_nothing_of_how_it_is_since() -> None:
    for _ in range(3):
        sources.failed("users", "503")
    sql("UPDATE sources SET seen_at = seen_at - interval '4 seconds'")
    sources.answered("users", took=5)
    assert alone()[0] == 3
    sources.answered("users", took=3)
    assert alone() == (0, None)


@pytest.mark.parametrize(("asked", "seconds"), [(90.0, 90), (1e9, 3600)])
def test_one_that_asks_for_a_pause_gets_it_though_not_for_ever(asked: float, seconds: float) -> None:
    sources.failed("users", "429", retry_after=asked)
    assert alone() == (1, seconds)


def test_what_a_source_has_asked_for_is_not_cut_short_by_what_follows() -> None:
    sources.failed("users", "429", retry_after=3000)
    until = sources.asks_again_at("users")
    sources.failed("users", "refused")
    assert sources.asks_again_at("users") == until


def test_a_run_counts_once_however_many_of_its_batches_fail() -> None:
    people(6)
    opened = order()
    first, second = (take(batch_id) for batch_id in opened.batches)
    for claim in (first, second):
        batches.fail(claim, WORKS, Outcome(), SourceUnreachableError("down"))
    assert alone() == (1, None)


def test_a_batch_that_went_to_somebody_else_counts_for_nothing() -> None:
    people(1)
    claim = take(order().batches[0])
    finish(claim)
    batches.fail(claim, WORKS, Outcome(), SourceUnreachableError("down"))
    assert sql(ALONE) == []


@pytest.mark.parametrize(("error", "counts"), [(SourceError("403"), True), (CeleryctlError("no disk"), False)])
def test_only_what_the_source_is_to_blame_for_counts(error: CeleryctlError, counts: bool) -> None:
    people(1)
    fail(order().batches[0], error)
    assert bool(sql(ALONE)) == counts


def test_one_batch_finds_out_whether_a_source_that_failed_does_so_still() -> None:
    people(30)
    fail(order().batches[0])
    probe = order()
    assert len(probe.batches) == 1
    claim = take(probe.batches[0])
    sources.answered("addresses")
    assert len(finish(claim) or []) > 1
