"""Trying a data set before it is used: does it fit together, and what becomes of a recorded answer?"""

from collections.abc import Iterator

import peewee

from celeryctl.dataset import Dataset, Datasets
from celeryctl.datasets import BUILT_IN
from celeryctl.errors import DatasetError
from celeryctl.pipeline.decode import Result, attribute, decode
from celeryctl.pipeline.fetch import by_id
from celeryctl.pipeline.page import cursor_page
from celeryctl.pipeline.rejection import Rejection
from celeryctl.storage.row import Row


def inspect(found: Datasets, sample: bytes | None) -> Iterator[str]:
    """A line for every data set that fits together, and for every record of ``sample``. Raises DatasetError."""
    for dataset in found.values():
        _fits(dataset)
        yield f"{dataset.name}: table {dataset.model._meta.table_name}, every {dataset.every}, {dataset.origin}"
        if sample is not None and dataset.name not in BUILT_IN:
            yield from _tried(dataset, sample)


def _fits(dataset: Dataset) -> None:
    fields = dataset.model._meta.fields
    user = fields.get("user")
    wrong = [f"the model has no column {name!r}, which its key names" for name in dataset.key if name not in fields]
    if dataset.per and not (isinstance(user, peewee.ForeignKeyField) and user.on_delete == "CASCADE"):
        wrong.append('the model has no `user = ForeignKeyField(User, on_delete="CASCADE", …)`')
    if not wrong and not _is_unique(dataset):
        wrong.append(
            f"the column {dataset.key[0]!r} is the key and must be unique=True"
            if len(dataset.key) == 1
            else f"the key {dataset.key} needs a unique index: class Meta: indexes = (({dataset.key}, True),)"
        )
    if dataset.per and not issubclass(dataset.model, Row):
        wrong.append(f"the model {dataset.model.__name__} is not a Row")
    if dataset.source.kind == "lookup" and dataset.source.key and not attribute(dataset.record, dataset.source.key):
        wrong.append(f"the record has no field {dataset.source.key!r}, by which its user is known")
    if wrong:
        raise DatasetError(
            f"the data set {dataset.name!r} does not fit together", why="; ".join(wrong), fix=f"edit {dataset.origin}"
        )


def _is_unique(dataset: Dataset) -> bool:
    if len(dataset.key) == 1:
        return bool(dataset.model._meta.fields[dataset.key[0]].unique)
    declared = [one for one in dataset.model._meta.indexes if isinstance(one, tuple)]
    return any(unique and set(columns) == set(dataset.key) for columns, unique in declared)


def _tried(dataset: Dataset, sample: bytes) -> Iterator[str]:
    for number, result in enumerate(records(dataset, sample), 1):
        if isinstance(result, Rejection):
            yield f"  record {number} would be rejected: {'; '.join(result.reasons)}"
        else:
            yield f"  record {number} becomes columns {', '.join(sorted(result[1]))}"


def records(dataset: Dataset, sample: bytes) -> list[Result]:
    """The records of an answer in the form that the data set's source has."""
    source = dataset.source
    if source.cursor:
        return cursor_page(dataset, sample)[0]
    if source.kind == "lookup" and source.many and source.key is None:
        return [result for _, result in by_id(dataset, sample)]
    return decode(dataset, sample)
