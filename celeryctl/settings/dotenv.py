"""The first `.env` of a project: fresh passwords and the card key, no URLs."""

import os
import secrets
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from celeryctl import home as homes
from celeryctl.errors import CeleryctlError
from celeryctl.settings.environment import Environment
from celeryctl.settings.keys import home_keys, new_key

# Of the servers in docker-compose.yml.
PASSWORDS = (
    "POSTGRES_PASSWORD",
    "POSTGRES_OWNER_PASSWORD",
    "POSTGRES_WRITER_PASSWORD",
    "POSTGRES_READER_PASSWORD",
    "REDIS_WORKER_PASSWORD",
    "REDIS_BEAT_PASSWORD",
    "REDIS_VIEWER_PASSWORD",
    "GRAFANA_PASSWORD",
)


def write_first(environment: Environment) -> Sequence[str]:
    """Write it, 0600, and return the names in it. The card key is the one that there is already, else a new one.

    Raises CeleryctlError where a `.env` is there: it may hold keys that exist nowhere else.
    """
    values = _values(environment)
    try:
        _append(environment.env_file, values, os.O_CREAT | os.O_EXCL)
    except FileExistsError:
        if not environment.env_file.exists():
            raise CeleryctlError(
                f"{environment.env_file} is there already",
                why=f"it is a link to {environment.env_file.readlink()}, which is not there",
                fix=f"ls -l {shlex.quote(str(environment.env_file))}",
            ) from None
        lacks = ", ".join(_lacking(environment))
        raise CeleryctlError(
            f"{environment.env_file} is there already",
            why="it is never overwritten: it may hold keys that exist nowhere else"
            + f"; it lacks {lacks}" * bool(lacks),
            fix="celeryctl config init --add" if lacks else f'"${{EDITOR:-vi}}" {environment.env_file}',
        ) from None
    return list(values)


def add_missing(environment: Environment) -> Sequence[str]:
    """Add to the end of `.env` what `write_first` would write and it lacks, and return those names. Makes it 0600."""
    path = environment.env_file
    if not os.access(path, os.F_OK):
        return write_first(environment)
    if reason := homes.distrust(path):
        raise CeleryctlError(f"nothing is added to {path}", why=f"it {reason}", fix=f"ls -l {shlex.quote(str(path))}")
    lacking = _lacking(environment)
    _append(path, {name: value for name, value in _values(environment).items() if name in lacking})
    return lacking


def _values(environment: Environment) -> Mapping[str, str]:
    known = ",".join(map(str, home_keys(environment.home, create=False)))
    keys = environment.get("CARD_ENCRYPTION_KEYS") or known or new_key()
    fresh = {name: secrets.token_urlsafe(24) for name in PASSWORDS}
    return {**fresh, "FLOWER_BASIC_AUTH": f"admin:{secrets.token_urlsafe(24)}", "CARD_ENCRYPTION_KEYS": str(keys)}


def _lacking(environment: Environment) -> list[str]:
    there = environment.layers.get(".env", {})
    return [name for name in (*PASSWORDS, "FLOWER_BASIC_AUTH", "CARD_ENCRYPTION_KEYS") if not there.get(name)]


def _append(path: Path, values: Mapping[str, str], flags: int = 0) -> None:
    """Raises FileExistsError where it is to be made and is there."""
    try:
        with os.fdopen(os.open(path, os.O_RDWR | os.O_APPEND | flags, 0o600), "r+") as file:
            os.fchmod(file.fileno(), 0o600)
            text = file.read()
            # An editor may have left the last line open.
            end = "\n" if text and not text.endswith("\n") else ""
            file.write(end + "".join(f"{name}={value}\n" for name, value in values.items()))
    except FileExistsError:
        raise
    except OSError as exc:
        raise CeleryctlError(
            f"{path} cannot be written", why=exc.strerror or str(exc), fix=f"ls -ld {path.parent}"
        ) from exc
