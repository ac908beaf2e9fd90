"""The log files of what `up` started: their last lines, and what is added to them."""

import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from celeryctl.errors import CeleryctlError, UsageError
from celeryctl.home import translated
from celeryctl.logs import mask, one_line

POLL = 0.2  # seconds
LARGEST, KEPT = 10 * 2**20, 3  # bytes of a log file, and how many earlier ones stay


def log_file(home: Path, name: str) -> Path:
    """Where the output of a process of this home goes, there or not."""
    return home / "logs" / f"{name}.log"


def open_log(home: Path, name: str) -> BinaryIO:
    """Open the log file of a process for appending, 0600; a server may inherit it."""
    path = log_file(home, name)
    with translated(path):
        path.parent.mkdir(mode=0o700, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        return os.fdopen(os.open(path, flags, 0o600), "ab")


def rotate(home: Path, largest: int = LARGEST) -> None:
    """Begin every log file anew that has grown larger; what it held stays as ``NAME.log.1``, then ``.2`` and ``.3``."""
    for file in (home / "logs").glob("*.log"):
        # Where the disk is full or a file is gone, it goes on growing: nobody is to end for that.
        try:
            if file.stat().st_size > largest:
                _begin_anew(file)
        except OSError:
            with suppress(OSError):
                file.with_name(f"{file.name}.0").unlink()


def _begin_anew(file: Path) -> None:
    """Who writes keeps the file open, and appends: it is copied and emptied, and nobody notices.

    What is written between the last look and that is lost, which is a matter of microseconds.
    """
    earlier = [file.with_name(f"{file.name}.{number}") for number in range(KEPT + 1)]
    with file.open("r+b") as old, open(earlier[0], "wb", buffering=0, opener=_private) as copy:
        shutil.copyfileobj(old, copy)
        for number in range(KEPT, 0, -1):
            with suppress(FileNotFoundError):
                earlier[number - 1].replace(earlier[number])
        shutil.copyfileobj(old, copy)  # what has come meanwhile
        old.truncate(0)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def choose(home: Path, name: str | None) -> list[Path]:
    """The file of one process, or all that there are. Raises UsageError, CeleryctlError when there is none at all."""
    files = sorted((home / "logs").glob("*.log"))
    if not files:
        raise CeleryctlError(
            "there are no log files here", why=f"nothing was started yet in {home}", fix="celeryctl up"
        )
    chosen = [file for file in files if name in (None, file.stem)]
    if not chosen:
        there = ", ".join(file.stem for file in files)
        raise UsageError(
            f"there is no log of {name!r}", why=f"there are: {there}", fix=f"celeryctl logs {files[0].stem}"
        )
    return chosen


def read(
    files: Sequence[Path], count: int, *, follow: bool, pause: Callable[[], None] = lambda: time.sleep(POLL)
) -> Iterator[tuple[str, str]]:
    """The last lines of every file, each with the name of its process; with ``follow`` what is added later, too."""
    ends = {}
    for file in files:
        with file.open("rb") as log:
            last = deque(log, maxlen=count)
            ends[file] = log.tell()
        if follow and last and not last[-1].endswith(b"\n"):
            # The rest of it is to come: half a secret cannot be masked.
            ends[file] -= len(last.pop())
        yield from _shown(file, last)
    while follow:
        pause()
        for file in files:
            ends[file], lines = _added(file, ends[file])
            yield from _shown(file, lines)


def _added(file: Path, begin: int) -> tuple[int, list[bytes]]:
    """The whole lines from there on, and where they end. A file that was emptied or deleted begins anew."""
    try:
        with file.open("rb") as log:
            begin = begin if begin <= log.seek(0, os.SEEK_END) else 0
            log.seek(begin)
            text = log.read()
    except FileNotFoundError:
        return 0, []
    lines = text[: text.rfind(b"\n") + 1].split(b"\n")[:-1]
    return begin + sum(len(line) + 1 for line in lines), lines


def _shown(file: Path, lines: Iterable[bytes]) -> Iterator[tuple[str, str]]:
    for line in lines:
        yield file.stem, shown(line.decode(errors="replace"))


def shown(line: str) -> str:
    """A line as it may be shown: no secrets; it repeats what others have sent, which steers no terminal."""
    return one_line(mask(line.rstrip("\n")))
