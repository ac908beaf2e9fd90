"""What came of a batch, and where it goes: rows into their table, counts and pages into the run."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from celeryctl.storage import readings
from celeryctl.storage.cipher import Keyring
from celeryctl.storage.database import database
from celeryctl.storage.ledger import Run
from celeryctl.storage.misses import Missed
from celeryctl.storage.rows import Rows
from celeryctl.storage.upsert import Written, upsert

if TYPE_CHECKING:
    from celeryctl.storage.batches import Claim


@dataclass(slots=True)
class Outcome:
    """What came of a batch: rows to store, and what could not be stored; or how many rows are ``known`` to be stored.

    For a listing: ``bound`` is its last page where known, ``ended`` says that this batch held it, ``position`` is where
    the next batch goes on, ``page_size`` what the source really gives, ``expected`` how many records there are;
    ``reading`` is what its pages held, by which they are known when they come again. ``timings`` are how each request
    ended, and after how many seconds. ``written`` is what storing it came to, once it is finished.
    """

    rows: Rows | None = None
    missed: list[Missed] = field(default_factory=list)
    requests: int = 0
    retries: int = 0
    timings: Sequence[tuple[str, float]] = ()
    bound: int | None = None
    ended: bool = False
    position: str | None = None
    page_size: int | None = None
    expected: int | None = None
    known: int = 0
    reading: readings.Reading | None = None
    written: Written | None = None


def store(claimed: "Claim", outcome: Outcome, keyring: Keyring) -> Written:
    """Store its rows, together with the reading of its pages where there is one."""
    if not outcome.rows:
        return Written(unchanged=outcome.known)
    if outcome.reading is None:
        return upsert(outcome.rows, keyring)
    return readings.store(claimed, outcome.rows, outcome.reading, keyring)


def hold_users(outcome: Outcome) -> None:
    """Keep the users of rows and misses from being deleted, before anything else is locked that a deletion wants."""
    users = outcome.rows.users if outcome.rows else ()
    ids = sorted({*(user for user in users if user is not None), *(int(missed.key) for missed in outcome.missed)})
    database.execute_sql("SELECT FROM users WHERE id = ANY (%s) ORDER BY id FOR KEY SHARE", (ids,))


def count(run: Run, outcome: Outcome) -> None:
    """Add its requests to the run's, which is not saved here."""
    run.requests += outcome.requests
    run.retries += outcome.retries


def turn_pages(run: Run, outcome: Outcome) -> None:
    """Note in the run of a listing, which is not saved here, how far it goes and where it goes on."""
    if outcome.bound is not None:
        run.bound = max(outcome.bound, run.bound or 0)
    elif outcome.ended:
        run.bound = run.cursor
    run.position = outcome.position
    run.page_size = outcome.page_size or run.page_size
    if outcome.expected is not None:
        run.expected = min(outcome.expected, run.record_limit or outcome.expected)
