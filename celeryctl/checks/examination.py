"""Making all checks at the same time, within a deadline, and mending what may be mended."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import replace
from functools import partial

from celeryctl import threads
from celeryctl.checks.check import USABLE, Check, Finding, Report, Result
from celeryctl.errors import CeleryctlError

WITHIN = 3.0  # seconds for everything: with all services away a command is to end within five
TOLD = {"unreachable": "does not answer", "failed": "is not in order", "skipped": "was skipped"}


def examine(checks: Sequence[Check], *, within: float = WITHIN) -> Report:
    """A finding for every check, in their order. What has not come by then is told as such."""
    answers: dict[str, Future[Result]] = {}
    for check in checks:
        # Needed ones come first in the list, so their answers are there to be waited for.
        awaited = {name: answers[name] for name in check.needs}
        answers[check.name] = threads.start(partial(_make, check, awaited))
    wait(answers.values(), timeout=within)
    # What comes in later must not make a report that contradicts itself.
    results = {name: answer.result() if answer.done() else None for name, answer in answers.items()}
    return [Finding(check, results[check.name] or _late(check, results, within)) for check in checks]


def _make(check: Check, awaited: Mapping[str, "Future[Result]"]) -> Result:
    for name, answer in awaited.items():
        if (state := answer.result().state) not in USABLE:
            return Result("skipped", f"needs: {name}, which {TOLD[state]}")
    try:
        return check.run()
    except CeleryctlError as exc:
        return Result.of(exc)


def _late(check: Check, results: Mapping[str, Result | None], within: float) -> Result:
    for name in check.needs:
        needed = results[name]
        if needed is None or needed.state not in USABLE:
            return Result("skipped", f"needs: {name}, which does not answer")
    return Result("unreachable" if check.service else "warning", f"no answer within {within:g} s", check.fix)


def treat(report: Report) -> dict[str, Result]:
    """Apply the remedies of what is not well. What each did, by the name of its check."""
    treated: dict[str, Result] = {}
    for finding in report:
        remedy = finding.check.remedy
        if remedy is None or finding.result.state not in ("warning", "failed"):
            continue
        try:
            if done := remedy():
                treated[finding.check.name] = Result("ok", fixed=done)
        except CeleryctlError as exc:
            treated[finding.check.name] = Result.of(exc)
    return treated


def told(report: Report, treated: Mapping[str, Result]) -> Report:
    """The report after the remedies, with what they did, or why they could not."""
    return [Finding(one.check, _told(one.result, treated.get(one.check.name))) for one in report]


def _told(result: Result, remedy: Result | None) -> Result:
    if remedy is None:
        return result
    if remedy.fixed:
        return replace(result, fixed=remedy.fixed)
    return replace(result, why=f"{result.why}; not mended: {remedy.why}", fix=remedy.fix or result.fix)
