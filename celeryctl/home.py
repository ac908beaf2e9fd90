"""The folder `.celeryctl`, called the home: where it is, whether it may be used, and the locks and files in it.

A home can supply servers, keys and code, so one that somebody else owns or can write to is never used.
"""

import errno
import fcntl
import grp
import json
import os
import pwd
import shlex
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from celeryctl.errors import HomeError

NAME = ".celeryctl"
ELSEWHERE = 'export CELERYCTL_HOME="$HOME/.celeryctl"'


def find(environ: Mapping[str, str], folder: Path) -> Path:
    """The absolute path of the home that commands in ``folder`` use.

    It need not exist. Where CELERYCTL_HOME names it, or where no trusted one is found, `create` is still to check it.
    """
    folder = folder.absolute()
    if named := environ.get("CELERYCTL_HOME"):
        return folder / Path(named).expanduser()
    trusted = (home for home in candidates(folder) if home.is_dir() and distrust(home) is None)
    return next(trusted, folder / NAME)


def candidates(folder: Path) -> Iterator[Path]:
    """Everything called `.celeryctl` in ``folder`` and above it, nearest first, trusted or not."""
    for place in (folder, *folder.parents):
        if os.access(place / NAME, os.F_OK):
            yield place / NAME


def project(home: Path) -> Path:
    """The folder that the home lies in, where `.env` is looked for."""
    return home.absolute().parent


def distrust(path: Path) -> str | None:
    """The reason not to use what is at ``path``, or None; what does not exist gives no reason."""
    try:
        # A symbolic link counts twice: who made it chose what it points to.
        found = [path.lstat(), path.stat()]
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    for entry in found:
        if entry.st_uid != os.geteuid():
            return f"belongs to user {entry.st_uid}"
        if not stat.S_ISLNK(entry.st_mode) and _writable_by_others(entry):
            return "can be written by others"
    return None


def _writable_by_others(entry: os.stat_result) -> bool:
    group = entry.st_mode & stat.S_IWGRP and not _is_private_group(entry.st_gid)
    return bool(entry.st_mode & stat.S_IWOTH or group)


def _is_private_group(gid: int) -> bool:
    """Whether the group is the one that was made for this user alone, as most Linux systems do."""
    try:
        me, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(gid)
    except KeyError:
        return False
    # A directory service may hide who else is in a group: one that bears our name is ours.
    ours = gid == me.pw_gid and group.gr_name == me.pw_name and set(group.gr_mem) <= {me.pw_name}
    return ours and all(other.pw_uid == me.pw_uid for other in pwd.getpwall() if other.pw_gid == gid)


def create(home: Path) -> Path:
    """Make the home, 0700 and invisible to git, or check the one that is there; raises HomeError."""
    with translated(home):
        for folder in reversed([one for one in home.parents if not one.exists()]):
            folder.mkdir(mode=0o755, exist_ok=True)  # under any umask: who can write there can take the home away
        home.mkdir(mode=0o700, exist_ok=True)
        _check(home)
        # A folder with other things in it keeps its mode and gets no .gitignore, which would hide them.
        if not any(home.iterdir()):
            home.chmod(0o700)
            write_private(home / ".gitignore", "*\n")
    return home


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """What the system says of ``path`` as HomeError."""
    try:
        yield
    except OSError as error:
        raise HomeError(f"{path} cannot be used", why=error.strerror or str(error), fix=ELSEWHERE) from error


def _check(home: Path) -> None:
    if reason := distrust(home):
        fix = f"chmod go-w {shlex.quote(str(home))}" if reason == "can be written by others" else ELSEWHERE
        raise HomeError(f"{home} is not used", why=f"it {reason}", fix=fix)
    if not os.access(home, os.R_OK | os.W_OK | os.X_OK):
        raise HomeError(f"{home} cannot be used", why="it cannot be written", fix=ELSEWHERE)


@contextmanager
def lock(path: Path, *, shared: bool = False, wait: bool = True) -> Iterator[bool]:
    """Hold the lock file at ``path``; False, with ``wait=False``, when another process holds it.

    The file is made where needed and stays: deleting it would let two processes lock two different files.
    """
    operation = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    # `held` takes the lock for an instant: one failure does not mean that it is taken.
    tries = 0 if wait else 4
    with translated(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        locked = wait
        if wait:
            fcntl.flock(descriptor, operation)
        while tries and not (locked := _try(descriptor, operation)):
            tries -= 1
            time.sleep(0.01)
        yield locked
    finally:
        # Closing is not enough: a forked child that is still there would go on holding it.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def held(path: Path) -> bool:
    """Whether a process holds the lock at ``path`` exclusively. Creates nothing."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        return not _try(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _try(descriptor: int, operation: int) -> bool:
    try:
        fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def running(home: Path) -> dict[str, Any] | None:
    """What the `up` that runs in this home has written about itself (`up.json`), or None."""
    if distrust(home) or not held(home / "up.lock"):
        return None
    try:
        written = json.loads(read_own(home / "up.json"))
    except (FileNotFoundError, ValueError):
        return None
    return written if isinstance(written, dict) else None


def read_own(path: Path) -> str:
    """The file's text. One of another user is not found: the home may have been exchanged since it was looked at."""
    with path.open(encoding="utf-8") as file:
        if os.fstat(file.fileno()).st_uid != os.geteuid():
            raise FileNotFoundError(errno.ENOENT, "belongs to another user", str(path))
        return file.read()


def write_private(path: Path, text: str) -> None:
    """Write the file as a whole or not at all, 0600, and onto the disk: keys and passwords cannot be made again."""
    with translated(path):
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(descriptor)
            Path(name).replace(path)
            _sync(path.parent)  # a file without its name is lost
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
