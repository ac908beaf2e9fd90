"""What the tables of all data sets have in common."""

from typing import Any

import peewee
from playhouse.postgres_ext import DateTimeTZField

from celeryctl.storage.database import database

NOW = peewee.SQL("DEFAULT now()")


class Stored(peewee.Model):
    """A table in the one database."""

    class Meta:
        database = database
        legacy_table_names = False


class Record(Stored):
    """A row with a key of its own, the time it came, and the time its values last changed."""

    id = peewee.BigAutoField()
    created_at = DateTimeTZField(constraints=[NOW])
    updated_at = DateTimeTZField(constraints=[NOW])


class Row(Record):
    """A row that belongs to a user. ``fetched_at`` moves whenever its source confirms it."""

    fetched_at = DateTimeTZField(constraints=[NOW])


def dicts(query: Any) -> list[dict[str, Any]]:
    """What a query finds, as plain dicts from column to value."""
    return list(query.dicts())


class EncryptedField(peewee.TextField):
    """Text that is sealed at rest. A model holds the sealed value; only `Keyring.open` gives the plain one."""
