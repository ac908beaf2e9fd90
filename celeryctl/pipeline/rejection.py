"""A record that cannot be stored, and what is kept of it to be tried again: nothing that might be a card number."""

import json
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import peewee

from celeryctl.dataset import Dataset
from celeryctl.logs import HIDDEN, mask
from celeryctl.storage.row import EncryptedField

LARGEST = 65_536  # bytes of JSON
FEWEST = 13  # digits of a card number (ISO/IEC 7812 has 19 at most, issuers 13 at least)
DEEPEST = 100  # levels; a database that is asked to read more of them refuses the batch


@dataclass(frozen=True, slots=True)
class Rejection:
    """A record that cannot be stored. ``key`` is its identity where it has a usable one; ``reasons`` name no values.

    ``payload`` is the record as it may be kept; it is not a part of what is told.
    """

    reasons: tuple[str, ...]
    key: int | None = None
    payload: str | None = field(default=None, compare=False, repr=False)


def payload(dataset: Dataset, raw: bytes) -> str | None:
    """The record as JSON in ASCII; None where it is none, too large or too deep.

    Hidden are texts and lists with as many digits as a card number has, and what `mask` knows as a secret. Of a data
    set that encrypts a column every value with a digit in it is: it may be a part of a card's number, its verification
    code or its date.
    """
    if len(raw) > LARGEST:
        return None
    try:
        hidden = _hidden(json.loads(raw), 1 if is_sealed(dataset.model) else FEWEST, DEEPEST)
        kept = mask(json.dumps(hidden, allow_nan=False))
        json.loads(kept)  # masked, it may be JSON no longer
    except (ValueError, RecursionError):
        return None
    return kept if len(kept) <= LARGEST else None


def key_shown(model: type[peewee.Model], key: int | None) -> str | None:
    """A record's own id as it may be kept: not where it may be the number that the data set encrypts."""
    return None if key is None or (is_sealed(model) and _digits(str(key)) >= FEWEST) else str(key)


@cache
def is_sealed(model: type[peewee.Model]) -> bool:
    """Whether it encrypts a column."""
    return any(isinstance(column, EncryptedField) for column in model._meta.sorted_fields)


def suffices(kept: str | None) -> bool:
    """Whether nothing of the record is hidden."""
    return kept is not None and HIDDEN not in kept


def _hidden(value: Any, digits: int, levels: int) -> Any:
    """The value without what holds so many digits or more, in its lists and objects, too."""
    if not levels:
        raise ValueError("nested too deeply")
    match value:
        case dict():
            return {_hidden(name, digits, 1): _hidden(one, digits, levels - 1) for name, one in value.items()}
        case list() if _digits("".join(str(one) for one in value if not isinstance(one, dict | list))) >= digits:
            return [_hidden(one, 1, levels - 1) for one in value]
        case list():
            return [_hidden(one, digits, levels - 1) for one in value]
        case None | bool():
            return value
    return value if _digits(str(value)) < digits else HIDDEN


def _digits(text: str) -> int:
    return sum(map(str.isdigit, text))
