"""Asking a server that may keep silent."""

import logging
import threading
import time

import pytest
from waiting import eventually

from celeryctl.cluster.asked import Asked
from celeryctl.errors import DatabaseUnreachableError

pytestmark = pytest.mark.unit


def ask(asked: "Asked[int]", within: float = 10) -> int | None:
    return asked.result(asked.begin(), time.monotonic() + within)


def test_a_silent_server_is_asked_by_one_and_waited_for_by_nobody_for_long() -> None:
    begun, answers = [], threading.Event()

    def slowly() -> int:
        begun.append(1)
        answers.wait(30)
        return 7

    asked = Asked("it", slowly)
    assert [ask(asked, within=0.05) for _ in range(3)] == [None] * 3
    assert begun == [1]
    answers.set()
    assert eventually(lambda: ask(asked)) == 7


def test_an_answer_is_kept_for_as_long_as_it_counts() -> None:
    answers = iter(range(1, 10))
    kept, asked = Asked("it", lambda: next(answers), keep=60), Asked("it", lambda: next(answers))
    assert [ask(kept), ask(kept), ask(asked), ask(asked)] == [1, 1, 2, 3]


def test_while_the_next_answer_is_under_way_the_last_one_counts_unless_it_was_an_error() -> None:
    going: list[threading.Event] = []
    faults: list[Exception] = []

    def slowly() -> int:
        going.append(go := threading.Event())
        number = len(going)
        go.wait(30)
        if faults:
            raise faults.pop()
        return number

    asked = Asked("it", slowly, keep=1e-9)
    assert ask(asked, within=0) is None
    eventually(lambda: going)[0].set()
    assert eventually(lambda: ask(asked, within=0)) == 1
    assert [ask(asked, within=0) for _ in range(3)] == [1] * 3  # which was over each time
    eventually(lambda: len(going) == 2)
    faults.append(KeyError("gone"))
    going[1].set()
    eventually(lambda: ask(asked, within=0) is None)
    assert ask(asked, within=0) is None
    eventually(lambda: len(going) == 3)
    going[2].set()
    assert eventually(lambda: ask(asked, within=0)) == 3
    eventually(lambda: len(going) == 4)
    going[3].set()


def test_after_an_error_another_server_is_looked_for_and_the_log_hears_of_it_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    faults, renewed = [DatabaseUnreachableError("gone\n"), KeyError("unforeseen")], []

    def fails() -> int:
        if faults:
            raise faults.pop(0)
        return 1

    asked = Asked("the database", fails, keep=60, renew=lambda: renewed.append(1))
    assert [ask(asked) for _ in range(3)] == [None, None, 1]
    assert len(renewed) == 2
    assert [record.message for record in caplog.records] == [r"the database: gone\n", "the database: answers again"]
