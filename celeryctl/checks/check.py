"""A check, and what came of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from celeryctl.errors import CeleryctlError, UnreachableError

Section = Literal["Settings", "Database", "Broker", "Cluster", "Sources", "Machine"]
State = Literal["ok", "warning", "failed", "unreachable", "skipped"]
USABLE = ("ok", "warning")  # what others need may have a blemish


@dataclass(frozen=True, slots=True)
class Result:
    """How a check came out: why, which command mends it, and what --fix has done. Of what is well, ``why`` says more.

    None of it may hold a secret.
    """

    state: State
    why: str = ""
    fix: str = ""
    fixed: str = ""

    @classmethod
    def of(cls, error: CeleryctlError) -> "Result":
        """What the error says; a service that does not answer is told apart from what is wrong."""
        state: State = "unreachable" if error.exit_code == UnreachableError.exit_code else "failed"
        return cls(state, str(error), error.fix)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One question about the cluster.

    ``run`` answers it, or raises CeleryctlError with the answer. It waits for the checks that ``needs`` names, and is
    skipped where one of them has failed. ``remedy`` does what is safe, and says what it did; "" when that was nothing.
    ``fix`` is for what does not answer in time; that is a failure where ``service`` says that others live on it.
    """

    name: str
    section: Section
    run: Callable[[], Result]
    remedy: Callable[[], str] | None = None
    needs: tuple[str, ...] = ()
    fix: str = ""
    service: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """A check with its result."""

    check: Check
    result: Result


Report = Sequence[Finding]


def exit_code(report: Report) -> int:
    """69 when a needed service does not answer, else 1 when a check has failed, else 0."""
    states = {finding.result.state for finding in report}
    return UnreachableError.exit_code if "unreachable" in states else int("failed" in states)
