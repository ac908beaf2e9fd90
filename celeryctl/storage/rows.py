"""Rows on their way into a table, spelled for COPY as they are added: while the processor still has them at hand."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import chain, islice
from operator import itemgetter, lt
from typing import Any

import peewee

from celeryctl.storage.copytext import NULL, column, identity, lines
from celeryctl.storage.row import EncryptedField


class Rows:
    """Rows of one table. A column that a row leaves out while others have it is null.

    ``lines`` are the rows as COPY spells them, those of the ``key`` first; ``secrets``, column by column, is what is to
    be encrypted and stands in no line. ``keys`` are the values of their keys, ``users`` the ids of their users, None
    where they have none. All are in the same order.
    """

    def __init__(self, model: type[peewee.Model], key: Sequence[str], rows: Sequence[Mapping[str, Any]] = ()) -> None:
        self.model, self.key = model, tuple(key)
        self.lines: list[str] = []
        self.secrets: dict[str, list[str | None]] = {}
        self.keys: list[tuple[Any, ...]] = []
        self.users: list[int | None] = []
        self._names = list(key)  # of the columns in a line
        self.add(rows)

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def fields(self) -> list[peewee.Field]:
        """The columns of a line, and then those of the secrets."""
        return [self.model._meta.fields[name] for name in (*self._names, *self.secrets)]

    def add(self, rows: Sequence[Mapping[str, Any]], users: Sequence[int] = ()) -> None:
        """Add rows, field name to value; ``users`` are their users' ids where they do not name them."""
        if not rows:
            return
        values: dict[str, Sequence[Any]] = {**columns(rows), **({"user": users} if users else {})}
        self._widen(values)
        absent = [None] * len(rows)
        self.keys += zip(*(values[name] for name in self.key), strict=True)
        self.users += values.get("user", absent)
        for name, secrets in self.secrets.items():
            secrets += [None if value is None else str(value) for value in values.get(name, absent)]
        self.lines += lines([column(values.get(name, absent)) for name in self._names])

    def arrange(self) -> None:
        """Put the rows in the order of their keys; of rows with the same key only the last one stays."""
        with suppress(TypeError):  # keys of different types have no order
            if all(map(lt, self.keys, islice(self.keys, 1, None))):
                return
        last = {identity(line, len(self.key)): place for place, line in enumerate(self.lines)}
        places = list(last.values())
        with suppress(TypeError):
            places.sort(key=self.keys.__getitem__)
        self.keys = [self.keys[place] for place in places]
        self.lines = [self.lines[place] for place in places]
        self.users = [self.users[place] for place in places]
        self.secrets = {name: [values[place] for place in places] for name, values in self.secrets.items()}

    def _widen(self, names: Mapping[str, object]) -> None:
        """Make room for columns that no row has had so far."""
        for name in names:
            if name in self._names or name in self.secrets:
                continue
            if isinstance(self.model._meta.fields[name], EncryptedField):
                self.secrets[name] = [None] * len(self)
            else:
                self._names.append(name)
                self.lines = [f"{line}\t{NULL}" for line in self.lines]


def columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, Sequence[Any]]:
    """Column by column the values of rows; None where one lacks it."""
    names = list(rows[0]) if rows else []
    if len(names) > 1 and {*map(len, rows)} == {len(names)}:
        with suppress(KeyError):
            return dict(zip(names, zip(*map(itemgetter(*names), rows), strict=True), strict=True))
    return {name: [row.get(name) for row in rows] for name in dict.fromkeys(chain.from_iterable(rows))}
