"""What the watch view remembers of servers that are away."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from celeryctl.cli.asking import Known
from celeryctl.cluster.overview import FROM_DATABASE

pytestmark = pytest.mark.unit

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def document(*, database: bool = True, broker: bool = True, rows: int = 1) -> dict[str, Any]:
    found: dict[str, Any] = dict.fromkeys(FROM_DATABASE)
    if database:
        found |= {"at": NOW, "datasets": [{"rows": rows}]}
    problems = [*([] if database else ["no database"]), *([] if broker else ["no broker"])]
    return found | {"queues": [{"waiting": rows}] if broker else None, "problems": problems}


def test_nothing_is_known_at_first() -> None:
    known = Known()
    assert (known.document(), known.old(9), known.moment(9), known.answers) == (None, {}, None, False)


def test_the_clock_goes_on_while_nobody_answers() -> None:
    known = Known().then(document(), 100).then(document(database=False), 130)
    assert known.moment(140) == NOW + timedelta(seconds=40)


def test_what_a_server_said_last_stays_with_its_age() -> None:
    known = Known().then(document(rows=1), 100).then(document(broker=False, rows=2), 110)
    kept = known.document()
    assert kept is not None
    assert kept["datasets"] == [{"rows": 2}]
    assert kept["queues"] == [{"waiting": 1}]
    assert kept["problems"] == ["no broker"]
    assert known.old(115) == {"queues": 15}
    assert not known.answers


def test_an_answer_ends_the_remembering() -> None:
    known = Known().then(document(), 100).then(document(database=False), 110).then(document(rows=3), 120)
    assert known.old(125) == {}
    assert known.answers
    assert (known.document() or {})["datasets"] == [{"rows": 3}]


def test_what_was_never_known_is_not_made_up() -> None:
    known = Known().then(document(database=False), 100)
    assert (known.document() or {})["datasets"] is None
    assert known.old(110) == {}
    assert known.moment(110) is None
