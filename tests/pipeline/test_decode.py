"""What a source sends, record by record: a row, or every reason why it is none."""

import enum
import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import msgspec
import peewee
import pytest
from playhouse.postgres_ext import JSONField

from celeryctl.dataset import Dataset
from celeryctl.datasets import addresses, credit_cards, users
from celeryctl.errors import DatasetError, SourceError
from celeryctl.local.generate import CARD_NUMBERS
from celeryctl.pipeline import answer
from celeryctl.pipeline.decode import TOLD, decode, required, usable
from celeryctl.pipeline.rejection import Rejection
from celeryctl.pipeline.values import LONGEST

pytestmark = pytest.mark.unit

USERS, ADDRESSES, CARDS = users.DATASET, addresses.DATASET, credit_cards.DATASET
GOOD = {"id": 1, "name": "n", "username": "u", "email": "e"}
GOOD_ROW = {"external_id": 1, "name": "n", "username": "u", "email": "e"}
PLACE = {"building_number": "7", "street_name": "s", "city": "c", "state": "s", "country": "c", "zip": "01234"}
LARGEST = 2**63 - 1
EMPTY = """
import resource
from celeryctl.datasets import addresses
from celeryctl.errors import SourceError
from celeryctl.pipeline.decode import decode
try:
    decode(addresses.DATASET, b"[" + b"{}," * 5_592_404 + b"{}]")
except SourceError:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


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


@pytest.mark.parametrize("bad", [b"NaN", b"1e400", b"-Infinity", b"9" * 5000], ids=lambda bad: bad.decode()[:9])
def test_a_number_that_is_none_beside_half_a_character_costs_no_other_record(bad: bytes) -> None:
    good = json.dumps(GOOD).encode()
    found = decode(USERS, b'[{"id": ' + bad + b'}, {"name": "\\ud800", "x": "\xff"}, ' + good + b"]")
    assert [isinstance(one, Rejection) for one in found] == [True, True, False]


def test_what_is_ignored_may_hold_anything_that_can_be_read() -> None:
    odd = b'[{"x": 1e400, "x": "\xff", "y": ' + b"[" * 500 + b"9" * 5000 + b"]" * 500 + b"}, "
    assert not isinstance(decode(USERS, odd + json.dumps(GOOD).encode() + b"]")[1], Rejection)


def test_of_a_field_that_comes_twice_the_last_one_counts() -> None:
    (found,) = decode(USERS, b'{"id": 1, "id": 2, "name": "n", "username": "u", "email": "e", "name": "m"}')
    assert not isinstance(found, Rejection)
    assert (found[1]["external_id"], found[1]["name"]) == (2, "m")


def test_a_text_is_as_long_as_its_column_takes() -> None:
    class Town(peewee.Model):
        city, country = peewee.CharField(max_length=3), peewee.TextField(null=True)

    class Place(msgspec.Struct):
        city: str
        country: str | None = None

    town = replace(ADDRESSES, record=Place, model=Town, to_row=msgspec.structs.asdict)
    assert len(rows(town, {"city": "abc", "country": "x" * LONGEST}, {"city": "Bön"})) == 2
    assert rejection(town, {"city": "abcd", "country": "é" * (LONGEST + 1)}).reasons == (
        "city has more than 3 characters",
        f"country has more than {LONGEST:,} characters",
    )


@pytest.mark.parametrize(("field", "good", "bad"), [
    (peewee.SmallIntegerField(), -(2**15), 2**15),
    (peewee.IntegerField(), 2**31 - 1, 2**31),
    (peewee.BigIntegerField(), -(2**63), 2**63),
    (peewee.FloatField(), 1e308, 10**400),
    (JSONField(), {"a": ["x"]}, {"a": ["\0"]}),
    (JSONField(), ["x" * 1000], ["x" * LONGEST]),
    (JSONField(), [None], ["\ud800"]),
    (peewee.TextField(), "ü", "\udfff"),
])  # fmt: skip
def test_what_the_column_does_not_take_costs_its_record_only(field: peewee.Field, good: object, bad: object) -> None:
    """The whole batch would fail in the database."""

    class Place(msgspec.Struct):
        city: str

    model = type("Town", (peewee.Model,), {"x": field, "field": None, "y": type(field)(null=True)})
    town = replace(ADDRESSES, record=Place, model=model, to_row=lambda one: {"x": good, "y": bad if one.city else None})
    found = decode(town, b'[{"city": ""}, {"city": "x"}]')
    assert not isinstance(found[0], Rejection)
    assert isinstance(found[1], Rejection)
    assert found[1].reasons[-1].startswith("y ")


def test_a_column_of_whole_numbers_is_looked_at_at_once() -> None:
    found = decode(USERS, json.dumps([{**GOOD, "id": number} for number in (0, LARGEST)]).encode())
    assert not any(isinstance(one, Rejection) for one in found)


@pytest.mark.parametrize("day", ["2024-13-45", "2023-02-29", "0000-00-00", "2023-02-29T00:00:00Z"])
def test_a_card_expires_on_no_day_that_there_is_not(day: str) -> None:
    card = {"credit_card_number": CARD_NUMBERS[0], "credit_card_type": "visa", "credit_card_expiry_date": day}
    assert rejection(CARDS, card).reasons == ("credit_card_expiry_date is no day of the calendar",)


@pytest.mark.parametrize("day", ["2024-02-29", "2027-10-16T00:00:00.000Z", "12/27", "10/2027", "2027-10", "next year"])
def test_when_a_card_expires_is_kept_as_it_came(day: str) -> None:
    card = {"credit_card_number": CARD_NUMBERS[0], "credit_card_type": "visa", "credit_card_expiry_date": day}
    assert rows(CARDS, card)[0]["expiry_date"] == day


@pytest.mark.parametrize("key", ["9" * 19, "9" * 20, "-1", "٣", "1.0", "1\n"])
def test_an_id_that_no_column_holds_is_none(key: str) -> None:
    assert usable(key) is None
    assert usable(LARGEST + 1) is None
    assert usable(str(LARGEST)) == LARGEST


@pytest.mark.parametrize("one", ["{}", "1", '{"x": "\\ud800"}'])
def test_more_records_than_anybody_asked_for_are_the_sources_fault(one: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer, "MOST", 100)
    for dataset in (USERS, ADDRESSES):
        assert len(decode(dataset, f"[{','.join([one] * 100)}]".encode())) == 100
        with pytest.raises(SourceError, match=r"101 records in [\d,]+ bytes; of ones so small 100 are the most"):
            decode(dataset, f"[{','.join([one] * 101)}]".encode())


@pytest.mark.slow
def test_an_answer_of_nothing_but_records_takes_no_more_than_a_gigabyte() -> None:
    """As many as HTTP_MAX_BYTES has room for; they took 4.7 GB."""
    done = subprocess.run([sys.executable, "-c", EMPTY], capture_output=True, text=True, check=True, timeout=60)
    assert int(done.stdout) < 2**20 * (1 if sys.platform == "linux" else 1024)


def test_many_records_that_say_something_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer, "MOST", 100)
    assert len(decode(USERS, json.dumps([GOOD] * 101).encode())) == 101


def test_a_reason_is_one_short_line_whatever_the_record_holds() -> None:
    class Strict(msgspec.Struct, forbid_unknown_fields=True):
        city: str

    for name in ("\x1b[31m\0\n\u202e", "x" * 10**6, CARD_NUMBERS[0]):
        reason = rejection(declared(Strict), {"city": "c", name: 1}).reasons[0]
        assert len(reason) <= TOLD
        assert reason.isprintable()
        assert CARD_NUMBERS[0] not in reason


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


def test_a_record_whose_check_fails_in_any_way_rejects_itself_only() -> None:
    class Checked(msgspec.Struct):
        id: int
        city: str

        def __post_init__(self) -> None:
            {"here": 1}[self.city]

    dataset = replace(USERS, record=Checked, to_row=lambda _: GOOD_ROW)
    good, bad = decode(dataset, json.dumps([{"id": 1, "city": "here"}, {"id": 2, "city": CARD_NUMBERS[0]}]).encode())
    assert not isinstance(good, Rejection)
    assert bad == Rejection(("Checked raised KeyError",), key=2)


@pytest.mark.parametrize(
    ("field", "why"),
    [
        ("credit_card_type", "holds as many digits as a card number"),
        ("credit_card_expiry_date", "holds as many digits as a card number"),
    ],
)
@pytest.mark.parametrize("mark", ["", " ", ".", "\u00a0"])
def test_a_card_number_in_another_column_than_its_own_is_rejected(field: str, why: str, mark: str) -> None:
    card = {"credit_card_number": "visa", "credit_card_type": "visa", "credit_card_expiry_date": "2028-01-31"}
    assert rows(CARDS, card)
    (reason,) = rejection(CARDS, {**card, field: mark.join(CARD_NUMBERS[0].split("-"))}).reasons
    assert reason.endswith(why)


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
