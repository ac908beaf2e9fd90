"""Ctrl-C in two steps: the first lets what is under way be finished, the second cuts it off."""

import signal
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import FrameType, TracebackType
from typing import Any

from celeryctl.cli import options


class Interruption(AbstractContextManager["Interruption"]):
    """While this is entered, the first SIGINT or SIGTERM only says what is being finished, and how long that may take.

    `check` then raises KeyboardInterrupt at the next place where nothing is under way; a second signal does so at once.
    """

    def __init__(self, finishing: str) -> None:
        self._finishing = finishing
        self._asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Interruption":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._heard)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """Raise KeyboardInterrupt where somebody has asked for the end."""
        if self._asked:
            raise KeyboardInterrupt

    def after(self, show: Callable[[Any], None]) -> Callable[[Any], None]:
        """``show``, then `check`: for what is called whenever a piece of work is done."""

        def shown(one: Any) -> None:
            show(one)
            self.check()

        return shown

    def _heard(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            signal.default_int_handler(number, frame)
        self._asked = True
        options.notices().print(f"Finishing {self._finishing}; Ctrl-C again stops at once", soft_wrap=True)
