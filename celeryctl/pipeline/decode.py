"""Bytes from a source into rows, or into the reasons why a record cannot be one."""

import re
from collections.abc import Iterator, Set
from dataclasses import replace
from functools import cache
from typing import Any, cast

import msgspec
import peewee

from celeryctl.dataset import Dataset
from celeryctl.errors import DatasetError
from celeryctl.logs import mask, one_line
from celeryctl.pipeline import values
from celeryctl.pipeline.answer import FAULTS, checked, records
from celeryctl.pipeline.rejection import Rejection, payload
from celeryctl.storage.row import Row
from celeryctl.storage.rows import columns

# Where msgspec's own words repeat the value.
QUOTED = re.compile(r"(Invalid (?:enum )?value) .*?(?= - at `|$)", re.DOTALL)
READ, TOLD = 10_000, 300  # characters of what an exception says that are searched for secrets, and that are told
LARGEST = 2**63 - 1  # what a bigint holds

Result = tuple[Any, dict[str, Any]] | Rejection


def decode(dataset: Dataset, body: bytes) -> list[Result]:
    """Every record of an answer (a list of objects, or one object) as (record, row) or as a rejection, in its order.

    Raises SourceError when the answer is something else. Record by record only when the fast way finds a fault.
    """
    if body.lstrip()[:1] == b"{":
        body = b"[" + body + b"]"
    found = _at_once(dataset, body)
    if found is not None and (rows := _rows(dataset, checked(dataset, found, body))):
        return list(zip(found, rows, strict=True))
    return [_one(dataset, raw) for raw in records(dataset, body)]


def _at_once(dataset: Dataset, body: bytes) -> list[Any] | None:
    try:
        return cast("list[Any]", _decoder(dataset.record).decode(body))
    except Exception:  # noqa: BLE001 - a record may check itself, in its author's code
        return None


def _rows(dataset: Dataset, found: list[Any]) -> list[dict[str, Any]] | None:
    """All rows at once; None where anything at all is wrong with any of them, which is then found out one by one."""
    try:
        rows = [dataset.to_row(record) for record in found]
    except Exception:  # noqa: BLE001 - the author's code
        return None
    return rows if set(map(type, rows)) <= {dict} and _are_whole(dataset, rows) else None


def _are_whole(dataset: Dataset, rows: list[dict[str, Any]]) -> bool:
    """Whether all rows have the same columns, those that they must, and nothing wrong in any; column by column."""
    found, must, fields = columns(rows), _filled(dataset), dataset.model._meta.fields
    if not fields.keys() >= found.keys() >= must or {len(found)} != {*map(len, rows)}:
        return not rows
    return all(values.are_sound(fields[name], column, must=name in must) for name, column in found.items())


def _one(dataset: Dataset, raw: msgspec.Raw) -> Result:
    try:
        record = _decoder_of_one(dataset.record).decode(raw)
    except FAULTS as exc:
        result: Result = _explain(dataset, raw, exc)
    except Exception as exc:  # noqa: BLE001 - the author's code
        result = _explain(dataset, raw, ValueError(f"{dataset.record.__name__} raised {type(exc).__name__}"))
    else:
        result = _row(dataset, record)
    return replace(result, payload=payload(dataset, bytes(raw))) if isinstance(result, Rejection) else result


def _explain(dataset: Dataset, raw: msgspec.Raw, first: Exception) -> Rejection:
    """All reasons at once: decoding itself stops at the ``first``."""
    try:
        found = msgspec.json.decode(raw)
    except FAULTS as exc:
        return Rejection((f"not readable: {type(exc).__name__}",))
    if not isinstance(found, dict):
        return Rejection((f"a record is an object, not {type(found).__name__}",))
    good, reasons = _fields(dataset, found)
    try:
        wrong = _row(dataset, dataset.record(**good))
    except Exception:  # noqa: BLE001 - the author's code
        wrong = Rejection(())  # it checks itself as a whole, and has said what it has to say
    more = wrong.reasons if isinstance(wrong, Rejection) else ()
    return Rejection((*(reasons or [_told(first, found.values())]), *more), key=usable(found.get(dataset.source.key)))


def _fields(dataset: Dataset, found: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Field by field what is usable, None for what is missing or wrong, and the reasons."""
    good: dict[str, Any] = {}
    reasons: list[str] = []
    for field in msgspec.structs.fields(dataset.record):
        if field.encode_name not in found:
            if field.required:
                good[field.name] = None
                reasons.append(f"{field.encode_name} is missing")
            continue
        try:
            good[field.name] = msgspec.convert(found[field.encode_name], field.type)
        except msgspec.ValidationError as exc:
            good[field.name] = None
            reasons.append(f"{field.encode_name}: {_told(exc, [found[field.encode_name]])}")
    return good, reasons


def _told(exc: Exception, known: Any) -> str:
    """What an exception says, without the values that it repeats: they may be anything, a card number too."""
    text = QUOTED.sub(r"\1", str(exc))
    for value in sorted((str(one) for one in known if isinstance(one, str | int)), key=len, reverse=True):
        if len(value) > 2:
            text = text.replace(value, "…")
    return one_line(mask(text[:READ]))[:TOLD]


def usable(key: object) -> int | None:
    """An id by which a record can be known: a number, also where it is spelt as text."""
    if isinstance(key, str) and re.fullmatch(r"\d{1,19}", key, re.ASCII):
        key = int(key)
    return key if isinstance(key, int) and not isinstance(key, bool) and abs(key) <= LARGEST else None


def _row(dataset: Dataset, record: Any) -> Result:
    key = key_of(dataset, record)
    try:
        row = dataset.to_row(record)
    except ValueError as exc:
        return Rejection((_told(exc, _values(record)),), key=key)
    except Exception as exc:  # noqa: BLE001 - the author's code: its fault must not stop the other records
        return Rejection((f"to_row raised {type(exc).__name__}",), key=key)
    if not isinstance(row, dict):
        return Rejection((f"to_row gave {type(row).__name__}, not a dict of columns",), key=key)
    reasons = tuple(_faults(dataset, row))
    return Rejection(reasons, key=key) if reasons else (record, row)


def _values(record: Any) -> list[Any]:
    return [getattr(record, field.name) for field in msgspec.structs.fields(record)]


def _faults(dataset: Dataset, row: dict[str, Any]) -> Iterator[str]:
    unknown = row.keys() - dataset.model._meta.fields
    if unknown:
        # Not this record's fault: no record of this data set can be stored.
        raise DatasetError(
            f"to_row of {dataset.name!r} gives columns that the model lacks",
            why=", ".join(sorted(map(str, unknown))),
            fix=f"edit {dataset.origin}",
        )
    for name in _filled(dataset):
        if row.get(name, "") in (None, ""):
            yield f"{name} is missing or empty"
    yield from values.faults(dataset.model, row)


@cache
def required(model: type[peewee.Model]) -> tuple[str, ...]:
    """The columns that a record must fill: those that may not be null and that nothing else fills."""
    own = (field for field in model._meta.sorted_fields if field.name not in Row._meta.fields)
    return tuple(field.name for field in own if not field.null and field.default is None)


@cache
def _filled(dataset: Dataset) -> Set[str]:
    """The columns that `to_row` must fill, in their order."""
    return dict.fromkeys(name for name in required(dataset.model) if not (dataset.per and name == "user")).keys()


def key_of(dataset: Dataset, record: Any) -> int | None:
    """The identity of a record, where it has a usable one."""
    return usable(getattr(record, attribute(dataset.record, dataset.source.key), None))


@cache
def attribute(record: type[msgspec.Struct], key: str | None) -> str:
    """The name in ``record`` of the field that the source calls ``key``; "" where there is none."""
    names = {field.encode_name: field.name for field in msgspec.structs.fields(record)}
    return names.get(key or "", "")


@cache
def _decoder(record: type[msgspec.Struct]) -> "msgspec.json.Decoder[Any]":
    return msgspec.json.Decoder(list[record])  # type: ignore[valid-type]


@cache
def _decoder_of_one(record: type[msgspec.Struct]) -> "msgspec.json.Decoder[Any]":
    return msgspec.json.Decoder(record)
