"""What the tables and the ledger know of one user."""

from dataclasses import dataclass
from datetime import datetime

from celeryctl.storage.coverage import clock
from celeryctl.storage.database import session
from celeryctl.storage.ledger import Miss
from celeryctl.storage.row import dicts
from celeryctl.storage.work import Work


@dataclass(frozen=True, slots=True)
class Standing:
    """One user in one data set: when its row was confirmed last, what was missed, and the database's time."""

    fetched_at: datetime | None
    miss: Miss | None
    now: datetime


def standing(work: Work, user_id: int) -> Standing:
    """How the user stands in this data set."""
    fields = work.model._meta.fields
    with session():
        rows = dicts(work.model.select(fields["fetched_at"]).where(fields["user"] == user_id))
        miss = Miss.get_or_none(Miss.dataset == work.name, Miss.key == str(user_id))
        return Standing(max((row["fetched_at"] for row in rows), default=None), miss, clock())
