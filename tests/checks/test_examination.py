"""How checks are made: at the same time, within a deadline, each with a verdict of its own."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from celeryctl.checks.check import Check, Finding, Result, exit_code
from celeryctl.checks.examination import examine, told, treat
from celeryctl.errors import CeleryctlError, SchemaError, SourceUnreachableError, UnreachableError

pytestmark = pytest.mark.unit


@pytest.fixture
def stuck() -> Iterator[Callable[[], Result]]:
    """A check that hangs until the end of the test."""
    over = threading.Event()

    def hang() -> Result:
        over.wait(60)
        return Result("ok")

    yield hang
    over.set()


def check(name: str, run: Callable[[], Result] = lambda: Result("ok"), **more: Any) -> Check:
    return Check(name=name, section="Machine", run=run, **more)


def raising(error: CeleryctlError) -> Callable[[], Any]:
    def run() -> Any:
        raise error

    return run


def states(found: Any) -> dict[str, str]:
    return {finding.check.name: finding.result.state for finding in found}


def test_every_check_gets_a_verdict_in_the_order_of_the_list() -> None:
    found = examine([check("a"), check("b", raising(SchemaError("s", why="w", fix="f"))),
                     check("c", raising(UnreachableError("away")))])  # fmt: skip
    assert states(found) == {"a": "ok", "b": "failed", "c": "unreachable"}
    assert found[1].result == Result("failed", "s: w", "f")


@pytest.mark.parametrize("state", ["ok", "warning"])
def test_what_needs_a_usable_one_is_made(state: Any) -> None:
    assert states(examine([check("a", lambda: Result(state)), check("b", needs=("a",))]))["b"] == "ok"


@pytest.mark.parametrize("state", ["failed", "unreachable", "skipped"])
def test_what_needs_another_is_skipped_and_names_it(state: Any) -> None:
    found = examine([check("a", lambda: Result(state)), check("b", raising(SchemaError()), needs=("a",))])
    assert found[1].result.state == "skipped"
    assert found[1].result.why.startswith("needs: a, which")


def test_what_does_not_answer_in_time_is_told_and_so_is_what_needs_it(stuck: Callable[[], Result]) -> None:
    checks = [check("a", stuck, service=True, fix="do it"), check("b", stuck), check("c", needs=("a",)), check("d")]
    found = examine(checks, within=0.2)
    assert states(found) == {"a": "unreachable", "b": "warning", "c": "skipped", "d": "ok"}
    assert found[0].result == Result("unreachable", "no answer within 0.2 s", "do it")
    assert found[2].result.why == "needs: a, which does not answer"


def test_all_are_made_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=30)

    def meet() -> Result:
        both.wait()
        return Result("ok")

    assert set(states(examine([check("a", meet), check("b", meet)], within=30)).values()) == {"ok"}


def test_a_bug_in_a_check_is_not_taken_for_a_finding() -> None:
    with pytest.raises(ZeroDivisionError):
        examine([check("a", lambda: Result("ok", str(1 // 0)))])


@pytest.mark.parametrize(
    ("found", "code"),
    [(["ok", "skipped", "warning"], 0), (["ok", "failed"], 1), (["failed", "unreachable"], 69), ([], 0)],
)
def test_the_exit_code_is_that_of_the_gravest(found: list[Any], code: int) -> None:
    assert exit_code([Finding(check("a"), Result(state)) for state in found]) == code


def test_remedies_are_applied_where_something_is_wrong_and_only_there() -> None:
    done: list[str] = []

    def remedy(name: str) -> Callable[[], str]:
        return lambda: done.append(name) or f"mended {name}"  # type: ignore[func-returns-value]

    kinds: list[Any] = ["ok", "warning", "failed", "unreachable", "skipped"]
    found = examine([check(kind, lambda kind=kind: Result(kind), remedy=remedy(kind)) for kind in kinds])
    assert {name: result.fixed for name, result in treat(found).items()} == {
        "warning": "mended warning", "failed": "mended failed",
    }  # fmt: skip
    assert done == ["warning", "failed"]


def test_a_report_says_what_was_mended_and_what_could_not_be() -> None:
    before = examine([
        check("a", lambda: Result("failed", "old"), remedy=lambda: "did it"),
        check("b", lambda: Result("failed", "wrong", "old fix"), remedy=raising(SchemaError("no", why="w", fix="new"))),
        check("c", lambda: Result("failed", "same"), remedy=lambda: ""),
    ])  # fmt: skip
    after = [Finding(before[0].check, Result("ok", "fine")), *before[1:]]
    assert [one.result for one in told(after, treat(before))] == [
        Result("ok", "fine", fixed="did it"),
        Result("failed", "wrong; not mended: no: w", "new"),
        Result("failed", "same"),
    ]


def test_a_source_that_is_away_counts_as_a_service_that_is() -> None:
    assert exit_code(examine([check("a", raising(SourceUnreachableError()))])) == 69
