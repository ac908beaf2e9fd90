"""The read side, for other programs and for the command line: plain dicts, card numbers masked.

The database is the one of the settings (DATABASE_URL, or a running `celeryctl up`); it is found at the first call.
``user_id`` is always ``users.id``. A missing user is None or an empty list; lists are ordered by id.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

from celeryctl.dataset import Dataset
from celeryctl.errors import CipherError
from celeryctl.pipeline.context import Context
from celeryctl.pipeline.schedule import due
from celeryctl.storage import coverage, snapshot
from celeryctl.storage.cipher import Keyring, mask
from celeryctl.storage.database import database, session
from celeryctl.storage.row import EncryptedField, dicts
from celeryctl.storage.upsert import context_of
from celeryctl.storage.user import User

UNKNOWN = "****"

_context: Context | None = None


def use(context: Context | None) -> None:
    """Read with these settings from now on; with None they are read anew, when they are needed."""
    global _context  # the services are static: they have nobody to hold it for them
    _context = context


def context() -> Context:
    """The settings that the services read with; where nobody has said which, those of this process, read once."""
    if _context is None:
        use(Context.read())
    return cast("Context", _context)


@contextmanager
def reading() -> Iterator[None]:
    """Hold a connection, to the settings' database where nothing has named another."""
    if database.deferred:
        context().connect()
    with session():
        yield


class UserService:
    """Users."""

    @staticmethod
    def get_user_by_external_id(external_id: int) -> dict[str, Any] | None:
        """The user that the source knows by this id."""
        with reading():
            return next(iter(dicts(User.select().where(User.external_id == external_id))), None)

    @staticmethod
    def get_user_with_relations(user_id: int, *, reveal: bool = False) -> dict[str, Any] | None:
        """The user with a list for every data set that hangs on users: ``addresses``, ``credit_cards``, …"""
        with reading():
            user = next(iter(dicts(User.select().where(User.id == user_id))), None)
            if user is None:
                return None
            children = [dataset for dataset in context().datasets.values() if dataset.per]
            return user | {dataset.name: _rows(dataset, user_id, reveal=reveal) for dataset in children}

    @staticmethod
    def get_all_users(limit: int = 100, offset: int = 0) -> list[dict[str, Any]]:
        """Users without what hangs on them."""
        with reading():
            return dicts(User.select().order_by(User.id).limit(limit).offset(offset))


class AddressService:
    """Postal addresses."""

    @staticmethod
    def get_addresses_by_user_id(user_id: int) -> list[dict[str, Any]]:
        """The user's addresses: one, or none yet."""
        with reading():
            return _rows(context().datasets["addresses"], user_id)


class CreditCardService:
    """Credit cards."""

    @staticmethod
    def get_credit_cards_by_user_id(user_id: int, *, reveal: bool = False) -> list[dict[str, Any]]:
        """The user's cards: one, or none yet. Numbers are masked; ``reveal`` decrypts, or raises CipherError."""
        with reading():
            return _rows(context().datasets["credit_cards"], user_id, reveal=reveal)


class StatsService:
    """What is there and what is missing."""

    @staticmethod
    def get_comprehensive_stats() -> dict[str, Any]:
        """Totals and coverage of users (percentages 0 to 100), and every data set's state."""
        with reading():
            return stats_of(read(), stale=count_stale(), both=count_both)


def read() -> snapshot.Snapshot:
    """The ledger at this moment."""
    return snapshot.read({name: dataset.model for name, dataset in context().datasets.items()})


def count_stale() -> dict[str, int]:
    """How many rows of each data set are past their age. Scans the tables of those that have one."""
    ages = {name: source.max_age for name, source in context().settings.sources.items()}
    models = {name: dataset.model for name, dataset in context().datasets.items()}
    return {name: coverage.stale(models[name], age) if age else 0 for name, age in ages.items()}


def count_both() -> int:
    """How many users have an address and a card. Scans three tables."""
    return coverage.covered(*(context().datasets[name].model for name in ("addresses", "credit_cards")))


def stats_of(
    found: snapshot.Snapshot, *, stale: Mapping[str, int | None], both: Callable[[], int | None]
) -> dict[str, Any]:
    """The stats at that moment. ``both`` is asked only where the counters alone do not tell."""
    rows = {line.name: line.rows for line in found.datasets}
    users, addresses, cards = (rows[name] for name in ("users", "addresses", "credit_cards"))
    if users in (addresses, cards) or not addresses or not cards:
        with_both: int | None = min(addresses, cards)  # whoever has the one is known, as all have the other
    else:
        with_both = both()

    def percent(part: int | None) -> float | None:
        return None if part is None else round(100 * part / users, 2) if users else 0

    return {
        "total_users": users,
        "total_addresses": addresses,
        "total_credit_cards": cards,
        "users_with_addresses": addresses,
        "users_with_credit_cards": cards,
        "users_with_both": with_both,
        "coverage_stats": {
            "address_coverage_percent": percent(addresses),
            "credit_card_coverage_percent": percent(cards),
            "full_coverage_percent": percent(with_both),
        },
        "datasets": [_dataset_stats(line, users, stale.get(line.name), found) for line in found.datasets],
    }


def schedule_of(found: snapshot.Snapshot) -> list[dict[str, Any]]:
    """When each data set ran last and is to run next."""
    names = ("name", "every_seconds", "paused", "last_run", "next_due")
    return [{name: one[name] for name in names} for one in stats_of(found, stale={}, both=lambda: None)["datasets"]]


def _dataset_stats(
    line: snapshot.DatasetLine, users: int, stale: int | None, found: snapshot.Snapshot
) -> dict[str, Any]:
    dataset, every = context().datasets[line.name], context().settings.sources[line.name].every
    missing = max(0, users - line.rows - line.absent) if dataset.per else 0
    run, source = line.last_run, found.source(line.name)
    alone = source.asks_again_at if source else None
    return {
        "name": line.name,
        "rows": line.rows,
        # With another key a user may have several rows: only counting them one by one would tell.
        "missing": missing if not dataset.per or dataset.key == ("user",) else None,
        "stale": stale,
        "quarantined": line.quarantined,
        "absent": line.absent,
        "paused": line.paused,
        "last_run": run and {"id": run.id, "status": run.status, "at": run.finished_at or run.started_at},
        "next_due": None if line.paused else due(line.counted_at, every, found.at, alone),
        "every_seconds": every.total_seconds(),
    }


def _rows(dataset: Dataset, user_id: int, *, reveal: bool = False) -> list[dict[str, Any]]:
    fields = dataset.model._meta.fields
    rows = dicts(dataset.model.select().where(fields["user"] == user_id).order_by(fields["id"]))
    ring = context().keyring()
    for row in rows:
        place = context_of(dataset.model, [row[name] for name in dataset.key])
        row["user_id"] = row.pop("user")
        for name in (field.name for field in dataset.model._meta.sorted_fields if isinstance(field, EncryptedField)):
            row[name] = _shown(row[name], place, ring, reveal=reveal)
    return rows


def _shown(sealed: str, place: str, ring: Keyring, *, reveal: bool) -> str:
    if reveal:
        return ring.open(sealed, place)
    try:
        return mask(ring.open(sealed, place))
    except CipherError:
        return UNKNOWN


__all__ = ["AddressService", "CreditCardService", "StatsService", "UserService"]
