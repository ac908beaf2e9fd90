"""All settings: declared in `table`, found by `environment`, checked by `parse` and `urls`, typed in `model`."""

from celeryctl.settings.environment import Environment, Origin
from celeryctl.settings.keys import add_key, home_keys, new_key
from celeryctl.settings.model import Settings, SourceSettings, load
from celeryctl.settings.parse import parse_duration, parse_rate, parse_size
from celeryctl.settings.secret import Secret, masked, without_secrets
from celeryctl.settings.table import SETTINGS, Setting, SourceDefaults, declared, example
from celeryctl.settings.urls import tls

__all__ = [
    "SETTINGS",
    "Environment",
    "Origin",
    "Secret",
    "Setting",
    "Settings",
    "SourceDefaults",
    "SourceSettings",
    "add_key",
    "declared",
    "example",
    "home_keys",
    "load",
    "masked",
    "new_key",
    "parse_duration",
    "parse_rate",
    "parse_size",
    "tls",
    "without_secrets",
]
