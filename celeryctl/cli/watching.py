"""The watch view: one thread asks, another draws and listens, so that keys and clock go on while a server is silent."""

import threading
import time
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta

from rich.console import Console
from rich.live import Live
from rich.text import Text

from celeryctl.ages import span
from celeryctl.cli import options
from celeryctl.cli.asking import LATE, Asker, Document, documents
from celeryctl.cli.keyboard import END, SUSPEND, Keyboard
from celeryctl.cli.stats import is_ascii_only, show
from celeryctl.pipeline.context import Context
from celeryctl.settings.parse import duration
from celeryctl.views.stats import Status, render

INTERVALS = (timedelta(milliseconds=100), timedelta(hours=1))
STEPS = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)  # seconds between two refreshes, for + and -
HELP = "q quit p pause + slower - faster ? hide"
QUIT = f"qQ\x04{END}"


class Screen:
    """What is shown: what is known, how old it is, and what keys there are."""

    def __init__(self, console: Console, asker: Asker) -> None:
        self._console, self._asker, self._ascii_only = console, asker, is_ascii_only(console)
        self._stopped: float | None = None  # the moment that is shown while it is paused
        self._helps = False

    def draw(self) -> Text:
        """The screen in the terminal's size."""
        width, height = self._console.size
        known, now = self._asker.known, self._stopped or time.monotonic()
        return render(
            known.document(),
            width,
            height,
            status=self._status(known.old(now)),
            now=known.moment(now),
            ascii_only=self._ascii_only,
        )

    def press(self, keys: str) -> bool:
        """Do what the keys ask for; False when that is to end."""
        for key in keys:
            if key in QUIT:
                return False
            if key in "pP ":
                self._pause()
            elif key in "+-":
                self._asker.every = step(self._asker.every, 1 if key == "+" else -1)
                self._asker.hurry()
            elif key in "?h":
                self._helps = not self._helps
        return True

    def _pause(self) -> None:
        self._asker.paused = not self._asker.paused
        self._stopped = time.monotonic() if self._asker.paused else None
        self._asker.hurry()

    def _status(self, old: dict[str, float]) -> Status:
        asker, known = self._asker, self._asker.known
        silent = time.monotonic() - known.at if known.newest else 0.0
        warns = True
        if asker.paused:
            note = "paused, p goes on"
        elif silent > asker.every + LATE:
            note = f"no answer for {span(silent)}"
        elif "datasets" in old:
            note = f"not reachable, {span(old['datasets'])} old"
        else:
            note, warns = f"{time.strftime('%H:%M:%S')}, every {asker.every:g} s", False
        foot = HELP if self._helps else "q quit  ? keys"
        return Status(foot=foot, note=note, warns=warns, helps=self._helps, old=old)


def step(every: float, by: int) -> float:
    """The next longer or shorter interval."""
    place = min(range(len(STEPS)), key=lambda number: abs(STEPS[number] - every))
    return STEPS[min(max(place + by, 0), len(STEPS) - 1)]


def follow(context: Context, interval: str, *, json: bool) -> None:
    """Draw it on a terminal. Elsewhere print one after the other, as vmstat does: nothing there can be drawn over."""
    every = duration(*INTERVALS)(interval).total_seconds()
    console = options.console()
    if json or not console.is_terminal or console.is_dumb_terminal:
        stream(context, every, lambda document: show(document, json=json, line=True))
    else:
        watch(context, console, every)


def watch(context: Context, console: Console, every: float) -> None:
    """Show the stats on this terminal until somebody ends it. The first screen comes before anything is asked."""
    with Keyboard() as keyboard:
        asker = Asker(context, every, news=keyboard.wake)
        screen = Screen(console, asker)
        with Live(screen.draw(), console=console, screen=True, auto_refresh=False) as live:
            asker.start()
            while screen.press(keys := keyboard.wait(1.0)):
                if SUSPEND in keys:
                    live.stop()
                    keyboard.suspend()
                    live.start()
                live.update(screen.draw(), refresh=True)
    asker.stop()


def stream(context: Context, every: float, show: Callable[[Document], None]) -> None:
    """Hand on one document after the other until Ctrl-C, for programs and for logs."""
    over = threading.Event()
    try:
        with closing(documents(context, lambda: not over.wait(every))) as found:
            for document in found:
                show(document)
    except KeyboardInterrupt:
        return
