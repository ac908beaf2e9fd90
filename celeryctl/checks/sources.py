"""Whether every source answers, and with what it should."""

from functools import partial

from celeryctl.checks.check import Check, Result
from celeryctl.checks.databases import TABLES
from celeryctl.checks.examination import WITHIN
from celeryctl.checks.patient import Patient
from celeryctl.dataset import Dataset
from celeryctl.errors import SourceUnreachableError
from celeryctl.http import Answer
from celeryctl.http.faults import site
from celeryctl.local import probe
from celeryctl.pipeline import trial
from celeryctl.pipeline.rejection import Rejection
from celeryctl.verdicts.sources import cooling


def checks(patient: Patient) -> list[Check]:
    if patient.fault:
        return []
    asked = [
        Check(
            name=f"source of {name}",
            section="Sources",
            run=partial(_ask, patient, name),
            service=True,
            fix=f"celeryctl config show    (see {dataset.variable}_URL)",
        )
        for name, dataset in patient.context.datasets.items()
    ]
    return [*asked, Check(name="cooling down", section="Sources", run=partial(_cooling, patient), needs=TABLES)]


def _ask(patient: Patient, name: str) -> Result:
    client = probe.client(patient.context, within=WITHIN)
    try:
        return _judge(patient.context.datasets[name], probe.ask(client, patient.context, name))
    except SourceUnreachableError as exc:
        fix = f"celeryctl fetch {name.replace('_', '-')}    (later; is there a network?)"
        return Result("unreachable", exc.why, fix)
    finally:
        client.close()


def _cooling(patient: Patient) -> Result:
    told = {name: reason for name in patient.context.datasets if (reason := cooling(patient.context, name))}
    if not told:
        return Result("ok", "the schedule leaves none alone")
    fix = f"celeryctl fetch {next(iter(told)).replace('_', '-')}"
    return Result("warning", "; ".join(f"{name}: {reason.rstrip('.')}" for name, reason in told.items()), fix)


def _judge(dataset: Dataset, answer: Answer) -> Result:
    told = site(answer.url)
    if answer.status == 404:
        return Result("ok", f"{told}: none for the user that was asked for")
    results = trial.records(dataset, answer.body)
    reasons = [reason for one in results if isinstance(one, Rejection) for reason in one.reasons]
    if reasons or (not results and dataset.source.kind == "draw"):
        why = f"its record would be rejected: {'; '.join(reasons)}" if reasons else "it gives no record"
        return Result("failed", f"{told}: {why}", f"celeryctl config show    (see {dataset.variable}_URL)")
    return Result("ok", told if results else f"{told}: an empty list")
