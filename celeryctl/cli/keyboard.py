"""Single keys of a terminal, its change of size, and being asked to end, waited for together."""

import os
import re
import select
import signal
import sys
import termios
import tty
from contextlib import AbstractContextManager, suppress
from types import FrameType, TracebackType
from typing import Any

END, SUSPEND = "\x03", "\x1a"  # as Ctrl-C and Ctrl-Z would be read
SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]?|O.?|.?)")  # what a key that is no character sends
SIGNALS = {
    signal.SIGINT: END,
    signal.SIGTERM: END,
    signal.SIGHUP: END,
    signal.SIGTSTP: SUSPEND,
    signal.SIGWINCH: "",
}


class Keyboard(AbstractContextManager["Keyboard"]):
    """Keys are read as they are pressed and not shown while this is entered; afterwards the terminal is as before.

    Signals come as keys, so that nothing is cut off in the middle of a line that is being drawn.
    """

    def __init__(self) -> None:
        self._terminal = sys.stdin.fileno() if sys.stdin.isatty() else None
        self._before: list[Any] = []
        self._handlers: dict[int, Any] = {}
        self._caught = ""

    def __enter__(self) -> "Keyboard":
        # A byte in this pipe ends a wait at once, whoever has something to show.
        self._woken, self._waker = os.pipe()
        os.set_blocking(self._waker, False)
        for number in SIGNALS:
            # What nohup has switched off stays off.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._handlers[number] = signal.signal(number, self._heard)
        self._take()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._give_back()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        # Another thread may still call `wake`, and the number may soon be that of another file.
        woken, waker, self._waker = self._woken, self._waker, -1
        os.close(waker)
        os.close(woken)

    def _take(self) -> None:
        if self._terminal is not None:
            self._before = termios.tcgetattr(self._terminal)
            tty.setcbreak(self._terminal)

    def _give_back(self) -> None:
        if self._terminal is not None:
            with suppress(termios.error):  # a terminal that was closed needs nothing any more
                termios.tcsetattr(self._terminal, termios.TCSADRAIN, self._before)

    def suspend(self) -> None:
        """Stop, as Ctrl-Z asks for, with the terminal as it was, until the shell lets us go on."""
        self._give_back()
        before = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, before)
        self._take()

    def wake(self) -> None:
        """End the wait; may be called from any thread, and from a signal's handler."""
        with suppress(OSError):  # full: it wakes anyway; closed: nobody waits any more
            os.write(self._waker, b".")

    def wait(self, seconds: float) -> str:
        """The keys that were pressed; empty when the time is over, or when somebody has called `wake`."""
        readable = [self._woken] if self._terminal is None else [self._woken, self._terminal]
        ready = select.select(readable, [], [], seconds)[0]
        if self._woken in ready:
            os.read(self._woken, 4096)
        caught, self._caught = self._caught, ""
        return caught + (self._read() if self._terminal in ready else "")

    def _read(self) -> str:
        """What was pressed, without arrows and the like, which mean nothing here."""
        try:
            pressed = os.read(self._terminal or 0, 1024)
        except OSError:
            pressed = b""
        if not pressed:
            self._terminal = None
            return END  # nobody looks any more
        return SEQUENCE.sub("", pressed.decode(errors="ignore"))

    def _heard(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signature of a handler
        self._caught += SIGNALS[signal.Signals(number)]
        self.wake()
