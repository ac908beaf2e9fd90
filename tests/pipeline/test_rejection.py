"""What is kept of a record that was rejected."""

import json

import pytest

from celeryctl import datasets
from celeryctl.local.generate import CARD_NUMBERS
from celeryctl.pipeline.decode import decode
from celeryctl.pipeline.rejection import DEEPEST, LARGEST, Rejection, key_shown, payload, suffices

pytestmark = pytest.mark.unit
NUMBER = CARD_NUMBERS[0].replace("-", "").replace(" ", "")
USERS, CARDS = (datasets.load()[name] for name in ("users", "credit_cards"))


def kept(record: object) -> object:
    found = payload(USERS, json.dumps(record).encode())
    return None if found is None else json.loads(found)


@pytest.mark.parametrize("record", [
    {"id": 1, "name": None, "geo": {"lat": "-37.3159"}, "tags": ["a", True, 2.5]},
    {"name": "a\0b \ud800 é 😀"},
    7,
    [],
    "x",
    None,
])  # fmt: skip
def test_a_record_is_kept_as_it_came(record: object) -> None:
    assert kept(record) == record
    assert suffices(payload(USERS, json.dumps(record).encode()))


@pytest.mark.parametrize("mark", [".", "_", "\u2013", "\u00a0", "  ", "/"])
def test_a_card_number_is_not_kept_however_it_is_spelt(mark: str) -> None:
    parts = [NUMBER[place : place + 4] for place in range(0, len(NUMBER), 4)]
    for record in (mark.join(parts), parts, list(map(int, NUMBER)), {"a": parts}):
        found = payload(USERS, json.dumps(record).encode())
        assert found is not None
        assert not any(character.isdigit() for character in found.replace("u2013", "").replace("u00a0", ""))


def test_the_own_id_of_a_record_is_kept_unless_it_may_be_the_number_that_is_encrypted() -> None:
    number = int(NUMBER)
    assert [key_shown(USERS.model, key) for key in (7, number, None)] == ["7", str(number), None]
    assert [key_shown(CARDS.model, key) for key in (7, 10**12 - 1, 10**12, number)] == ["7", "9" * 12, None, None]


@pytest.mark.parametrize("name", ["password", "secret", "api_key", "authorization"])
def test_a_secret_is_not_kept(name: str) -> None:
    assert kept({name: "hunter2 x", "city": "c"}) == {name: "****", "city": "c"}
    assert kept({name: 7}) in (None, {name: "****"})


@pytest.mark.parametrize("number", [NUMBER, int(NUMBER), f"{NUMBER[:4]} {NUMBER[4:]}"])
@pytest.mark.parametrize("shape", ["{}", '{{"a": [{{"b": {}}}]}}'], ids=["bare", "nested"])
def test_a_card_number_is_never_kept(number: object, shape: str) -> None:
    record = shape.format(json.dumps(number)).encode()
    for dataset in (USERS, CARDS):
        found = payload(dataset, record)
        assert found is not None
        assert "****" in found
        assert str(number)[:6] not in found
        assert not suffices(found)


def test_a_card_number_as_the_name_of_a_field_is_never_kept() -> None:
    assert kept({NUMBER: 1}) == {"****": 1}


def test_of_a_card_no_digit_is_kept() -> None:
    card = {"number": ["4111", 1111], "cvv": "123", "expires": "2030-01-31", "٣": "٤", "type": "visa", "valid": True}
    found = payload(CARDS, json.dumps(card).encode())
    assert found is not None
    assert not any(character.isdigit() for character in found.replace("\\u0663", ""))
    assert json.loads(found)["type"] == "visa"
    assert json.loads(found)["valid"] is True


@pytest.mark.parametrize("raw", [
    b"", b"{", b"nan", b"NaN", b'{"a": Infinity}', b"1e999", b'"\xff"', b"9" * 5000,
    b'"' + b"x" * LARGEST + b'"', b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1), b"[" * 10**5,
    '"{}"'.format("é" * (LARGEST // 4)).encode(),
])  # fmt: skip
def test_what_is_none_or_too_large_or_too_deep_is_not_kept(raw: bytes) -> None:
    assert payload(USERS, raw) is None
    assert not suffices(None)


def test_every_rejected_record_brings_what_is_kept_of_it_and_does_not_show_it() -> None:
    records = [{"id": 1}, {"id": 2, "name": "n", "username": "u", "email": ""}]
    results = decode(USERS, json.dumps(records).encode())
    assert [json.loads(str(one.payload)) for one in results if isinstance(one, Rejection)] == records
    assert "username" not in repr(results[1])
