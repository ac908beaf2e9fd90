"""What the ledger has to know of a data set to plan its runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import peewee


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """How a data set's runs are cut into batches.

    ``listing``: batches are ranges of pages of ``page_size`` records; else ranges of ids of the users that lack a row
    in ``model`` or have one older than ``max_age``. A batch is ``batch_size`` records at most. ``single``: a user has
    one row at most.
    """

    name: str
    model: type[peewee.Model]
    listing: bool
    page_size: int
    batch_size: int
    max_age: timedelta | None = None
    single: bool = True


Works = Mapping[str, Work]
