"""Several requests at a time where the source is slow, one after the other where it is not."""

import logging
import threading

import pytest

from celeryctl import logs
from celeryctl.http import Meter
from celeryctl.pipeline.lanes import SLOW, Lanes

pytestmark = pytest.mark.unit


class Recorder:
    """Stands for requests to a source that answers within ``seconds``, and notes how many are under way at once."""

    def __init__(self, seconds: float, *, together: int) -> None:
        self.meter = Meter()
        self.most = self.under_way = 0
        self._seconds, self._lock, self._meeting = seconds, threading.Lock(), threading.Semaphore(0)
        self._together = together

    def ask(self, number: int) -> int:
        with self._lock:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            if self.under_way == self._together:
                self._meeting.release(self._together)
        if self._together > 1 and number:
            assert self._meeting.acquire(timeout=30)
        with self._lock:
            self.under_way -= 1
        self.meter.count_end("ok", self._seconds)
        return number * number


def test_a_slow_source_is_asked_several_things_at_a_time_after_the_first() -> None:
    lanes, slow = Lanes(3), Recorder(2 * SLOW, together=3)
    assert list(lanes.run("users", slow.meter, slow.ask, range(10))) == [number * number for number in range(10)]
    assert slow.most == 3


def test_a_fast_source_is_asked_one_thing_after_the_other() -> None:
    lanes, fast = Lanes(3), Recorder(SLOW / 2, together=1)
    assert list(lanes.run("users", fast.meter, fast.ask, range(10))) == [number * number for number in range(10)]
    assert fast.most == 1


def test_a_source_that_has_become_fast_is_no_longer_asked_several_things_at_a_time() -> None:
    lanes = Lanes(3)
    for seconds in (2 * SLOW, SLOW / 2):
        meter = Meter()
        meter.count_end("ok", seconds)
        lanes.learn("users", meter)
    fast = Recorder(SLOW / 2, together=1)
    assert list(lanes.run("users", fast.meter, fast.ask, range(10))) == [number * number for number in range(10)]
    assert fast.most == 1


def test_one_quick_answer_among_slow_ones_changes_nothing() -> None:
    lanes, meter = Lanes(3), Meter()
    for seconds in (SLOW / 9, *[2 * SLOW] * 9):
        meter.count_end("ok", seconds)
    lanes.learn("users", meter)
    slow = Recorder(2 * SLOW, together=3)
    list(lanes.run("users", slow.meter, slow.ask, range(1, 10)))
    assert slow.most == 3


def test_nothing_to_ask_is_nothing_asked() -> None:
    assert list(Lanes(3).run("users", Meter(), lambda number: number, [])) == []


def test_a_line_that_is_logged_in_one_of_several_threads_is_about_the_same_batch() -> None:
    record = logging.makeLogRecord({"msg": "GET"})
    lanes, slow = Lanes(2), Recorder(2 * SLOW, together=2)

    def ask(number: int) -> str:
        slow.ask(number)
        return logs.TextFormatter().format(record).partition(": ")[2]

    with logs.about(batch=7):
        told = list(lanes.run("users", slow.meter, ask, range(5)))
    assert (slow.most, set(told)) == (2, {"GET batch=7"})
