"""What a source sends, record by record: a row, or every reason why it is none."""

import enum
import json
from dataclasses import replace
from typing import Any

import msgspec
import peewee
import pytest

from celeryctl.dataset import Dataset
from celeryctl.datasets import addresses, credit_cards, users
from celeryctl.errors import DatasetError, SourceError
from celeryctl.local.generate import CARD_NUMBERS
from celeryctl.pipeline.decode import decode, required
from celeryctl.pipeline.rejection import Rejection

pytestmark = pytest.mark.unit

USERS, ADDRESSES, CARDS = users.DATASET, addresses.DATASET, credit_cards.DATASET
GOOD = {"id": 1, "name": "n", "username": "u", "email": "e"}
PLACE = {"building_number": "7", "street_name": "s", "city": "c", "state": "s", "country": "c", "zip": "01234"}
LARGEST = 2**63 - 1


def rows(dataset: Dataset, *records: object) -> list[Any]:
    return [result[1] for result in decode(dataset, json.dumps(records).encode())]


def rejection(dataset: Dataset, record: object) -> Rejection:
    (result,) = decode(dataset, json.dumps([record]).encode())
    assert isinstance(result, Rejection)
    return result


def declared(record: type[msgspec.Struct], to_row: Any = lambda record: {"city": record.city}) -> Dataset:
    return replace(ADDRESSES, record=record, to_row=to_row)


def test_an_object_and_a_list_with_it_are_the_same() -> None:
    body = json.dumps(PLACE).encode()
    assert decode(ADDRESSES, body) == decode(ADDRESSES, b" [" + body + b"] ") == decode(ADDRESSES, b"\n" + body)
    assert decode(ADDRESSES, b"[]") == []


def test_unknown_fields_are_ignored() -> None:
    assert rows(USERS, {**GOOD, "address": {"geo": {"lat": "1"}}, "x": [[None]]}) == rows(USERS, GOOD)


def test_one_bad_record_leaves_the_others_in_their_order() -> None:
    found = decode(USERS, json.dumps([GOOD, {"id": "x"}, {**GOOD, "id": 2}, 7]).encode())
    assert [isinstance(one, Rejection) for one in found] == [False, True, False, True]
    assert [one[1]["external_id"] for one in found if not isinstance(one, Rejection)] == [1, 2]


def test_all_reasons_come_at_once() -> None:
    found = rejection(USERS, {"id": "geheim", "name": 5, "username": "", "company": 3})
    assert found.reasons == (
        "id: Expected `int`, got `str`",
        "name: Expected `str | null`, got `int`",
        "company: Expected `object | null`, got `int`",
        "external_id is missing or empty",
        "name is missing or empty",
        "username is missing or empty",
        "email is missing or empty",
    )


@pytest.mark.parametrize("number", [0, 2**31, 2**32 + 1, LARGEST])
def test_ids_up_to_64_bits_are_accepted(number: int) -> None:
    assert rows(USERS, {**GOOD, "id": number})[0]["external_id"] == number


@pytest.mark.parametrize(
    "number",
    ['"1"', '""', "true", "false", "null", "1.5", "1.0", "[1]", "{}", "-1", f"{LARGEST + 1}", f"{10**30}", "9" * 5000],
    ids=lambda number: number[:32],
)
def test_other_ids_are_rejected(number: str) -> None:
    (result,) = decode(USERS, f'[{{"id": {number}, "name": "n", "username": "u", "email": "e"}}]'.encode())
    assert isinstance(result, Rejection)
    assert result.reasons


@pytest.mark.parametrize(("number", "key"), [(5, 5), ("5", 5), ("x", None), (True, None), (None, None), (1.5, None)])
def test_a_rejection_knows_its_record_by_a_usable_id(number: object, key: int | None) -> None:
    found = rejection(USERS, {"id": number, "name": 3})
    assert found.key == key
    assert isinstance(found.key, int) == (key is not None)


@pytest.mark.parametrize("name", ["name", "username", "email"])
@pytest.mark.parametrize("value", [None, "", "absent"])
def test_users_need_a_name_a_username_and_an_email(name: str, value: str | None) -> None:
    record = {**GOOD, name: value}
    if value == "absent":
        del record[name]
    assert rejection(USERS, record) == Rejection((f"{name} is missing or empty",), key=1)


def test_users_need_nothing_else() -> None:
    assert {name for name, value in rows(USERS, {**GOOD, "company": None})[0].items() if value is None} == {
        "phone",
        "website",
        "company_name",
        "company_catchphrase",
        "company_bs",
    }


@pytest.mark.parametrize("name", ["building_number", "street_name", "city", "state", "country", "zip"])
@pytest.mark.parametrize("value", [None, ""])
def test_addresses_need_every_part(name: str, value: str | None) -> None:
    column = {"building_number": "street_number", "zip": "postal_code"}.get(name, name)
    assert rejection(ADDRESSES, {**PLACE, name: value}).reasons == (f"{column} is missing or empty",)


def test_cards_need_all_three() -> None:
    assert rejection(CARDS, {}).reasons == tuple(
        f"{name} is missing or empty" for name in ("card_number", "card_type", "expiry_date")
    )


def test_the_columns_to_fill_are_those_that_nothing_else_fills() -> None:
    assert required(users.User) == ("external_id", "name", "username", "email")
    assert required(credit_cards.CreditCard) == ("user", "card_number", "card_type", "expiry_date")


@pytest.mark.parametrize("name", ["\\", "a\tb", "\\N", "a\nb", "\\.", "Ünïcødé 😀", "'; DROP TABLE users; --", " "])
def test_odd_names_come_through(name: str) -> None:
    assert rows(USERS, {**GOOD, "name": name})[0]["name"] == name


def test_a_nul_is_rejected_also_where_a_column_may_be_empty() -> None:
    found = rejection(USERS, {**GOOD, "name": "a\0b", "phone": "\0"})
    assert found == Rejection(("name holds a NUL character", "phone holds a NUL character"), key=1)


@pytest.mark.parametrize("body", [b"", b"Retry later", b"[1,", b"null", b"7", b'"x"', b"\xff\xfe", b"[9"])
def test_what_is_no_list_of_records_is_the_sources_fault(body: bytes) -> None:
    with pytest.raises(SourceError, match="the source of users did not answer with a list of records"):
        decode(USERS, body)


@pytest.mark.parametrize("of", ["[", '{"x":'])
def test_a_deeply_nested_answer_is_the_sources_fault(of: str) -> None:
    closing = "]" if of == "[" else "}"
    body = f'[{{"id": 1, "x": {of * 50_000}1{closing * 50_000}}}]'
    with pytest.raises(SourceError, match="nested"):
        decode(USERS, body.encode())


@pytest.mark.parametrize("bad", [b"\xff", b"\\ud800", b"\\ud83d", b"\\udc00x"])
def test_text_that_is_none_costs_one_record_only(bad: bytes) -> None:
    good = json.dumps(GOOD).encode()
    found = decode(USERS, b'[{"id": 7, "name": "' + bad + b'"}, ' + good + b"]")
    assert [isinstance(one, Rejection) for one in found] == [True, False]
    assert "not readable" in found[0].reasons[0]


@pytest.mark.parametrize("one", [1, None, "x", [], True, 1.5])
def test_what_is_no_object_is_rejected(one: object) -> None:
    assert rejection(USERS, one).reasons == (f"a record is an object, not {type(one).__name__}",)


def test_reasons_never_hold_values() -> None:
    class Level(enum.Enum):
        HIGH = "high"

    class Strict(msgspec.Struct):
        city: str
        level: Level = Level.HIGH

        def __post_init__(self) -> None:
            if self.city == "geheim":
                raise ValueError(f"no such city: {self.city}")

    def number(record: Any) -> dict[str, Any]:
        return {"city": int(record.city)}

    card = CARD_NUMBERS[0]
    assert card not in str(rejection(declared(Strict), {"city": 1, "level": card}))
    assert "geheim" not in str(rejection(declared(Strict), {"city": "geheim"}))
    assert card not in str(rejection(declared(Strict, number), {"city": card}))
    assert "geheim" not in str(rejection(declared(Strict, number), {"city": "geheim1"}))
    assert card not in str(rejection(CARDS, {"credit_card_number": [card], "credit_card_type": 3}))


def test_what_to_row_raises_rejects_its_record_only() -> None:
    def to_row(record: Any) -> dict[str, Any]:
        return {"street_number": {"7": "7"}[record.building_number], **dict.fromkeys(required(addresses.Address), "x")}

    found = decode(replace(ADDRESSES, to_row=to_row), json.dumps([PLACE, {"building_number": "8"}]).encode())
    assert not isinstance(found[0], Rejection)
    assert found[1] == Rejection(("to_row raised KeyError",))


def test_a_value_error_of_to_row_is_a_reason_in_its_own_words() -> None:
    def to_row(record: Any) -> dict[str, Any]:
        raise ValueError("lies at the bottom of the sea")

    assert rejection(replace(ADDRESSES, to_row=to_row), PLACE).reasons == ("lies at the bottom of the sea",)


@pytest.mark.parametrize(("gives", "kind"), [(None, "NoneType"), ([], "list")])
def test_what_to_row_gives_instead_of_columns_rejects_the_record(gives: object, kind: str) -> None:
    found = rejection(replace(ADDRESSES, to_row=lambda _: gives), PLACE)
    assert found.reasons == (f"to_row gave {kind}, not a dict of columns",)


def test_columns_that_the_table_lacks_are_a_fault_of_the_declaration() -> None:
    with pytest.raises(DatasetError, match="gives columns that the model lacks: height"):
        decode(replace(ADDRESSES, to_row=lambda _: {"height": 3}), json.dumps(PLACE).encode())


def test_a_record_that_checks_itself_rejects_itself() -> None:
    class Checked(msgspec.Struct, forbid_unknown_fields=True):
        city: str

        def __post_init__(self) -> None:
            if self.city == "Atlantis":
                raise ValueError("sunk")

    assert rejection(declared(Checked), {"city": "Atlantis"}).reasons[0].startswith("sunk")
    assert "unknown field" in rejection(declared(Checked), {"city": "c", "x": 1}).reasons[0]


def test_the_default_of_an_absent_field_counts_beside_a_faulty_one() -> None:
    class Kept(msgspec.Struct):
        number: int
        city: str = "Berlin"

    class Town(peewee.Model):
        city = peewee.TextField()

    town = replace(ADDRESSES, record=Kept, model=Town, to_row=lambda record: {"city": record.city})
    assert rejection(town, {"number": "x"}).reasons == ("number: Expected `int`, got `str`",)


def test_a_renamed_key_is_found_by_the_name_that_the_source_uses() -> None:
    class Named(msgspec.Struct, rename="camel"):
        user_id: int
        city: str | None = None

    source = replace(ADDRESSES.source, key="userId")
    assert rejection(replace(declared(Named), source=source), {"userId": 4}).key == 4
