"""Rows in the text format of COPY (PostgreSQL manual, "COPY", File Formats), column by column."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

NULL = "\\N"
ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f", "\v": "\\v"})
SPECIAL = [chr(code) for code in ESCAPES]


def columns(names: Iterable[str], rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """For each name its value in every row, as COPY spells it; null where a row leaves it out."""
    return [column([row.get(name) for row in rows]) for name in names]


def column(values: Sequence[Any]) -> list[str]:
    """These values as COPY spells them."""
    try:
        whole = "".join(values)
    except TypeError:
        return [str(value) if type(value) is int else _text(value) for value in values]
    return [_text(value) for value in values] if any(one in whole for one in SPECIAL) else list(values)


def lines(spelt: Iterable[Sequence[str]]) -> list[str]:
    """Columns as lines, without their ends."""
    return list(map("\t".join, zip(*spelt, strict=True)))


def _text(value: Any) -> str:
    if value is None:
        return NULL
    if isinstance(value, dict | list):
        value = msgspec.json.encode(value).decode()
    # Not str(): that of a text of another class, an enum's, may be another text.
    return str.translate(value if isinstance(value, str) else str(value), ESCAPES)
