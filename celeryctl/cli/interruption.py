"""Ctrl-C in two steps: the first lets what is under way be finished, the second cuts it off."""

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

from celeryctl.cli import options
from celeryctl.local.interrupt import Interrupt


class Interruption(Interrupt):
    """While this is entered, the first SIGINT or SIGTERM only says what is being finished, and how long that may take.

    `check` then raises KeyboardInterrupt at the next place where nothing is under way; a second signal does so at once.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self, finishing: str) -> None:
        super().__init__()
        self._finishing = finishing

    def check(self) -> None:
        """Raise KeyboardInterrupt where somebody has asked for the end."""
        if self.count:
            raise KeyboardInterrupt

    def after(self, show: Callable[[Any], None]) -> Callable[[Any], None]:
        """``show``, then `check`: for what is called whenever a piece of work is done."""

        def shown(one: Any) -> None:
            show(one)
            self.check()

        return shown

    def _heard(self, number: int, frame: FrameType | None) -> None:
        super()._heard(number, frame)
        if self.again():
            signal.default_int_handler(number, frame)
        options.notices().print(f"Finishing {self._finishing}; Ctrl-C again stops at once", soft_wrap=True)
