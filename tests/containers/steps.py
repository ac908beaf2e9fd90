"""What a long test does at the moment, and how long it took: one line on the terminal for each step."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Steps:
    capture: pytest.CaptureFixture[str]

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        began, ended = time.monotonic(), "failed"
        try:
            yield
            ended = "done"
        finally:
            self.say(f"{time.monotonic() - began:6.1f} s  {ended}: {name}")

    def say(self, line: str) -> None:
        with self.capture.disabled():
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()
