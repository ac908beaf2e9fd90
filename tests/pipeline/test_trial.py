"""Trying a data set before it is used."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from peewee import ForeignKeyField, TextField

from celeryctl import datasets
from celeryctl.dataset import Dataset, Source
from celeryctl.datasets.scaffold import write
from celeryctl.errors import DatasetError, SourceError
from celeryctl.pipeline.trial import inspect
from celeryctl.storage.row import Record, Row
from celeryctl.storage.user import User

pytestmark = pytest.mark.unit

Change = Callable[..., dict[str, Dataset]]


@pytest.fixture
def loyalty(tmp_path: Path) -> Change:
    def change(**more: Any) -> dict[str, Dataset]:
        path = write("loyalty", tmp_path / "sets") if not (tmp_path / "sets").exists() else tmp_path / "sets/loyalty.py"
        return {"loyalty": replace(datasets.load([str(path)])["loyalty"], **more)}

    return change


def lines(found: dict[str, Dataset], sample: object = None) -> list[str]:
    return list(inspect(found, None if sample is None else json.dumps(sample).encode()))


def test_the_built_in_ones_fit_together() -> None:
    assert [line.partition(":")[0] for line in inspect(datasets.load(), None)] == ["users", "addresses", "credit_cards"]


def test_a_sample_tells_what_becomes_of_every_record(loyalty: Change) -> None:
    found = lines(loyalty(), [{"external_id": 1, "tier": "gold"}, {"external_id": "x"}])
    assert found[0].startswith("loyalty: table loyalty, every 0:10:00, ")
    assert found[1:] == [
        "  record 1 becomes columns tier",
        "  record 2 would be rejected: external_id: Expected `int`, got `str`; tier is missing or empty",
    ]


def test_a_sample_that_is_no_answer_is_an_error(loyalty: Change) -> None:
    with pytest.raises(SourceError):
        list(inspect(loyalty(), b"<html>"))


def test_a_sample_says_nothing_about_the_built_in_ones() -> None:
    assert len(list(inspect(datasets.load(), b"[{}]"))) == 3


def test_columns_that_the_table_lacks_are_named(loyalty: Change) -> None:
    with pytest.raises(DatasetError, match="gives columns that the model lacks: level"):
        lines(loyalty(to_row=lambda _: {"level": "gold", "tier": "x"}), [{"external_id": 1}])


def test_a_model_that_does_not_hang_on_users_is_refused(loyalty: Change) -> None:
    class Loose(Row):
        user = ForeignKeyField(User, unique=True, backref="+")
        tier = TextField()

    with pytest.raises(DatasetError) as caught:
        lines(loyalty(model=Loose))
    assert "on_delete" in caught.value.why
    assert caught.value.fix.endswith("loyalty.py")


def test_a_key_has_to_be_a_column_and_unique(loyalty: Change) -> None:
    class Plain(Row):
        user = ForeignKeyField(User, on_delete="CASCADE", backref="+")
        tier = TextField()

    with pytest.raises(DatasetError, match="must be unique"):
        lines(loyalty(model=Plain))
    with pytest.raises(DatasetError, match="has no column 'level'"):
        lines(loyalty(key=("level",)))
    with pytest.raises(DatasetError, match="unique index"):
        lines(loyalty(model=Plain, key=("user", "tier")))


def test_a_key_of_several_columns_needs_their_unique_index(loyalty: Change) -> None:
    class Several(Row):
        user = ForeignKeyField(User, on_delete="CASCADE", backref="+")
        tier = TextField()

        class Meta:
            indexes = ((("user", "tier"), True),)

    assert len(lines(loyalty(model=Several, key=("user", "tier")))) == 1


def test_what_hangs_on_users_is_a_row(loyalty: Change) -> None:
    class Timeless(Record):
        user = ForeignKeyField(User, unique=True, on_delete="CASCADE", backref="+")
        tier = TextField()

    with pytest.raises(DatasetError, match="is not a Row"):
        lines(loyalty(model=Timeless))


def test_a_key_that_the_record_lacks_is_told(loyalty: Change) -> None:
    source = Source.lookup("https://h/x?ids={external_ids}", key="userId", batch=5)
    with pytest.raises(DatasetError, match="no field 'userId'"):
        lines(loyalty(source=source))


def test_samples_are_read_as_the_source_answers(loyalty: Change) -> None:
    by_id = loyalty(source=Source.lookup("https://h/x?ids={external_ids}", batch=5))
    assert lines(by_id, {"7": {"external_id": 7, "tier": "gold"}, "8": None})[1:] == ["  record 1 becomes columns tier"]
