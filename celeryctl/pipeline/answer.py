"""What a source answers, taken apart: the records of a list, or what an object holds by name; each still as it came."""

import json
from collections.abc import Sized
from typing import Any, TypeVar

import msgspec

from celeryctl.dataset import Dataset
from celeryctl.errors import AnswerError

# A string that is not UTF-8 comes out as UnicodeDecodeError, all else as msgspec's own.
FAULTS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
# Records at once that may be smaller, on the average, than any that says something: millions of empty ones would take
# minutes, and gigabytes of memory.
MOST, SMALLEST = 100_000, 24  # bytes
LIST, OBJECT = list[msgspec.Raw], dict[str, msgspec.Raw]
DIGITS = 4000  # of a whole number; longer ones Python does not read

Found = TypeVar("Found", bound=Sized)


def records(dataset: Dataset, body: bytes) -> list[msgspec.Raw]:
    """The records of a list, of which each is found wanting or not by itself. Raises SourceError."""
    return checked(dataset, _apart(dataset, body, LIST, "a list of records"), body)


def members(dataset: Dataset, body: bytes, what: str) -> dict[str, msgspec.Raw]:
    """What an object holds. Raises SourceError, which says that the answer is not ``what`` it should be."""
    return checked(dataset, _apart(dataset, body, OBJECT, what), body)


def checked(dataset: Dataset, found: Found, body: bytes) -> Found:
    """What was ``found`` in the answer, where it is not too much for its size. Raises SourceError."""
    if _are_too_many(found, body):
        raise AnswerError(
            f"the source of {dataset.name} sends too much",
            why=f"there are {len(found):,} records in {len(body):,} bytes; of ones so small {MOST:,} are the most",
            fix=f"ask it for pages: edit {dataset.origin}" if dataset.origin != "built in" else "celeryctl config show",
        )
    return found


def _are_too_many(found: Sized, body: bytes) -> bool:
    return len(found) > MOST and len(body) < SMALLEST * len(found)


def _apart(dataset: Dataset, body: bytes, kind: type[Found], what: str) -> Found:
    try:
        return msgspec.json.decode(body, type=kind)
    except FAULTS as exc:
        again: Found | None = _leniently(body, kind)
        if again is None:
            why = "it is nested too deeply" if isinstance(exc, RecursionError) else str(exc)
            told = f"the source of {dataset.name} did not answer with {what}"
            raise AnswerError(told, why=why, fix="celeryctl config show") from None
        return again


def _leniently(body: bytes, kind: Any) -> Any:
    """The same where something in it is only for a more lenient reader, such as half a character. None: it is not."""
    try:
        # What is no text in UTF-8 becomes halves of characters, over which its record alone stumbles.
        found = json.loads(body.decode(errors="surrogateescape"), parse_int=_number)
    except (ValueError, RecursionError):
        return None
    match found:
        case list() if kind is LIST:
            return found if _are_too_many(found, body) else [_raw(one) for one in found]
        case dict() if kind is OBJECT:
            return {name: _raw(one) for name, one in found.items()}
    return None


def _number(text: str) -> int | str:
    return int(text) if len(text) <= DIGITS else text


def _raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value).encode())
