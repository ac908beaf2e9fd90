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
AGAIN = 60.0  # seconds after a log file could not begin anew
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


def _free(file: Path) -> int:
    return shutil.disk_usage(file).free


def rotate(home: Path, largest: int = LARGEST, free: Callable[[Path], int] = _free) -> bool:
    """Begin every log file anew that has grown larger; what it held stays as ``NAME.log.1``, then ``.2`` and ``.3``.

    False where one could not. It goes on growing then: nobody is to end for that.
    """
    done = True
    for file in (home / "logs").glob("*.log"):
        try:
            if (size := file.stat().st_size) <= largest:
                continue
            if free(file) < 2 * size:
                done = False  # to fill up what others need would help nobody
            else:
                _begin_anew(file)
        except OSError:
            done = False
            with suppress(OSError):
                file.with_name(f"{file.name}.0").unlink()
    return done


class Rotation:
    """Rotates whenever it looks, but for a minute after that failed: to copy in vain is work, too."""

    def __init__(self, rotate: Callable[[], bool], now: Callable[[], float] = time.monotonic) -> None:
        self._rotate, self._now = rotate, now
        self._again = now()

    def look(self) -> None:
        if self._now() >= self._again and not self._rotate():
            self._again = self._now() + AGAIN


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
    ends, before = {}, {file: _inode(_earlier(file)) for file in files}
    for file in files:
        last, ends[file] = _last(file, count)
        if follow and last and not last[-1].endswith(b"\n"):
            # The rest of it is to come: half a secret cannot be masked.
            ends[file] -= len(last.pop())
        yield from _shown(file, last)
    while follow:
        pause()
        for file in files:
            ends[file], before[file], lines = _added(file, ends[file], before[file])
            yield from _shown(file, lines)


def _earlier(file: Path) -> Path:
    return file.with_name(f"{file.name}.1")


def _inode(file: Path) -> int | None:
    return file.stat().st_ino if file.exists() else None


def _last(file: Path, count: int) -> tuple[deque[bytes], int]:
    """So many lines, the first of them from before it began anew, and where the file ends."""
    with file.open("rb") as log:
        last = deque(log, maxlen=count)
        end = log.tell()
    if sum(map(len, last)) == end:
        with suppress(FileNotFoundError), _earlier(file).open("rb") as log:
            more = list(deque(log, maxlen=count + 1))
            if last and more and not more[-1].endswith(b"\n"):
                last[0] = more.pop() + last[0]
            last = deque([*more, *last], maxlen=count)
    return last, end


def _added(file: Path, begin: int, before: int | None) -> tuple[int, int | None, list[bytes]]:
    """The whole lines from there on, where they end, and which file is the earlier one, as ``before`` was last time.

    Where they end is less than 0 in the earlier one, from its end. A file that was emptied or deleted begins anew.
    """
    try:
        now, rest = _inode(_earlier(file)), b""
        with file.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            # It is emptied after it was copied: as long as it is not, it holds all that the copy does.
            if now not in (None, before) and size < _earlier(file).stat().st_size:
                rest, begin, before = _end_of(_earlier(file), max(begin, 0)), 0, now
            elif begin < 0:
                rest, begin = _end_of(_earlier(file), begin), 0
            begin = log.seek(begin if begin <= size else 0) - len(rest)
            text = rest + log.read()
    except FileNotFoundError:
        return 0, before, []
    lines = text[: text.rfind(b"\n") + 1].split(b"\n")[:-1]
    return begin + sum(len(line) + 1 for line in lines), before, lines


def _end_of(file: Path, begin: int) -> bytes:
    with file.open("rb") as log:
        log.seek(begin, os.SEEK_END if begin < 0 else os.SEEK_SET)
        return log.read()


def _shown(file: Path, lines: Iterable[bytes]) -> Iterator[tuple[str, str]]:
    for line in lines:
        yield file.stem, shown(line.decode(errors="replace"))


def shown(line: str) -> str:
    """A line as it may be shown: no secrets; it repeats what others have sent, which steers no terminal."""
    return one_line(mask(line.rstrip("\n")))
