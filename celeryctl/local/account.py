"""Who runs PostgreSQL, and in which folder: we ourselves in the home; below root an account without rights.

PostgreSQL refuses to run as root, and an unprivileged account cannot pass a folder of root's that is 0700. So as root
its data lie in a folder of that account's own, and no mode of any other folder is changed.
"""

import hashlib
import os
import pwd
import shutil
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from celeryctl.errors import LocalServerError
from celeryctl.home import ELSEWHERE, distrust

SYSTEM = Path("/var/lib/celeryctl")
# Nothing of our own environment: it may hold keys, and variables that PostgreSQL's tools listen to.
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}


@dataclass(frozen=True, slots=True)
class Account:
    """A user on this machine and the folder, 0700, that the server's files lie in."""

    folder: Path
    uid: int
    gid: int

    @classmethod
    def of(cls, home: Path) -> "Account":
        """The account for this home. Creates nothing."""
        if os.geteuid() != 0:
            return cls(home / "postgres", os.geteuid(), os.getegid())
        folder = SYSTEM / hashlib.sha256(os.fsencode(home.resolve())).hexdigest()[:16]
        # An account `postgres` that came later does not take over what `nobody` began.
        if folder.is_dir() and (owner := folder.stat()).st_uid != 0:
            return cls(folder, owner.st_uid, owner.st_gid)
        return cls(folder, *_unprivileged())

    @property
    def is_other(self) -> bool:
        """Whether this is not the user that we are."""
        return self.uid != os.geteuid()

    def prepare(self) -> None:
        """Make the folder. Raises LocalServerError."""
        with self.translated():
            if self.is_other:
                _make_public(SYSTEM)
            self.folder.mkdir(mode=0o700, exist_ok=True)
            if self.is_other and self.folder.stat().st_uid == 0:
                os.chown(self.folder, self.uid, self.gid)

    def run(self, *command: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run the command as this account in its folder, where no Ctrl-C reaches it. Raises LocalServerError."""
        if self.is_other:
            options |= {"user": self.uid, "group": self.gid, "extra_groups": []}
        with self.translated():
            return subprocess.run(  # noqa: S603 - our own executables, constant arguments
                command,
                cwd=self.folder,
                env=ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                text=True,
                errors="replace",
                start_new_session=True,
                umask=0o077,
                check=False,
                **{"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, **options},
            )

    def can_run(self, executable: Path) -> bool:
        """Whether the account can reach the executable and the libraries that it needs."""
        if not self.is_other:
            return True
        try:
            return self.run(executable, "--version").returncode == 0
        except LocalServerError:
            return False

    @contextmanager
    def secret(self, text: str) -> Iterator[Path]:
        """A file that only this account can read, relative to its folder, for the time of the block."""
        path = self.folder / "secret"
        with self.translated():
            path.unlink(missing_ok=True)
            # O_EXCL: the account itself could have put a link there for root to write through.
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "w") as file:
                os.fchown(descriptor, self.uid, self.gid)
                file.write(text)
        try:
            yield Path(path.name)
        finally:
            path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Delete the folder with everything in it. Raises LocalServerError."""
        with self.translated():
            if self.folder.exists():
                shutil.rmtree(self.folder)

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn what the operating system refuses into a LocalServerError."""
        try:
            yield
        except OSError as error:
            why = f"{error.filename or self.folder}: {error.strerror or error}"
            fix = f"df -h {SYSTEM}" if self.is_other else ELSEWHERE
            raise LocalServerError("the embedded PostgreSQL cannot be used", why=why, fix=fix) from error


def _unprivileged() -> tuple[int, int]:
    for name in ("postgres", "nobody"):
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        return found.pw_uid, found.pw_gid
    return 65534, 65534


def _make_public(folder: Path) -> None:
    """Make a folder that everybody can pass; one that another user could have filled is refused."""
    if not folder.exists():
        # Not even for an instant may another user put something there.
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        folder.chmod(0o755)
    if reason := distrust(folder):
        raise LocalServerError(f"{folder} is not used", why=f"it {reason}", fix=f"ls -ld {folder}")
    if not folder.stat().st_mode & stat.S_IXOTH:
        raise LocalServerError(
            f"{folder} is not used", why="PostgreSQL's account cannot pass it", fix=f"chmod o+x {folder}"
        )
