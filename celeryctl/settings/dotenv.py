"""The first `.env` of a project: fresh passwords and the card key, no URLs."""

import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from celeryctl.errors import CeleryctlError
from celeryctl.settings.environment import Environment
from celeryctl.settings.keys import home_keys, new_key


def write_first(environment: Environment) -> Sequence[str]:
    """Write it, 0600, and return the names in it. The card key is the one that there is already, else a new one.

    Raises CeleryctlError where a `.env` is there: it may hold keys that exist nowhere else.
    """
    known = ",".join(map(str, home_keys(environment.home, create=False)))
    keys = environment.get("CARD_ENCRYPTION_KEYS") or known or new_key()
    values = {
        "POSTGRES_PASSWORD": secrets.token_urlsafe(24),
        "POSTGRES_OWNER_PASSWORD": secrets.token_urlsafe(24),
        "POSTGRES_WRITER_PASSWORD": secrets.token_urlsafe(24),
        "POSTGRES_READER_PASSWORD": secrets.token_urlsafe(24),
        "REDIS_WORKER_PASSWORD": secrets.token_urlsafe(24),
        "REDIS_BEAT_PASSWORD": secrets.token_urlsafe(24),
        "REDIS_VIEWER_PASSWORD": secrets.token_urlsafe(24),
        "FLOWER_BASIC_AUTH": f"admin:{secrets.token_urlsafe(24)}",
        "GRAFANA_PASSWORD": secrets.token_urlsafe(24),
        "CARD_ENCRYPTION_KEYS": str(keys),
    }
    _write(environment.env_file, "".join(f"{name}={value}\n" for name, value in values.items()))
    return list(values)


def _write(path: Path, text: str) -> None:
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
    except FileExistsError:
        raise CeleryctlError(
            f"{path} is there already",
            why="it is never overwritten: it may hold keys that exist nowhere else",
            fix=f'"${{EDITOR:-vi}}" {path}',
        ) from None
    except OSError as exc:
        raise CeleryctlError(
            f"{path} cannot be written", why=exc.strerror or str(exc), fix=f"ls -ld {path.parent}"
        ) from exc
