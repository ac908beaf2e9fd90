"""Every check that there is, section by section; a check comes after those that it needs."""

from celeryctl.checks import brokers, cluster, configuration, databases, files, sources
from celeryctl.checks.check import Check, Report
from celeryctl.checks.examination import examine, told, treat
from celeryctl.checks.patient import Patient

SECTIONS = ("Settings", "Database", "Broker", "Cluster", "Sources", "Machine")


def checks(patient: Patient) -> list[Check]:
    rooms = (files, configuration, databases, brokers, cluster, sources)
    found = [check for room in rooms for check in room.checks(patient)]
    return sorted(found, key=lambda check: SECTIONS.index(check.section))


def diagnose(*, fix: bool = False) -> Report:
    """Look at everything; with ``fix`` mend what is safe to mend, and look again at all of it."""
    with Patient() as patient:
        report = examine(checks(patient))
        if not fix or not (treated := treat(report)):
            return report
        return told(examine(checks(patient)), treated)
