"""What an `up` tells others about itself (`up.json`), and what is to be done when it can no longer do it itself."""

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from celeryctl.home import distrust, read_own, write_private
from celeryctl.local import children
from celeryctl.local.valkey import Valkey
from celeryctl.pipeline.context import Context
from celeryctl.settings import SourceDefaults, declared
from celeryctl.settings.table import CARDS, SERVERS, SOURCES

SHARED = (SERVERS, SOURCES, CARDS)


class State:
    """The `up.json` of this process, written anew with every change. It holds passwords: 0600."""

    def __init__(self, home: Path) -> None:
        self._path = home / "up.json"
        self._document: dict[str, Any] = {
            "pid": os.getpid(),
            "created": psutil.Process().create_time(),
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "ready": False,
            "settings": {},
            "processes": [],
        }

    def write(self, **changes: Any) -> None:
        """Change something; the first call makes the file."""
        self._document |= changes
        write_private(self._path, json.dumps(self._document))

    def processes(self, records: Sequence[dict[str, Any]]) -> None:
        self.write(processes=list(records))

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)


def shared(context: Context) -> dict[str, str]:
    """What somebody has set that makes this cluster what it is: other terminals find it through `up`."""
    environment = context.settings.environment
    sources = [SourceDefaults(one.name, one.source.url, one.every) for one in context.datasets.values()]
    names = [setting.variable for setting in declared(sources) if setting.group in SHARED]
    return {name: str(environment.get(name)) for name in names if environment.own(name)}


def sweep(home: Path) -> list[str]:
    """End what an `up` that was killed has left, and return the names. Only for who holds the home's `up.lock`."""
    records = _read(home / "up.json").get("processes")
    left = [(record["name"], process) for record in _listed(records) if (process := children.find(record))]
    children.end(process for _, process in left)
    Valkey(home).stop()
    (home / "up.json").unlink(missing_ok=True)
    return [name for name, _ in left]


def _listed(records: Any) -> list[Any]:
    return records if isinstance(records, list) else []


def _read(path: Path) -> dict[str, Any]:
    if distrust(path.parent) or distrust(path):
        return {}
    try:
        written = json.loads(read_own(path))
    except (FileNotFoundError, ValueError):
        return {}
    return written if isinstance(written, dict) else {}
