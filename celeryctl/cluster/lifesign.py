"""HEARTBEAT_FILE: by its age whoever runs a worker or a beat sees whether that still turns.

It depends on neither broker nor database: while those are away, nobody is helped by a worker that is started anew.
"""

import errno
import logging
import os
import shlex
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path

from celeryctl.cluster.queues import check
from celeryctl.errors import CeleryctlError, SettingsError, UnreachableError
from celeryctl.settings import Settings
from celeryctl.storage.database import connect_once

logger = logging.getLogger(__name__)

EVERY = 2.0  # seconds between two touches, and between two turns that are looked for
PATIENCE = 60.0  # seconds after which a loop that has not turned counts as stuck


def touch(path: Path) -> None:
    """Make the file, or renew its time. Raises SettingsError where it is not to be written, or not ours."""
    try:
        # Who has put a link there chose what we write to; opening a pipe would wait for a reader.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    except OSError as exc:
        why = "it is a symbolic link" if exc.errno == errno.ELOOP else exc.strerror or str(exc)
        raise _refusal(path, why) from None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise _refusal(path, "it is no regular file")
        if found.st_uid != os.geteuid():
            raise _refusal(path, f"it belongs to user {found.st_uid}")
        os.utime(descriptor)
    finally:
        os.close(descriptor)


def servers_answer(settings: Settings) -> bool:
    """Whether broker and database do, be it with a refusal."""
    try:
        check(settings)
        connect_once(str(settings.database_url)).close()
    except CeleryctlError as exc:
        return not isinstance(exc, UnreachableError)
    return True


def _refusal(path: Path, why: str) -> SettingsError:
    shown = path if os.access(path, os.F_OK) else path.parent
    return SettingsError(f"HEARTBEAT_FILE, {path}, cannot be used", why=why, fix=f"ls -ld {shlex.quote(str(shown))}")


class LifeSign:
    """The file of one program, touched from a thread, unless the program's loop should turn and does not."""

    def __init__(self, path: Path, servers_answer: Callable[[], bool]) -> None:
        self._path, self._servers_answer = path, servers_answer
        self._turned: float | None = None  # when the loop did last; None: there is nothing that it should do
        self._excused = -PATIENCE  # when it was last found to wait for a server
        self._works: Callable[[], bool] = lambda: False
        self._told = ""

    def start(self) -> None:
        """Touch it every few seconds, until the process ends."""
        threading.Thread(target=self._run, name="life sign", daemon=True).start()

    def touch(self) -> None:
        """Touch it. What keeps us from it is logged, once: it may be over soon."""
        try:
            touch(self._path)
            self._told = ""
        except SettingsError as exc:
            if self._told != str(exc):
                logger.warning("no sign of life: %s", exc)
            self._told = str(exc)

    def watch(self, works: Callable[[], bool] = lambda: False) -> None:
        """From now on the loop should turn, unless it ``works``."""
        self._works = works
        self.turned()

    def turned(self) -> None:
        """The loop does."""
        self._turned = time.monotonic()

    def rest(self) -> None:
        """From now on the loop need not turn: it ends."""
        self._turned = None

    def _run(self) -> None:
        while True:
            if not self._is_stuck():
                self.touch()
            time.sleep(EVERY)

    def _is_stuck(self) -> bool:
        turned = self._turned
        if turned is None or time.monotonic() - max(turned, self._excused) < PATIENCE or self._works():
            return False
        # A connection over which nothing comes is not lost yet, and the loop waits at it, for longer than our patience.
        if self._servers_answer():
            return True
        self._excused = time.monotonic()
        return False
