"""A record that cannot be stored, and what is kept of it to be tried again: nothing that might be a card number."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from celeryctl.dataset import Dataset
from celeryctl.logs import HIDDEN, mask
from celeryctl.storage.row import EncryptedField

LARGEST = 65_536  # bytes of JSON
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

    Card numbers and secrets are hidden. Of a data set that encrypts a column every value with a digit in it is: it may
    be a part of a card's number, its verification code or its date.
    """
    if len(raw) > LARGEST:
        return None
    sealed = any(isinstance(column, EncryptedField) for column in dataset.model._meta.sorted_fields)
    try:
        kept = json.dumps(_hidden(json.loads(raw), _without_digits if sealed else mask, DEEPEST), allow_nan=False)
    except (ValueError, RecursionError):
        return None
    return kept if len(kept) <= LARGEST else None


def suffices(kept: str | None) -> bool:
    """Whether nothing of the record is hidden."""
    return kept is not None and HIDDEN not in kept


def _hidden(value: Any, hide: Callable[[str], str], levels: int) -> Any:
    """The value, in its lists and objects, too; a number that is not to be shown becomes a text."""
    if not levels:
        raise ValueError("nested too deeply")
    match value:
        case dict():
            return {hide(name): _hidden(one, hide, levels - 1) for name, one in value.items()}
        case list():
            return [_hidden(one, hide, levels - 1) for one in value]
        case None | bool():
            return value
    text = hide(str(value))
    return value if text == str(value) else text


def _without_digits(text: str) -> str:
    return HIDDEN if any(character.isdigit() for character in text) else mask(text)
