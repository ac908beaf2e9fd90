"""What the tests of the checks share: a patient in these circumstances, and what one check says of it."""

from collections.abc import Callable

from celeryctl.checks.catalogue import checks
from celeryctl.checks.check import Check, Result
from celeryctl.checks.patient import Patient
from celeryctl.errors import CeleryctlError

Look = Callable[..., Result]


def find(patient: Patient, name: str) -> Check:
    return next(check for check in checks(patient) if check.name == name)


def look(name: str) -> Result:
    """What the check of this name says, its needs taken as given."""
    with Patient() as patient:
        if not patient.fault and patient.context.settings.database_url:
            patient.context.connect()
        try:
            return find(patient, name).run()
        except CeleryctlError as exc:
            return Result.of(exc)


def mend(name: str) -> str:
    """What the check's remedy says that it did."""
    with Patient() as patient:
        if not patient.fault and patient.context.settings.database_url:
            patient.context.connect()
        remedy = find(patient, name).remedy
        assert remedy is not None
        return remedy()
