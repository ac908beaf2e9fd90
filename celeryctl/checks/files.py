"""The home and `.env`: whether they are ours alone, and room on the disk."""

import os
import shlex
from pathlib import Path

import psutil

from celeryctl import home as homes
from celeryctl.checks.check import Check, Result
from celeryctl.checks.configuration import narrow
from celeryctl.checks.patient import Patient
from celeryctl.local.account import Account

GIB = 2**30
LITTLE, TOO_LITTLE = GIB, GIB // 10  # bytes free
WRITABLE = 0o022


def checks(patient: Patient) -> list[Check]:
    return [
        Check(
            name="home", section="Settings", run=lambda: _home(patient), remedy=lambda: _close_homes(patient)
        ),
        Check(name=".env", section="Settings", run=lambda: _env(patient), remedy=lambda: _close_env(patient)),
        Check(name="disk space", section="Machine", run=lambda: _disk(patient)),
    ]  # fmt: skip


def _homes(patient: Patient) -> list[Path]:
    """The home in use, and what is called like one and passed over for it."""
    if os.environ.get("CELERYCTL_HOME"):
        return [patient.home]
    found = []
    for place in homes.candidates(Path.cwd()):
        if place == patient.home:
            break
        found.append(place)
    return [patient.home, *found]


def _home(patient: Patient) -> Result:
    for place in _homes(patient):
        if reason := homes.distrust(place):
            fix = f"chmod go-w {shlex.quote(str(place))}" if "written" in reason else homes.ELSEWHERE
            return Result("failed", f"{place} is not used: it {reason}", fix)
    if patient.home.is_dir() and not os.access(patient.home, os.R_OK | os.W_OK | os.X_OK):
        return Result("failed", f"{patient.home} cannot be written", f"chmod u+rwx {shlex.quote(str(patient.home))}")
    return Result("ok", f"{patient.home}{'' if patient.home.exists() else ' (not made yet)'}")


def _close_homes(patient: Patient) -> str:
    """Take from others the right to write into homes that are ours, and nothing else: they may be shared to be read."""
    open_ones = [place for place in _homes(patient) if homes.distrust(place) and place.is_dir()]
    done = [narrow(place, place.stat().st_mode & 0o7777 & ~WRITABLE) for place in open_ones]
    return _told(", ".join(filter(None, done)))


def _env(patient: Patient) -> Result:
    path = _env_file(patient)
    # Some people's virtual environment is a folder called .env.
    if not path.is_file():
        return Result("ok", "none")
    fix = f"chmod 600 {shlex.quote(str(path))}"
    if reason := homes.distrust(path):
        return Result("failed", f"{path} is not used: it {reason}", fix)
    if not os.access(path, os.R_OK):
        return Result("failed", f"{path} cannot be read", fix)
    if path.stat().st_mode & 0o077 and patient.environment and patient.environment.layers.get(".env"):
        return Result("warning", f"others can read {path}, which may hold passwords", fix)
    return Result("ok", str(path))


def _env_file(patient: Patient) -> Path:
    return patient.environment.env_file if patient.environment else homes.project(patient.home) / ".env"


def _close_env(patient: Patient) -> str:
    path = _env_file(patient)
    written = homes.distrust(path)
    done = narrow(path, 0o600) if path.is_file() else ""
    return _told(done) if written else done


def _told(done: str) -> str:
    return done and f"{done}; others could write there until now: look at what is in it"


def _disk(patient: Patient) -> Result:
    """Of the places where this machine keeps data; those of another machine's servers are theirs."""
    places = {_existing(patient.home), _existing(Account.of(patient.home).folder)}
    free, place = min((psutil.disk_usage(str(place)).free, place) for place in places)
    told = f"{free / GIB:.1f} GiB free in {place}"
    if free < LITTLE:
        return Result("failed" if free < TOO_LITTLE else "warning", told, f"df -h {shlex.quote(str(place))}")
    return Result("ok", told)


def _existing(place: Path) -> Path:
    """The place itself, or the folder that it would be made in."""
    return next(parent for parent in (place, *place.parents) if os.access(parent, os.X_OK))
