"""Settings, data sets, and the keys for card numbers."""

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from celeryctl import home as homes
from celeryctl.checks.check import Check, Result
from celeryctl.checks.patient import Patient
from celeryctl.datasets import load
from celeryctl.errors import DatasetError, SettingsError
from celeryctl.settings import Environment, SourceDefaults, declared, home_keys
from celeryctl.settings.keys import NAME
from celeryctl.settings.model import value


def checks(patient: Patient) -> list[Check]:
    def settings() -> Result:
        return _settings(patient)

    def datasets() -> Result:
        if isinstance(patient.fault, DatasetError):
            raise patient.fault
        return Result("ok", ", ".join(patient.context.datasets))

    def servers() -> Result:
        patient.context.settings.require_both("a cluster")
        return Result("ok")

    def key() -> Result:
        return _key(patient)

    return [
        Check(name="settings", section="Settings", run=settings),
        Check(name="data sets", section="Settings", run=datasets, needs=("settings",)),
        Check(name="both servers", section="Settings", run=servers, needs=("data sets",)),
        Check(name="card key", section="Settings", run=key, needs=("data sets",), remedy=lambda: _close_key(patient)),
    ]


def _settings(patient: Patient) -> Result:
    environment = patient.environment
    if environment is None:
        raise patient.fault or SettingsError()
    wrong = list(_wrong(patient, environment))
    if not wrong and isinstance(patient.fault, SettingsError):
        raise patient.fault
    if wrong:
        return Result("failed", "; ".join(map(str, wrong)), wrong[0].fix)
    # What is said about the home and `.env` themselves are checks of their own.
    places = (environment.env_file, *homes.candidates(Path.cwd()))
    notices = [text for text in environment.notices if not any(text.startswith(f"{place} ") for place in places)]
    return Result("warning", "; ".join(notices), "celeryctl config show") if notices else Result("ok")


def _wrong(patient: Patient, environment: Environment) -> Iterator[SettingsError]:
    """All wrong values; reading the settings stops at the first."""
    known = {} if isinstance(patient.fault, DatasetError) else load()
    for setting in declared(SourceDefaults(one.name, one.source.url, one.every) for one in known.values()):
        try:
            value(environment, setting)
        except SettingsError as exc:
            yield exc


def _key(patient: Patient) -> Result:
    context = patient.context
    if context.settings.card_encryption_keys:
        return Result("ok", f"CARD_ENCRYPTION_KEYS, {len(context.settings.card_encryption_keys)} in use")
    context.require_key()
    found = home_keys(context.settings.home, create=False)
    return Result("ok", str(context.settings.home / NAME) if found else "none yet; made with the first card")


def _close_key(patient: Patient) -> str:
    """Take from others what they may do with the key file, if it is ours."""
    path = patient.home / NAME
    return narrow(path, 0o600) if path.is_file() and not path.is_symlink() else ""


def narrow(path: Path, mode: int) -> str:
    """Set the mode of what is ours. What was done, "" when it is not ours, or nothing is to be done."""
    try:
        found = path.stat()
        if found.st_uid != os.geteuid() or found.st_mode & 0o7777 == mode:
            return ""
        path.chmod(mode)
    except OSError as exc:
        why = exc.strerror or str(exc)
        raise SettingsError(f"{path} keeps its mode", why=why, fix=f"chmod {mode:o} {shlex.quote(str(path))}") from exc
    return f"chmod {mode:o} {path}"
