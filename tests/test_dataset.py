"""Declarations: what they may say, and what follows from them."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from celeryctl.dataset import Source
from celeryctl.datasets import addresses, credit_cards, users
from celeryctl.errors import DatasetError

pytestmark = pytest.mark.unit

USERS, ADDRESSES = users.DATASET, addresses.DATASET
LISTING, DRAW = USERS.source, ADDRESSES.source


@pytest.mark.parametrize("name", ["", "Loyalty", "9lives", "_x", "a-b", "a b", "é", "a" * 41, "a;--", "a\n"])
def test_a_name_that_cannot_be_used_everywhere_is_refused(name: str) -> None:
    with pytest.raises(DatasetError, match="a name is lower-case letters") as caught:
        replace(ADDRESSES, name=name)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", ["a", "a9_b", "a" * 40])
def test_names_that_can_be_used(name: str) -> None:
    assert replace(ADDRESSES, name=name).name == name


@pytest.mark.parametrize("name", ["all", "database", "redis"])
def test_names_that_mean_something_else_are_refused(name: str) -> None:
    with pytest.raises(DatasetError, match="means something else"):
        replace(ADDRESSES, name=name)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"every": timedelta(milliseconds=999)}, "at least one second"),
        ({"every": timedelta(seconds=-5)}, "at least one second"),
        ({"per": "orders"}, "`per` is 'users' or absent"),
        ({"per": None}, "draws and lookups are made per='users'"),
        ({"source": LISTING}, "a listing stands for itself"),
        ({"source": Source.lookup("https://h/x")}, r"holds \{external_id\} or \{external_ids\}"),
        ({"source": Source.lookup("https://h/{id}")}, r"holds \{external_id\} or \{external_ids\}"),
        ({"source": Source.lookup("https://h/{external_ids}", batch=0)}, "at least one record"),
        ({"source": Source.lookup("https://h/{external_id}", batch=0)}, "at least one record"),
        ({"source": Source.draw("https://h", size="n", most=0)}, "at least one record"),
    ],
)
def test_a_declaration_that_cannot_work_is_refused(wrong: dict[str, Any], reason: str) -> None:
    with pytest.raises(DatasetError, match=reason):
        replace(ADDRESSES, **wrong)


def test_a_listing_per_user_is_refused() -> None:
    with pytest.raises(DatasetError, match="a listing stands for itself"):
        replace(USERS, per="users")


def test_the_key_is_the_user_or_the_external_id_unless_declared() -> None:
    assert (USERS.key, ADDRESSES.key) == (("external_id",), ("user",))
    assert replace(ADDRESSES, key=("user", "city")).key == ("user", "city")


def test_the_names_that_follow() -> None:
    assert (credit_cards.DATASET.command, credit_cards.DATASET.variable) == ("credit-cards", "CREDIT_CARDS")


def test_where_it_comes_from_does_not_make_it_another() -> None:
    assert replace(ADDRESSES, origin="elsewhere") == ADDRESSES


def test_sources_know_whether_a_request_brings_several_records() -> None:
    one, many = Source.lookup("https://h/{external_id}"), Source.lookup("https://h?i={external_ids}", batch=7)
    assert [source.many for source in (LISTING, DRAW, one, many)] == [True, True, False, True]
    assert [source.page_size for source in (one, many, replace(one, batch=9))] == [1, 7, 1]
    assert Source.lookup("https://h/{external_id}", batch=100).page_size == 1


@pytest.mark.parametrize(
    ("url", "parameters", "expected"),
    [
        ("https://h/x", {"a": 1}, "https://h/x?a=1"),
        ("https://h/x?a=0&b=2", {"a": 1}, "https://h/x?b=2&a=1"),
        ("https://h/x?tag=a&tag=b&empty=", {"a": 1}, "https://h/x?tag=a&tag=b&empty=&a=1"),
        ("https://h/x", {"after": "ü&= /"}, "https://h/x?after=%C3%BC%26%3D+%2F"),
        ("https://h/x?a=1", {}, "https://h/x?a=1"),
        ("https://h:8/p;q?x=%26", {"a": 1}, "https://h:8/p;q?x=%26&a=1"),
    ],
)
def test_parameters_are_added_or_replaced(url: str, parameters: dict[str, object], expected: str) -> None:
    assert Source.listing(url).with_query(**parameters) == expected


def test_an_encrypted_column_is_no_key() -> None:
    with pytest.raises(DatasetError, match="encrypted column cannot tell rows apart"):
        replace(credit_cards.DATASET, key=("card_number",))
