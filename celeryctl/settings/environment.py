"""Where settings come from: flags, environment, `.env`, a running `up`. Raw values with their origins, read once."""

import io
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from celeryctl import home as homes
from celeryctl.errors import SettingsError

Origin = Literal["flag", "environment", ".env", "up", "default"]
SERVERS = {"DATABASE_URL", "REDIS_URL"}
OWN: tuple[Origin, ...] = ("flag", "environment", ".env")  # where a person sets a variable


@dataclass(frozen=True, slots=True)
class Environment:
    """Raw values by origin, strongest first. ``notices`` tell what was found and not used."""

    home: Path
    env_file: Path
    notices: tuple[str, ...] = ()
    running: Mapping[str, Any] | None = field(default=None, repr=False)
    layers: Mapping[Origin, Mapping[str, str]] = field(default_factory=dict, repr=False)

    @classmethod
    def read(
        cls,
        environ: Mapping[str, str] = os.environ,
        folder: Path | None = None,
        flags: Mapping[str, str] | None = None,
    ) -> "Environment":
        """Read everything that counts for a command in ``folder``, the current one where absent.

        Raises SettingsError where `.env` is ours and cannot be read.
        """
        folder = folder or Path.cwd()
        given: dict[Origin, Mapping[str, str]] = {"flag": flags or {}, "environment": dict(environ)}
        home, notices = _home(_first(given, "CELERYCTL_HOME"), folder)
        env_file = homes.project(home) / ".env"
        given[".env"], found = _dotenv(env_file)
        if not _first(given, "CELERYCTL_HOME", "flag", "environment") and (named := _first(given, "CELERYCTL_HOME")):
            home, notices = _home(named, env_file.parent)
        running = homes.running(home)
        given["up"] = _of_up(given, running)
        overruled = tuple(_overrule(given)) if running and running.get("sources") == "local" else ()
        return cls(home, env_file, (*notices, *found, *overruled), running, given)

    def get(self, name: str) -> str | None:
        """The strongest value that is not empty, without the spaces around it."""
        return _first(self.layers, name)

    def origin(self, name: str) -> Origin:
        return next((origin for origin, layer in self.layers.items() if layer.get(name, "").strip()), "default")

    def own(self, name: str) -> bool:
        """Whether a person has set it, unlike a running `up`."""
        return self.origin(name) in OWN


def _first(layers: Mapping[Origin, Mapping[str, str]], name: str, *origins: Origin) -> str | None:
    values = (layers.get(origin, {}).get(name, "").strip() for origin in origins or get_args(Origin))
    return next(filter(None, values), None)


def _home(named: str | None, folder: Path) -> tuple[Path, tuple[str, ...]]:
    home = homes.find({"CELERYCTL_HOME": named or ""}, folder)
    return home, () if named else tuple(_passed_over(home, folder))


def _passed_over(home: Path, folder: Path) -> Iterator[str]:
    for place in homes.candidates(folder):
        if reason := homes.distrust(place):
            yield f"{place} is ignored: it {reason}"
        if place == home:
            return


def _dotenv(path: Path) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """The file's values as they stand, nothing interpolated, and what is to be told about the file."""
    from dotenv.parser import parse_stream

    # Some people's virtual environment is a folder called .env.
    if not os.access(path, os.F_OK) or path.is_dir():
        return {}, ()
    if reason := homes.distrust(path):
        return {}, (f"{path} is ignored: it {reason}",)
    try:
        text = homes.read_own(path)
    except OSError as exc:
        raise SettingsError(f"{path} cannot be read", why=exc.strerror or str(exc), fix=f"chmod u+r {path}") from exc
    except UnicodeDecodeError as exc:
        why = f"it is not UTF-8 text ({exc.reason} at byte {exc.start})"
        raise SettingsError(f"{path} cannot be read", why=why, fix=f"file {path}") from None
    bindings = list(parse_stream(io.StringIO(text)))
    broken = (f"line {one.original.line} of {path} is ignored: it is no NAME=value" for one in bindings if one.error)
    return {one.key: one.value for one in bindings if one.key and one.value is not None}, tuple(broken)


def _overrule(given: dict[Origin, Mapping[str, str]]) -> Iterator[str]:
    """Let an `up` with local sources win over what is set about sources, and say so: its database is for no others."""
    local = {name for name in given["up"] if name.endswith("_URL") or name == "ALLOW_PRIVATE_SOURCES"}
    for origin in OWN:
        layer = given[origin]
        given[origin] = {name: value for name, value in layer.items() if name not in local - SERVERS}
        for name in sorted(layer.keys() & local - SERVERS):
            if layer[name].strip() not in ("", given["up"][name]):
                yield f"{name} is ignored: the `celeryctl up` that runs here has sources of its own"


def _of_up(given: Mapping[Origin, Mapping[str, str]], running: Mapping[str, Any] | None) -> Mapping[str, str]:
    """The settings of the `up` that runs here; none for a command with another database.

    Local records must not get into a database that somebody has named, nor half of `up`'s cluster beside it.
    """
    written = running.get("settings") if running else None
    settings = {name: value for name, value in (written or {}).items() if isinstance(value, str)}
    database = _first(given, "DATABASE_URL")
    return settings if database in (None, settings.get("DATABASE_URL")) else {}
