"""Starting again what has ended by itself: at once, and after pauses that grow where it ends again and again."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from celeryctl.errors import CeleryctlError

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0  # seconds; the pause doubles from the second restart on
FORGOTTEN = 60.0  # seconds of life after which earlier ends count no more


@dataclass(frozen=True, slots=True)
class Kept:
    """Something that is to live: ``ended`` says how it has ended, None while it lives; ``start`` starts it again."""

    name: str
    ended: Callable[[], str | None]
    start: Callable[[], None]


@dataclass(slots=True)
class _History:
    """``due`` is when it is started again, None while it lives."""

    began: float
    pause: float = 0.0
    due: float | None = None


class Restarts:
    """Looks after what is kept. ``tell`` hears what has ended, how, and in how many seconds it is started again."""

    def __init__(self, tell: Callable[[str, str, float], None], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._tell, self._clock = tell, clock
        self._known: dict[str, _History] = {}

    def look(self, kept: Iterable[Kept]) -> None:
        """Start again what has ended and whose pause is over. What cannot be started has ended once more."""
        for one in kept:
            history = self._known.setdefault(one.name, _History(self._clock()))
            if history.due is None and (how := one.ended()) is not None:
                self._note(one.name, history, how)
            if history.due is not None and history.due <= self._clock():
                self._start(one, history)

    def _start(self, one: Kept, history: _History) -> None:
        try:
            one.start()
        except (CeleryctlError, OSError) as exc:
            self._note(one.name, history, f"cannot be started: {exc}")
        else:
            history.began, history.due = self._clock(), None

    def _note(self, name: str, history: _History, how: str) -> None:
        now = self._clock()
        if history.due is None and now - history.began > FORGOTTEN:
            history.pause = 0.0
        pause = history.pause
        history.due, history.pause = now + pause, min(max(FIRST_PAUSE, 2 * pause), LONGEST_PAUSE)
        self._tell(name, how, pause)
