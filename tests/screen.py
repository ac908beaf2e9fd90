"""A terminal as a person sees it: a pseudo-terminal, and an emulator that draws what comes out of it."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

import pyte
from waiting import eventually

CELERYCTL = (sys.executable, "-m", "celeryctl")


class Terminal:
    """A program on a screen of ``columns`` by ``lines``."""

    def __init__(
        self, words: Sequence[str], columns: int, lines: int, environment: Mapping[str, str], command: Sequence[str]
    ) -> None:
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self._lock = threading.Lock()
        self.raw = b""
        self._ours, theirs = pty.openpty()
        self._set_size(columns, lines)
        # A size in the environment would beat that of the terminal.
        kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        own = {"TERM": "xterm-256color", "_TYPER_FORCE_DISABLE_TERMINAL": "", **environment}
        self.process = subprocess.Popen(
            [*command, *words], stdin=theirs, stdout=theirs, stderr=theirs, env={**kept, **own},
            start_new_session=True, preexec_fn=_control,
        )  # fmt: skip
        os.close(theirs)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def lines(self) -> list[str]:
        """What stands on the screen now."""
        with self._lock:
            return [line.rstrip() for line in self._screen.display]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def assert_shows(self, *parts: str, within: float = 30) -> str:
        """Wait until all of it stands on the screen at once."""
        try:
            eventually(lambda: all(part in self.text for part in parts), within)
        except AssertionError:
            raise AssertionError(f"{parts} not on the screen:\n{self.text}") from None
        return self.text

    def press(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def resize(self, columns: int, lines: int) -> None:
        """As a person who drags the window's corner."""
        with self._lock:
            self._screen.resize(lines, columns)
        self._set_size(columns, lines)
        os.killpg(self.process.pid, signal.SIGWINCH)

    def end(self, within: float = 20) -> int:
        """Wait for the program's own end, and for the last of what it says."""
        code = self.process.wait(within)
        self._reader.join(5)
        return code

    def close(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        self._reader.join(5)
        os.close(self._ours)

    def _set_size(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def _read(self) -> None:
        while True:
            try:
                if not select.select([self._ours], [], [], 0.2)[0]:
                    if self.process.poll() is not None:
                        return
                    continue
                found = os.read(self._ours, 65_536)
            except OSError:
                return  # everybody on the other side has gone
            if not found:
                return
            with self._lock:
                self.raw += found
                self._stream.feed(found)


def _control() -> None:
    """Make the terminal the one whose Ctrl-C reaches the program."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@contextmanager
def terminal(
    *words: str, columns: int = 80, lines: int = 24, environment: Mapping[str, str] | None = None,
    command: Sequence[str] = CELERYCTL,
) -> Iterator[Terminal]:  # fmt: skip
    """`celeryctl` with these words on a terminal of its own; nothing of it is left afterwards."""
    shown = Terminal(words, columns, lines, environment or {}, command)
    try:
        yield shown
    finally:
        shown.close()
