"""Signals as something to look at: nothing is cut off in the middle, so nothing that was started gets lost."""

import signal
import time
from contextlib import AbstractContextManager
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

T = TypeVar("T")
LOOK = 0.05  # seconds between two looks


class AskedToEndError(Exception):
    """Somebody asked us to end."""


class Interrupt(AbstractContextManager["Interrupt"]):
    """Signals that ask us to end, counted while this is entered."""

    SIGNALS: tuple[signal.Signals, ...] = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    early: ClassVar[int] = 0  # signals before this was entered

    @classmethod
    def end_early(cls, number: int, frame: FrameType | None) -> None:
        """What a signal does before: as Ctrl-C. Some library may swallow that, so who enters this hears of it still."""
        Interrupt.early += 1
        signal.default_int_handler(number, frame)

    def __init__(self) -> None:
        self.count = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in self.SIGNALS:
            # What nohup has switched off stays off.
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._heard)
        self.count += self.early
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _heard(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signature of a handler
        # Not an Event: setting it here could wait for a lock that the interrupted line holds.
        self.count += 1

    def again(self) -> bool:
        """Whether we were asked more than once."""
        return self.count > 1

    def pause(self, seconds: float) -> None:
        """Wait. Raises AskedToEndError as soon as we are to end."""
        deadline = time.monotonic() + seconds
        while True:
            if self.count:
                raise AskedToEndError
            left = deadline - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, LOOK))

    def result(self, future: "Future[T]") -> T:
        """The future's result, or what it raised."""
        while not future.done():
            self.pause(LOOK / 5)
        return future.result()
