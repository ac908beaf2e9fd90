"""Rows on their way into a table: their columns, their order, and what stands in no line."""

from typing import Any

import peewee
import pytest

from celeryctl.datasets.credit_cards import CreditCard
from celeryctl.local.generate import CARD_NUMBERS
from celeryctl.storage.rows import Rows
from celeryctl.storage.user import User

pytestmark = pytest.mark.unit
KEY = ("external_id",)


def lines(*parts: list[dict[str, Any]], model: type[peewee.Model] = User) -> list[str]:
    rows = Rows(model, KEY)
    for part in parts:
        rows.add(part)
    rows.arrange()
    return rows.lines


def person(number: int, **more: object) -> dict[str, Any]:
    return {"external_id": number, "name": f"n{number}", **more}


def test_the_key_comes_first_whatever_the_order_of_a_row() -> None:
    assert lines([{"name": "a", "external_id": 1}, {"external_id": 2, "name": "b"}]) == ["1\ta", "2\tb"]


@pytest.mark.parametrize("parts", [1, 2])
def test_a_column_that_a_row_leaves_out_while_others_have_it_is_null(parts: int) -> None:
    rows = [person(1), person(2, phone="5"), person(3)]
    added = [rows] if parts == 1 else [rows[:1], rows[1:]]
    assert lines(*added) == ["1\tn1\t\\N", "2\tn2\t5", "3\tn3\t\\N"]


def test_rows_are_put_in_the_order_of_their_keys_and_the_last_of_the_same_stays() -> None:
    assert lines([person(10), person(9)], [person(10, name="last"), person(1)]) == ["1\tn1", "9\tn9", "10\tlast"]


def test_keys_of_different_types_are_left_in_their_order() -> None:
    assert lines([{"external_id": 2}, {"external_id": "10"}, {"external_id": 2}]) == ["2", "10"]


def test_what_would_end_a_field_or_a_line_is_escaped_and_stays_in_its_column() -> None:
    (line,) = lines([person(1, phone="a\tb\nc\\d\r", website="w")])
    assert line == "1\tn1\ta\\tb\\nc\\\\d\\r\tw"


def test_a_secret_stands_in_no_line_and_goes_where_its_row_goes() -> None:
    rows = Rows(CreditCard, ("user",))
    rows.add([{"card_type": "visa"}], [9])
    rows.add([{"card_type": "visa", "card_number": number} for number in CARD_NUMBERS[:2]], [8, 9])
    rows.arrange()
    assert rows.lines == ["8\tvisa", "9\tvisa"]
    assert rows.secrets == {"card_number": list(CARD_NUMBERS[:2])}
    assert (rows.users, rows.keys, len(rows)) == ([8, 9], [(8,), (9,)], 2)
    assert [field.name for field in rows.fields] == ["user", "card_type", "card_number"]


def test_rows_without_a_user_among_others_keep_their_place() -> None:
    rows = Rows(CreditCard, ("card_type",))
    rows.add([{"card_type": "b"}, {"card_type": "a"}])
    rows.add([{"card_type": "c", "user": 7}])
    rows.arrange()
    assert (rows.keys, rows.users, rows.lines) == (
        [("a",), ("b",), ("c",)],
        [None, None, 7],
        ["a\t\\N", "b\t\\N", "c\t7"],
    )


def test_a_secret_that_is_a_number_is_its_text() -> None:
    assert Rows(CreditCard, ("user",), [{"user": 1, "card_number": 4}]).secrets == {"card_number": ["4"]}
