"""What has ended is started again, after pauses that grow."""

import pytest

from celeryctl.errors import LocalServerError
from celeryctl.local.restarts import FORGOTTEN, Kept, Restarts

pytestmark = pytest.mark.unit


class Thing:
    """Something that can be killed, and that refuses to start as often as it is told to."""

    def __init__(self) -> None:
        self.lives, self.refusals, self.starts = True, 0, 0
        self.refusal: Exception = LocalServerError("its port is taken", why="by another", fix="celeryctl down")

    def kept(self) -> Kept:
        return Kept("thing", lambda: None if self.lives else "has ended", self.start)

    def start(self) -> None:
        self.starts += 1
        if self.refusals:
            self.refusals -= 1
            raise self.refusal
        self.lives = True


class Watched:
    """A thing, looked after by a clock that we turn."""

    def __init__(self) -> None:
        self.thing, self.now = Thing(), 0.0
        self.told: list[tuple[str, str, float]] = []
        self._restarts = Restarts(lambda *told: self.told.append(told), clock=lambda: self.now)

    def look(self, after: float = 0.0) -> None:
        self.now += after
        self._restarts.look([self.thing.kept()])

    def die(self) -> float:
        """It dies. Returns the seconds until it is started again."""
        self.thing.lives = False
        self.look()
        self.look(self.told[-1][2])
        assert self.thing.lives
        return self.told[-1][2]


def test_what_lives_is_left_alone() -> None:
    watched = Watched()
    watched.look(1000)
    assert (watched.told, watched.thing.starts) == ([], 0)


def test_the_first_time_it_is_started_at_once_then_after_pauses_that_double_up_to_half_a_minute() -> None:
    watched = Watched()
    watched.look()
    assert [watched.die() for _ in range(9)] == [0, 1, 2, 4, 8, 16, 30, 30, 30]
    assert watched.told[0] == ("thing", "has ended", 0)


def test_nothing_is_started_before_its_pause_is_over_and_it_is_told_once() -> None:
    watched = Watched()
    watched.look()
    watched.die()
    watched.thing.lives = False
    watched.look()
    watched.look(0.9)
    assert (watched.thing.lives, len(watched.told)) == (False, 2)
    watched.look(0.2)
    assert (watched.thing.lives, len(watched.told)) == (True, 2)


def test_after_a_minute_of_life_earlier_ends_are_forgotten() -> None:
    watched = Watched()
    watched.look()
    watched.die()
    watched.die()
    watched.look(FORGOTTEN + 1)
    assert watched.die() == 0


def test_a_machine_that_has_nothing_to_start_it_with_is_waited_for() -> None:
    watched = Watched()
    watched.look()
    watched.thing.lives, watched.thing.refusals, watched.thing.refusal = False, 1, OSError(12, "no memory")
    watched.look()
    watched.look(1)
    assert watched.told[1] == ("thing", "cannot be started: [Errno 12] no memory", 1)
    assert watched.thing.lives


def test_what_cannot_be_started_has_ended_once_more() -> None:
    watched = Watched()
    watched.look()
    watched.thing.lives, watched.thing.refusals = False, 2
    watched.look()
    watched.look(1)
    watched.look(2)
    refused = "cannot be started: its port is taken: by another"
    assert watched.told == [("thing", "has ended", 0), ("thing", refused, 1), ("thing", refused, 2)]
    assert watched.thing.lives
