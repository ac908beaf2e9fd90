import io
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from celeryctl.views.progress import Progress

pytestmark = pytest.mark.unit

COUNTS = dict.fromkeys(("created", "updated", "unchanged", "rejected", "absent"), 0)


def run(**changes: Any) -> Any:
    return SimpleNamespace(**({"id": 1, "dataset": "users", "status": "running", "expected": 1000} | COUNTS | changes))


def console(*, terminal: bool, **options: Any) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=100, color_system=None, _environ={}, **options)


def said(screen: Console) -> list[str]:
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue().splitlines()


def told(*runs: Any) -> list[str]:
    """The lines of a program that is not on a terminal and shows these one after another."""
    screen = console(terminal=False)
    with Progress(screen) as progress:
        for one in runs:
            progress.show(one)
    return said(screen)


def test_off_a_terminal_there_is_a_line_for_every_tenth_and_one_for_the_end() -> None:
    lines = told(*(run(created=done) for done in range(1001)), run(created=1000, status="succeeded"))
    assert lines == [
        *(f"users: running, {done:,} of 1,000 records" for done in range(0, 1001, 100)),
        "users: succeeded, 1,000 of 1,000 records",
    ]


def test_every_kind_of_record_counts_as_done() -> None:
    assert told(run(created=1, updated=2, unchanged=4, rejected=8, absent=16)) == [
        "users: running, 31 of 1,000 records"
    ]


def test_without_a_known_number_there_is_one_line_and_then_only_now_and_then() -> None:
    lines = told(*(run(created=done, expected=None) for done in range(50)), run(expected=None, status="failed"))
    assert lines == ["users: running, 0 records", "users: failed, 0 records"]


def test_from_time_to_time_there_is_a_line_even_when_nothing_has_moved() -> None:
    screen = console(terminal=False)
    with Progress(screen, every=0) as progress:
        for _ in range(3):
            progress.show(run(created=1))
    assert said(screen) == 3 * ["users: running, 1 of 1,000 records"]


def test_more_than_was_expected_is_told_too() -> None:
    assert told(run(created=25, expected=10, status="partial")) == ["users: partial, 25 of 10 records"]


def test_each_run_has_lines_of_its_own() -> None:
    assert told(run(created=500), run(id=2, dataset="addresses"), run(created=501)) == [
        "users: running, 500 of 1,000 records",
        "addresses: running, 0 of 1,000 records",
    ]


def test_a_quiet_console_is_told_nothing() -> None:
    screen = console(terminal=False, quiet=True)
    with Progress(screen) as progress:
        progress.show(run(status="succeeded"))
    assert said(screen) == []


def test_on_a_terminal_there_is_a_bar_for_every_run() -> None:
    screen = console(terminal=True)
    with Progress(screen) as progress:
        progress.show(run(created=400))
        progress.show(run(created=1000, status="succeeded"))
        progress.show(run(id=2, dataset="credit_cards", created=3, expected=10))
    text = "\n".join(said(screen))
    assert "users" in text
    assert "1,000/1,000" in text
    assert "credit_cards" in text
    assert " 3/10" in text
    assert "running," not in text


@pytest.mark.parametrize("done", [0, 7])
def test_a_bar_is_full_at_the_end_whatever_was_expected(done: int) -> None:
    screen = console(terminal=True)
    with Progress(screen) as progress:
        progress.show(run(expected=None))
        progress.show(run(expected=None, created=done, status="succeeded"))
    assert f"{max(done, 1)}/{max(done, 1)}" in "\n".join(said(screen))


def test_the_terminal_is_given_back_after_an_error() -> None:
    screen = console(terminal=True)
    progress = Progress(screen)
    progress.show(run())
    with pytest.raises(ZeroDivisionError), progress:
        raise ZeroDivisionError
    text = "\n".join(said(screen))
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")  # the cursor is shown again
