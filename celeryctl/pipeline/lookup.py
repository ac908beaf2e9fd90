"""A run by the beginning of its id."""

import re

from celeryctl.errors import CeleryctlError, UsageError
from celeryctl.storage import history
from celeryctl.storage.ledger import Run

ID = re.compile(r"[0-9a-f-]{1,36}", re.IGNORECASE)


def find_run(prefix: str) -> Run:
    """The one run whose id begins with ``prefix``.

    Raises UsageError where several do, naming them, or where that cannot be an id; CeleryctlError where none does.
    """
    if not ID.fullmatch(prefix):
        raise UsageError(
            f"{prefix!r} is not the id of a run", why="an id is hexadecimal, such as 1f0c2a9e", fix="celeryctl runs"
        )
    found = history.by_prefix(prefix, most=6)
    if not found:
        raise CeleryctlError(f"there is no run {prefix}", why="no id begins with this", fix="celeryctl runs")
    if len(found) > 1:
        named = ", ".join(f"{str(run.id)[:8]} ({run.dataset}, {run.status})" for run in found[:5])
        more = ", …" if len(found) > 5 else ""
        raise UsageError(f"several runs begin with {prefix}", why=f"{named}{more}", fix="celeryctl runs")
    return found[0]
