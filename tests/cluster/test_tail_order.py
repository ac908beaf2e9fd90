"""In which order `tail` tells what it saw at one look."""

import uuid
from types import SimpleNamespace
from typing import Any

import pytest

from celeryctl.cluster.tail import _woven
from celeryctl.storage.feed import ENDED, OPENED, Moment

pytestmark = pytest.mark.unit

PARENT, CHILD = uuid.uuid4(), uuid.uuid4()


def of_run(kind: str, run_id: uuid.UUID) -> Moment:
    run: Any = SimpleNamespace(id=run_id)
    return Moment(kind=kind, run=run)


def of_batch(run_id: uuid.UUID) -> Moment:
    return Moment(kind="batch-done", detail={"run": str(run_id)})


def test_a_batch_stands_before_the_end_of_its_run_and_an_end_before_what_it_opened() -> None:
    seen = [of_run(OPENED, PARENT), of_run(ENDED, PARENT), of_run(OPENED, CHILD)]
    parents, childs = of_batch(PARENT), of_batch(CHILD)
    assert list(_woven(seen, [childs, parents])) == [seen[0], parents, seen[1], seen[2], childs]
    assert list(_woven([], [parents])) == [parents]
