"""The text format of COPY (PostgreSQL manual, "COPY", File Formats)."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

NULL = "\\N"
ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f", "\v": "\\v"})
SPECIAL = [chr(code) for code in ESCAPES]


def column(values: Sequence[Any]) -> Sequence[str]:
    """These values as COPY spells them."""
    try:
        whole = "".join(values)
    except TypeError:
        return [str(value) if type(value) is int else spell(value) for value in values]
    return [spell(value) for value in values] if any(one in whole for one in SPECIAL) else values


def lines(spelt: Iterable[Sequence[str]]) -> list[str]:
    """Columns as lines, without their ends."""
    return list(map("\t".join, zip(*spelt, strict=True)))


def identity(line: str, columns: int) -> tuple[str, ...]:
    """The first columns of a line."""
    return tuple(line.split("\t", columns)[:columns])


def whole(rows: Iterable[str]) -> bytes:
    """Lines as what is sent."""
    return "\n".join((*rows, "")).encode()


def spell(value: Any) -> str:
    """A value as COPY spells it."""
    if value is None:
        return NULL
    if isinstance(value, dict | list):
        value = msgspec.json.encode(value).decode()
    # Not str(): that of a text of another class, an enum's, may be another text.
    return str.translate(value if isinstance(value, str) else str(value), ESCAPES)
