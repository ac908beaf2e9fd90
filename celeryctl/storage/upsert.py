"""The bulk write: what is new is copied straight into its table, the rest is compared and changed where it differs."""

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import peewee
from psycopg2 import IntegrityError
from psycopg2.extensions import cursor as Cursor  # noqa: N812 - it is a class

from celeryctl.storage.cipher import Keyring
from celeryctl.storage.copytext import NULL, identity, lines, whole
from celeryctl.storage.database import database
from celeryctl.storage.rows import Rows
from celeryctl.storage.statements import Statements

CHUNK = 1 << 16  # bytes of a COPY that go to the server at once


@dataclass
class Stored:
    """Rows of the table as COPY sends them. The first ``keys`` columns are the key."""

    text: bytes = b""
    keys: int = 1

    @cached_property
    def lines(self) -> Sequence[str]:
        return self.text.decode().split("\n")[:-1]

    @cached_property
    def by_identity(self) -> Mapping[tuple[str, ...], str]:
        return {identity(line, self.keys): line for line in self.lines}

    def values(self, rows: Iterable[str], number: int) -> list[str | None]:
        """A column of the row with the key of each of these; None where there is no such row."""
        found = [self.by_identity.get(identity(line, self.keys)) for line in rows]
        return [None if line is None else line.split("\t")[number] for line in found]


@dataclass(frozen=True, slots=True)
class Written:
    """How many rows a write created, changed, and found as they were."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0


def upsert(rows: Rows, keyring: Keyring) -> Written:
    """Insert rows, overwriting those whose key is already there and which differ.

    Of rows with the same key the last one counts. Rows whose parent was deleted meanwhile are left out. Runs in the
    transaction of the caller; rows are locked in the order of their key, so that two batches cannot deadlock.
    """
    if not rows:
        return Written()
    rows.arrange()
    statements = Statements(rows.model, rows.key, rows.fields)
    with database.cursor() as cursor:
        # Batches are mostly all new or all known, and two rows tell which; a wrong guess costs ids and a second look.
        if not _stored(cursor, statements, [rows.keys[0], rows.keys[-1]], locked=False).text:
            fresh = _sealed(rows, Stored(), keyring)
            if _insert(cursor, statements, fresh):
                return Written(created=len(fresh))
        stored = _stored(cursor, statements, rows.keys, locked=statements.confirmed)
        return _write(cursor, statements, _sealed(rows, stored, keyring), stored)


def _stored(cursor: Cursor, statements: Statements, keys: Iterable[tuple[Any, ...]], *, locked: bool) -> Stored:
    """What is in the table of these keys already, in their order."""
    out = io.BytesIO()
    first = statements.fields[0]
    # Through the field: a number may be the key of a column of text.
    wanted = {first.db_value(key[0]) for key in keys}  # type: ignore[no-untyped-call]
    cursor.copy_expert(statements.stored(wanted, locked=locked), out, size=CHUNK)
    return Stored(out.getvalue(), len(statements.key))


def _sealed(rows: Rows, stored: Stored, keyring: Keyring) -> list[str]:
    """The rows' lines, with what is to be encrypted encrypted, by its old ciphertext where that says the same."""
    if not rows.secrets:
        return rows.lines
    places = [context_of(rows.model, key) for key in rows.keys]
    sealed = []
    for number, plains in enumerate(rows.secrets.values(), len(rows.fields) - len(rows.secrets)):
        kept: list[str | None] = [NULL if plain is None else None for plain in plains]
        if stored.text:
            olds = stored.values(rows.lines, number)
            kept = [_kept(keyring, *one) for one in zip(plains, places, olds, strict=True)]
        sealed.append(_seal(keyring, plains, places, kept))
    return lines([rows.lines, *sealed])


def _kept(keyring: Keyring, plain: str | None, place: str, old: str | None) -> str | None:
    """What is stored, or null, where that is right; None where the value is to be encrypted."""
    if plain is None:
        return NULL
    return old if old not in (None, NULL) and keyring.open(old, place) == plain else None


def _seal(
    keyring: Keyring, plains: Sequence[str | None], places: Sequence[str], kept: Sequence[str | None]
) -> list[str]:
    """Values encrypted, but for those that are kept: every encryption gives another one."""
    changed = [(str(plain), place) for plain, place, old in zip(plains, places, kept, strict=True) if old is None]
    fresh = iter(keyring.seal_all(changed))
    return [next(fresh) if old is None else old for old in kept]


def context_of(model: type[peewee.Model], key: Iterable[Any]) -> str:
    """What a sealed value is bound to: its table and its row's key."""
    return "|".join((model._meta.table_name, *map(str, key)))


def _write(cursor: Cursor, statements: Statements, incoming: list[str], stored: Stored) -> Written:
    todo = incoming
    if not statements.confirmed:
        # What is to be confirmed is written whether it differs or not.
        todo = _differing(incoming, stored)
    same = len(incoming) - len(todo)
    if not todo:
        return Written(unchanged=same)
    new = stored.by_identity.keys().isdisjoint(identity(line, stored.keys) for line in todo)
    if new and _insert(cursor, statements, todo):
        return Written(created=len(todo), unchanged=same)
    return _merge(cursor, statements, todo, same)


def _differing(incoming: list[str], stored: Stored) -> list[str]:
    """The lines that are not stored."""
    if stored.text == whole(incoming):
        return []
    known = set(stored.lines)
    return [line for line in incoming if line not in known]


def _insert(cursor: Cursor, statements: Statements, todo: list[str]) -> bool:
    """Insert new rows. False, and nothing is written, where one of them or its parent is no longer what it was."""
    try:
        with database.savepoint():
            cursor.copy_expert(statements.copy, io.BytesIO(whole(todo)), size=CHUNK)
    except (IntegrityError, peewee.IntegrityError):
        return False
    return True


def _merge(cursor: Cursor, statements: Statements, todo: list[str], same: int) -> Written:
    """Stage rows and bring those that are new or differ into their table."""
    cursor.execute(statements.create_stage)
    cursor.execute(statements.clear_stage)
    cursor.copy_expert(statements.copy_to_stage, io.BytesIO(whole(todo)), size=CHUNK)
    staged = cursor.rowcount
    cursor.execute(statements.drop_orphans)
    staged -= cursor.rowcount
    cursor.execute(statements.analyze)
    cursor.execute(statements.merge)
    created, updated = cursor.fetchone()
    if statements.confirmed:
        cursor.execute(statements.confirm)
    return Written(created, updated, staged - created - updated + same)
