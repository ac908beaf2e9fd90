"""Starting an `up` in the background and coming back when it works."""

import os
import time
from collections.abc import Sequence
from pathlib import Path

from celeryctl.errors import CeleryctlError
from celeryctl.home import create, running
from celeryctl.local import children

POLL = 0.05  # seconds


def detach(home: Path, flags: Sequence[str]) -> str:
    """Start ``celeryctl up`` with these flags in a session of its own; its words go to ``logs/up.log``.

    Returns what it said until it was ready, or that another one runs. Raises CeleryctlError when it ends before that.
    Whoever is interrupted while waiting ends it again.
    """
    child = children.launch(create(home), "up", ["up", *flags], os.environ)
    try:
        while not _is_ready(home, child):
            if child.process.poll() is not None:
                return _ended(home, child)
            time.sleep(POLL)
    except BaseException:
        children.end([child.process])
        raise
    return child.said().rstrip()


def _ended(home: Path, child: children.Child) -> str:
    if child.process.returncode:
        raise CeleryctlError("celeryctl up does not start", why=child.last_words(), fix="celeryctl logs up")
    if running(home) is None:
        why = "somebody has asked it to end, as `celeryctl down` does"
        raise CeleryctlError("celeryctl up was stopped before it was ready", why=why, fix="celeryctl up --detach")
    return child.said().rstrip()


def _is_ready(home: Path, child: children.Child) -> bool:
    document = running(home) or {}
    return bool(document.get("ready")) and document.get("pid") == child.process.pid
