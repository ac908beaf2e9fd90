"""The bulk write: what is new is copied straight into its table, the rest is compared and changed where it differs."""

import io
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import repeat
from operator import itemgetter
from typing import Any

import peewee
from psycopg2 import IntegrityError
from psycopg2.extensions import cursor as Cursor  # noqa: N812 - it is a class

from celeryctl.storage.cipher import Keyring
from celeryctl.storage.copytext import columns, lines
from celeryctl.storage.database import database
from celeryctl.storage.row import EncryptedField
from celeryctl.storage.statements import Statements

CHUNK = 1 << 16  # bytes of a COPY that go to the server at once
CACHED = 500  # rows
Identity = tuple[str, ...]  # the values of a row's key as COPY spells them
Lines = dict[Identity, str]  # rows as COPY spells them, those of the key first


@dataclass
class Stored:
    """Rows of the table as COPY spells them. The first ``keys`` columns are the key."""

    lines: Sequence[str] = ()
    keys: int = 1

    @cached_property
    def by_identity(self) -> Mapping[Identity, str]:
        return {tuple(line.split("\t", self.keys)[: self.keys]): line for line in self.lines}

    def value(self, identity: Identity, number: int) -> str | None:
        """A column of the row with this key; None where there is no such row."""
        line = self.by_identity.get(identity)
        return None if line is None else line.split("\t")[number]


@dataclass(frozen=True, slots=True)
class Written:
    """How many rows a write created, changed, and found as they were."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0


def upsert(model: type[peewee.Model], key: Sequence[str], rows: Sequence[dict[str, Any]], keyring: Keyring) -> Written:
    """Insert rows (field name to value), overwriting those whose key is already there and which differ.

    Of rows with the same key the last one counts; a column that a row leaves out while others have it becomes null.
    Rows whose parent was deleted meanwhile are left out. Runs in the transaction of the caller; rows are locked in the
    order of their key, so that two batches cannot deadlock.
    """
    if not rows:
        return Written()
    with suppress(TypeError):  # keys of different types have no order
        rows = sorted(rows, key=itemgetter(*key))
    given = set().union(*rows).difference(key)
    fields = [model._meta.fields[name] for name in key]
    fields += [field for field in model._meta.sorted_fields if field.name in given]
    statements = Statements(model, key, fields)
    with database.cursor() as cursor:
        # Batches are mostly all new or all known, and two rows tell which; a wrong guess costs ids and a second look.
        if not _stored(cursor, statements, [rows[0], rows[-1]], locked=False).lines:
            fresh = _spell(statements, rows, Stored(), keyring)
            if _insert(cursor, statements, fresh):
                return Written(created=len(fresh))
        stored = _stored(cursor, statements, rows, locked=statements.confirmed)
        return _write(cursor, statements, _spell(statements, rows, stored, keyring), stored)


def _stored(cursor: Cursor, statements: Statements, rows: Iterable[dict[str, Any]], *, locked: bool) -> Stored:
    """What is in the table of the keys of these rows already."""
    out = io.StringIO()
    first = statements.fields[0]
    # Through the field: a number may be the key of a column of text.
    wanted = {first.db_value(row[first.name]) for row in rows}  # type: ignore[no-untyped-call]
    cursor.copy_expert(statements.stored(wanted, locked=locked), out, size=CHUNK)
    return Stored(out.getvalue().split("\n")[:-1], len(statements.key))


def _spell(statements: Statements, rows: Sequence[dict[str, Any]], stored: Stored, keyring: Keyring) -> Lines:
    """The rows as lines, with what is to be encrypted encrypted. Some at a time: a processor's cache holds no more."""
    found: Lines = {}
    for start in range(0, len(rows), CACHED):
        found.update(_spell_some(statements, rows[start : start + CACHED], stored, keyring))
    return found


def _spell_some(
    statements: Statements, rows: Sequence[dict[str, Any]], stored: Stored, keyring: Keyring
) -> Iterable[tuple[Identity, str]]:
    spelt = columns([field.name for field in statements.fields], rows)
    identities = list(zip(*spelt[: len(statements.key)], strict=True))
    for number, field in enumerate(statements.fields):
        if isinstance(field, EncryptedField):
            places = [place_of(statements.table, [row[name] for name in statements.key]) for row in rows]
            olds = [stored.value(identity, number) for identity in identities] if stored.lines else repeat(None)
            spelt[number] = list(map(partial(_sealed, keyring), [row[field.name] for row in rows], places, olds))
    return zip(identities, lines(spelt), strict=True)


def _sealed(keyring: Keyring, plain: str, place: str, old: str | None) -> str:
    """A value encrypted, by its old ciphertext where that says the same: every encryption gives another one."""
    return old if old is not None and keyring.open(old, place) == plain else keyring.seal(plain, place)


def context_of(model: type[peewee.Model], key: Iterable[Any]) -> str:
    """What a sealed value is bound to: its table and its row's key."""
    return place_of(model._meta.table_name, key)


def place_of(table: str, key: Iterable[Any]) -> str:
    return "|".join((table, *map(str, key)))


def _write(cursor: Cursor, statements: Statements, incoming: Lines, stored: Stored) -> Written:
    todo = incoming
    if not statements.confirmed:
        # What is to be confirmed is written whether it differs or not.
        known = set(stored.lines)
        todo = {identity: line for identity, line in incoming.items() if line not in known}
    same = len(incoming) - len(todo)
    if not todo:
        return Written(unchanged=same)
    if stored.by_identity.keys().isdisjoint(todo) and _insert(cursor, statements, todo):
        return Written(created=len(todo), unchanged=same)
    return _merge(cursor, statements, todo, same)


def _insert(cursor: Cursor, statements: Statements, todo: Lines) -> bool:
    """Insert new rows. False, and nothing is written, where one of them or its parent is no longer what it was."""
    try:
        with database.savepoint():
            cursor.copy_expert(statements.copy, _file(todo), size=CHUNK)
    except (IntegrityError, peewee.IntegrityError):
        return False
    return True


def _merge(cursor: Cursor, statements: Statements, todo: Lines, same: int) -> Written:
    """Stage rows and bring those that are new or differ into their table."""
    cursor.execute(statements.create_stage)
    cursor.execute(statements.clear_stage)
    cursor.copy_expert(statements.copy_to_stage, _file(todo), size=CHUNK)
    staged = cursor.rowcount
    cursor.execute(statements.drop_orphans)
    staged -= cursor.rowcount
    cursor.execute(statements.analyze)
    cursor.execute(statements.merge)
    created, updated = cursor.fetchone()
    if statements.confirmed:
        cursor.execute(statements.confirm)
    return Written(created, updated, staged - created - updated + same)


def _file(rows: Lines) -> io.StringIO:
    return io.StringIO("\n".join((*rows.values(), "")))
