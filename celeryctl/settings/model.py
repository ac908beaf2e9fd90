"""The typed settings, and how they are made from raw values."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from celeryctl.errors import SettingsError
from celeryctl.logs import HIDDEN, Format
from celeryctl.settings import table
from celeryctl.settings.environment import Environment
from celeryctl.settings.parse import shortened
from celeryctl.settings.secret import Secret, masked
from celeryctl.settings.table import SETTINGS, Setting, SourceDefaults

WELL_MASKED = re.compile(rf"\w+://(?:[^\s:/?#@\[]*(?::{re.escape(HIDDEN)})?@)?[^@]*$", re.ASCII)
UP_TO_AT = re.compile(r"(://).*@", re.DOTALL)


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceSettings:
    """How one data set is fetched. Without ``max_age`` only what is missing is."""

    url: str
    every: timedelta
    max_age: timedelta | None = None
    authorization: Secret | None = None
    rate_limit: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """All settings, typed and checked. Time-outs are in seconds, sizes in bytes; None and () mean unset."""

    home: Path
    database_url: Secret | None
    redis_url: Secret | None
    sources: Mapping[str, SourceSettings]
    datasets: tuple[str, ...]
    allow_private_sources: bool
    card_encryption_keys: tuple[Secret, ...]
    flower_host: str
    flower_port: int
    flower_basic_auth: Secret | None
    metrics_host: str
    metrics_port: int | None
    log_level: str
    log_format: Format
    heartbeat_file: Path | None
    batch_size: int
    worker_concurrency: int
    database_pool_size: int
    fetch_threads: int
    http_connect_timeout: float
    http_read_timeout: float
    http_total_timeout: float
    http_max_tries: int
    http_max_bytes: int
    max_attempts: int
    environment: Environment

    def require_both(self, what: str) -> None:
        """Refuse ``what`` with half a cluster: the other half would be a private one. Raises SettingsError."""
        own = [name for name in ("DATABASE_URL", "REDIS_URL") if self.environment.own(name)]
        if len(own) == 1:
            other = "REDIS_URL" if own == ["DATABASE_URL"] else "DATABASE_URL"
            raise SettingsError(
                f"{what} needs both DATABASE_URL and REDIS_URL, or neither",
                why=f"only {own[0]} is set ({self.environment.origin(own[0])}): that is half a cluster",
                fix=f"set {other} too, or unset {own[0]}",
            )

    def require_flower_auth(self) -> None:
        """Refuse a Flower that others can reach and use without a password. Raises SettingsError."""
        if not self.flower_basic_auth and not _is_loopback(self.flower_host):
            raise SettingsError(
                f"FLOWER_HOST is {self.flower_host}, and FLOWER_BASIC_AUTH is not set",
                why="who reaches Flower can stop workers and read the tasks; beyond loopback it needs a password",
                fix="export FLOWER_BASIC_AUTH=<user>:<password>",
            )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def load(environment: Environment, sources: Iterable[SourceDefaults]) -> Settings:
    """Read every setting. Raises SettingsError, naming the variable, for the first value that is wrong."""
    own = {setting.field: value(environment, setting) for setting in SETTINGS}
    own["home"] = environment.home
    for several in ("datasets", "card_encryption_keys"):
        own[several] = own[several] or ()
    return Settings(**own, environment=environment, sources={one.name: _source(environment, one) for one in sources})


def _source(environment: Environment, source: SourceDefaults) -> SourceSettings:
    every, url, *others = (value(environment, setting) for setting in table.of_dataset(source))
    max_age, authorization, rate_limit = others
    return SourceSettings(url=url, every=every, max_age=max_age, authorization=authorization, rate_limit=rate_limit)


def value(environment: Environment, setting: Setting) -> Any:
    """The setting's value, None where it is unset."""
    text = environment.get(setting.variable) or setting.default
    if not text:
        return None
    try:
        return setting.parse(text)
    except SettingsError as exc:
        # `from None`: what the parser says repeats the value, which may be a secret.
        raise _refusal(environment, setting, text, exc.why) from None


def _refusal(environment: Environment, setting: Setting, text: str, allowed: str) -> SettingsError:
    origin, name = environment.origin(setting.variable), setting.variable
    places = {
        "flag": ("on the command line", "celeryctl help"),
        "environment": ("in the environment", f"export {name}={setting.example or setting.default}"),
        ".env": (f"in {environment.env_file}", f'"${{EDITOR:-vi}}" {environment.env_file}'),
        "up": ("by the `celeryctl up` that runs here", "celeryctl down"),
        "default": ("by the data set's declaration", "celeryctl dataset check"),
    }
    place, fix = places[origin]
    if origin == "environment" and not (setting.example or setting.default):
        fix = f"unset {name}"
    return SettingsError(
        f"{name} is {shortened(_shown(setting, text))}, set {place}", why=f"allowed: {allowed}", fix=fix
    )


def _shown(setting: Setting, text: str) -> str:
    """A wrong value as it may be shown. What is no URL may have its password anywhere before the last @.

    A quotation mark that is missing in `.env` makes the lines below it a part of the value.
    """
    if setting.show is str:
        first, *more = text.splitlines()
        return first + " …" * bool(more)
    shown = setting.show(text)
    return shown if setting.show is not masked or WELL_MASKED.match(shown) else UP_TO_AT.sub(rf"\1{HIDDEN}@", shown)
