"""Ending an `up` from another terminal, what a killed one has left, and on request the data."""

import time
from contextlib import suppress
from pathlib import Path

import psutil

from celeryctl.errors import CeleryctlError
from celeryctl.home import create, held, lock, running
from celeryctl.local import children
from celeryctl.local.postgres import Postgres
from celeryctl.local.state import sweep

POLL = 0.05  # seconds
FOUND_WITHIN = 3.0
END_WITHIN = 60.0  # seconds that an `up` has to end everything before it is killed


def down(home: Path) -> list[str]:
    """End the `up` of this home and whatever one that was killed has left. Returns the names of what was ended."""
    if not home.is_dir():
        return []
    ended = _end_up(create(home))
    with lock(home / "up.lock", wait=False) as mine:
        # Somebody may have started the next one at once: that is not ours to end.
        if mine:
            ended += sweep(home)
            Postgres(home).stop_if_unused()
    return ended


def remove_data(home: Path) -> bool:
    """Delete the embedded PostgreSQL with all its data; the card key and the logs stay. False when there is none.

    Raises CeleryctlError while somebody uses it.
    """
    server = Postgres(home)
    if not server.exists():
        return False
    with lock(home / "up.lock", wait=False) as mine, lock(server.users, wait=False) as alone:
        if not (mine and alone):
            raise CeleryctlError(
                "the data are not deleted", why="another command is using them", fix="celeryctl down --data"
            )
        server.remove()
    return True


def _end_up(home: Path) -> list[str]:
    process = _find_up(home)
    if process is None:
        return []
    document = running(home) or {}
    deadline = time.monotonic() + END_WITHIN
    with suppress(psutil.NoSuchProcess):
        process.terminate()
        # Not the lock: it lets go of it a moment before its end, and then the next one may hold it.
        while children.lives(process):
            if time.monotonic() > deadline:
                process.kill()
            time.sleep(POLL)
    return ["up", *(str(record["name"]) for record in document.get("processes", []))]


def _find_up(home: Path) -> psutil.Process | None:
    """The `up` that runs here; it says who it is a moment after its beginning."""
    deadline = time.monotonic() + FOUND_WITHIN
    while held(home / "up.lock"):
        if process := children.find(running(home) or {}):
            return process
        if time.monotonic() > deadline:
            raise CeleryctlError(
                "the `celeryctl up` that runs here cannot be found",
                why="it has not said who it is, or it runs in another container",
                fix="celeryctl down    (in a moment)",
            )
        time.sleep(POLL)
    return None
