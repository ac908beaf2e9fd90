"""What a column takes: of a text how much, of a number how large. What PostgreSQL refuses costs a batch its tries."""

from collections.abc import Iterator, Sequence
from types import NoneType
from typing import Any

import msgspec
import peewee

LONGEST = 2**20  # characters of a text or of JSON; a CharField(max_length=…) says itself
# The first number that is too large. What else holds numbers takes what a double does.
BEYOND = {"SMALLINT": 2**15, "INT": 2**31, "AUTO": 2**31, "BIGINT": 2**63, "BIGAUTO": 2**63}
LARGEST = 1.7e308


def faults(model: type[peewee.Model], row: dict[str, Any]) -> Iterator[str]:
    """Why the columns of a row cannot be stored. What is missing from it is another matter."""
    for name, value in row.items():
        if fault := _fault(model._meta.fields[name], value):
            yield f"{name} {fault}"


def are_sound(field: peewee.Field, values: Sequence[Any], *, must: bool) -> bool:
    """Whether a column can be stored, and nothing is missing from it that ``must`` be there; all of it at once."""
    try:
        whole = "".join(values)
    except TypeError:  # not only text
        return _are_mixed_sound(field, values, must=must)
    return not (must and "" in values) and _are_texts(whole, values, _longest(field))


def _are_mixed_sound(field: peewee.Field, values: Sequence[Any], *, must: bool) -> bool:
    kinds = {*map(type, values)}
    if kinds == {int}:
        return bool(-_beyond(field) <= min(values) and max(values) < _beyond(field))
    if must and (None in values or "" in values):
        return False
    if kinds == {str, NoneType}:
        texts = [value for value in values if value is not None]
        return _are_texts("".join(texts), texts, _longest(field))
    return not any(_fault(field, value) for value in values)


def _are_texts(whole: str, texts: Sequence[str], longest: int) -> bool:
    """``whole`` are the texts joined: what is not in it is in none of them."""
    if "\0" in whole or (len(whole) > longest and max(map(len, texts)) > longest):
        return False
    return whole.isascii() or _is_unicode(whole)


def _fault(field: peewee.Field, value: Any) -> str | None:
    match value:
        case str():
            return _of_text(value, _longest(field))
        case dict() | list():
            return _of_json(value)
        case bool():
            return None
        case int() | float() if not -_beyond(field) <= value < _beyond(field):  # what is no number at all is neither
            return "is out of range"
    return None


def _of_text(text: str, longest: int) -> str | None:
    if "\0" in text:
        return "holds a NUL character"
    if len(text) > longest:
        return f"has more than {longest:,} characters"
    return None if _is_unicode(text) else "holds half a character"


def _of_json(value: Any) -> str | None:
    try:
        text = msgspec.json.encode(value)
    except (TypeError, ValueError, RecursionError):  # half a character is a ValueError, too
        return "cannot be written as JSON"
    if len(text) > LONGEST:
        return f"has more than {LONGEST:,} characters as JSON"
    return "holds a NUL character" if b"\\u0000" in text else None


def _is_unicode(text: str) -> bool:
    """Whether there is no half of a surrogate pair in it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _longest(field: peewee.Field) -> int:
    return getattr(field, "max_length", None) or LONGEST


def _beyond(field: peewee.Field) -> float:
    return BEYOND.get(field.field_type, LARGEST)
