"""The bulk write: what it counts, what it touches, and what it survives."""

import enum
import threading
from collections.abc import Iterator
from typing import Any

import peewee
import pytest
from servers import KEY
from waiting import eventually

from celeryctl.datasets.addresses import Address
from celeryctl.datasets.credit_cards import CreditCard
from celeryctl.errors import CeleryctlError, RefusedError
from celeryctl.local.generate import CARD_NUMBERS
from celeryctl.storage.cipher import Keyring
from celeryctl.storage.database import database, session, transaction
from celeryctl.storage.row import EncryptedField, Row
from celeryctl.storage.rows import Rows
from celeryctl.storage.upsert import Written, context_of, upsert
from celeryctl.storage.user import User

pytestmark = pytest.mark.integration
RING = Keyring([KEY])
FIELDS = ("street_number", "street_name", "city", "state", "country", "postal_code")


class Visit(Row):
    """A data set of which a user may have several rows."""

    user = peewee.ForeignKeyField(User, on_delete="CASCADE", backref="+")
    place = peewee.TextField()
    note = peewee.TextField(null=True)

    class Meta:
        table_name = "visits"
        indexes = ((("user", "place"), True),)


class Vault(Row):
    """A data set whose key is a text, and which has something to hide."""

    user = peewee.ForeignKeyField(User, on_delete="CASCADE", backref="+")
    place = peewee.TextField()
    secret = EncryptedField(null=True)

    class Meta:
        table_name = "vaults"
        indexes = ((("user", "place"), True),)


@pytest.fixture
def others(database_url: str) -> Iterator[None]:
    """The tables of these data sets, for one test."""
    with session():
        database.create_tables([Visit, Vault])
    yield
    with session():
        database.drop_tables([Visit, Vault])


def person(number: int, name: str = "n", **more: object) -> dict[str, Any]:
    return {"external_id": number, "name": name, "username": "u", "email": "e", **more}


def place(user_id: int, city: str = "c") -> dict[str, Any]:
    return {"user": user_id, **dict.fromkeys(FIELDS, "x"), "city": city}


def write(rows: list[dict[str, Any]], model: type[peewee.Model] = User, key: tuple[str, ...] = ("",)) -> Written:
    with transaction():
        key = key if key[0] else ("external_id",) if model is User else ("user",)
        return upsert(Rows(model, key, rows), RING)


def value(sql: str) -> Any:
    with session():
        return database.execute_sql(sql).fetchone()[0]


def people(count: int) -> list[int]:
    write([person(n) for n in range(1, count + 1)])
    with session():
        return [user.id for user in User.select().order_by(User.id)]


def test_it_counts_what_it_created_changed_and_found_as_it_was(database_url: str) -> None:
    assert write([person(1), person(2)]) == Written(2, 0, 0)
    assert write([person(1), person(2, "other"), person(3)]) == Written(1, 1, 1)
    assert write([]) == Written()


def test_of_the_same_key_twice_in_a_batch_the_last_one_counts(database_url: str) -> None:
    assert write([person(1, "first"), person(1, "last")]) == Written(1, 0, 0)
    assert value("SELECT name FROM users") == "last"


def test_what_is_there_in_the_midst_of_what_is_new_is_changed_or_left(database_url: str) -> None:
    write([person(3), person(5, "old")])
    ids = value("SELECT array_agg(id ORDER BY id) FROM users")
    assert write([person(n) for n in range(1, 8)]) == Written(5, 1, 1)
    assert value("SELECT array_agg(name ORDER BY external_id) FROM users") == ["n"] * 7
    assert value("SELECT array_agg(id ORDER BY id) FROM users WHERE external_id IN (3, 5)") == ids


def test_keys_that_lie_far_apart_are_found_as_well(database_url: str) -> None:
    rows = [person(n * 10**12) for n in range(1, 8)]
    assert write(rows) == Written(7, 0, 0)
    assert write(rows) == Written(0, 0, 7)
    assert write([*rows[:3], person(5), *rows[3:]]) == Written(1, 0, 7)


def test_keys_that_are_text_are_found_whatever_they_hold(others: None) -> None:
    (user_id,) = people(1)
    places = ["it's", 'a "place"', "back\\slash", "tab\there", "{1,2}", "", "%s", "日本"]
    rows = [{"user": user_id, "place": text, "note": text} for text in places]
    assert write(rows, Visit, ("place", "user")) == Written(len(places), 0, 0)
    assert write(rows, Visit, ("place", "user")) == Written(0, 0, len(places))


def test_two_that_overlap_do_not_deadlock(database_url: str) -> None:
    users = people(60)
    write([place(user_id) for user_id in users], Address)
    barrier, found = threading.Barrier(2), []

    def change(ids: list[int], city: str) -> None:
        for number in range(10):
            barrier.wait(30)
            found.append(write([place(user_id, f"{city}{number}") for user_id in ids], Address).updated)

    threads = [threading.Thread(target=change, args=one) for one in ((users[:40], "a"), (users[20:], "b"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == [40] * 20


class Kind(str, enum.Enum):  # noqa: UP042 - StrEnum says the same by str()
    """A text of another class."""

    GOLD = "gold"


def test_a_text_of_another_class_is_spelt_the_same_beside_a_null(database_url: str) -> None:
    write([person(1, phone=Kind.GOLD)])
    assert write([person(1, phone=Kind.GOLD), person(2, phone=None)]) == Written(1, 0, 1)
    assert value("SELECT phone FROM users WHERE external_id = 1") == "gold"


def test_a_sealed_value_opens_whatever_the_key_of_its_row_holds(others: None) -> None:
    (user_id,) = people(1)
    row = {"user": user_id, "place": "C:\\home\t1", "secret": "s"}
    assert write([row], Vault, ("user", "place")) == Written(1, 0, 0)
    assert write([row], Vault, ("user", "place")) == Written(0, 0, 1)
    assert RING.open(value("SELECT secret FROM vaults"), context_of(Vault, [user_id, row["place"]])) == "s"


def test_a_number_may_be_the_key_of_a_column_of_text(others: None) -> None:
    (user_id,) = people(1)
    rows = [{"user": user_id, "place": number, "note": "n"} for number in range(3)]
    assert write(rows, Visit, ("place", "user")) == Written(3, 0, 0)
    assert write(rows, Visit, ("place", "user")) == Written(0, 0, 3)


def test_of_two_who_insert_the_same_rows_at_once_one_finds_them_there(database_url: str) -> None:
    rows = [person(n) for n in range(1, 4)]
    found: list[Written] = []
    with transaction():
        upsert(Rows(User, ("external_id",), rows), RING)
        other = threading.Thread(target=lambda: found.append(write([*rows, person(4)])))
        other.start()
        eventually(lambda: value("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"))
    other.join(30)
    assert found == [Written(1, 0, 3)]


TEXTS = {
    "backslash": "\\",
    "tab": "a\tb",
    "newline": "a\nb",
    "crlf": "a\r\nb",
    "null": "\\N",
    "end": "\\.",
    "control": "\b\f\v",
    "escaped": "\\t",
    "unicode": "日本 🎉 e\u0301",
    "empty": "",
    "quote": "'; DROP TABLE users",
    "parameter": "%s %(name)s %% %",
    "braces": "{} {0} {table}",
    "long": "x" * 3_000_000,
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_text_comes_back_as_it_went_in(database_url: str, text: str) -> None:
    write([person(1, text), person(2)])
    with session():
        assert User.get(User.external_id == 1).name == text
    assert write([person(1, text)]) == Written(0, 0, 1)


def test_nothing_and_the_text_for_nothing_are_told_apart(database_url: str) -> None:
    write([person(1, phone=None), person(2, phone="\\N")])
    assert value("SELECT phone FROM users WHERE external_id = 1") is None
    assert value("SELECT phone FROM users WHERE external_id = 2") == "\\N"
    assert write([person(1, phone="1")]) == Written(0, 1, 0)
    assert write([person(1, phone=None)]) == Written(0, 1, 0)


def test_a_nul_is_refused_and_nothing_of_its_batch_is_written(database_url: str) -> None:
    with pytest.raises(RefusedError) as caught:
        write([person(1), person(2, "secret\0name")])
    assert "secret" not in str(caught.value)
    assert value("SELECT count(*) FROM users") == 0


def test_ids_beyond_32_bits_are_stored(database_url: str) -> None:
    write([person(2**63 - 1)])
    assert value("SELECT external_id FROM users") == 2**63 - 1


def test_updated_at_moves_only_when_a_value_changed(database_url: str) -> None:
    write([person(1)])
    before = value("SELECT updated_at FROM users")
    write([person(1)])
    assert value("SELECT updated_at FROM users") == before
    write([person(1, "other")])
    assert value("SELECT updated_at FROM users") > before
    assert value("SELECT created_at FROM users") == before


def test_fetched_at_moves_whenever_the_source_confirms_a_row(database_url: str) -> None:
    (user_id,) = people(1)
    write([place(user_id)], Address)
    fetched, updated = value("SELECT fetched_at FROM addresses"), value("SELECT updated_at FROM addresses")
    assert write([place(user_id)], Address) == Written(0, 0, 1)
    confirmed = value("SELECT fetched_at FROM addresses")
    assert confirmed > fetched
    assert value("SELECT updated_at FROM addresses") == updated
    assert write([place(user_id, "other")], Address) == Written(0, 1, 0)
    assert value("SELECT fetched_at FROM addresses") > confirmed
    assert value("SELECT updated_at FROM addresses") > updated


def test_unchanged_users_cost_no_write_and_no_id(database_url: str) -> None:
    rows = [person(n) for n in range(1, 51)]
    write(rows)
    trace = "SELECT array_agg((xmin::text, ctid::text, xmax::text) ORDER BY id)::text FROM users"
    before, used = value(trace), value("SELECT last_value FROM users_id_seq")
    assert write(rows) == Written(0, 0, 50)
    assert value(trace) == before
    write([*rows, person(99)])
    assert value("SELECT last_value FROM users_id_seq") == used + 1


def test_an_unchanged_card_keeps_its_ciphertext_and_a_changed_one_gets_another(database_url: str) -> None:
    (user_id,) = people(1)
    row = {"user": user_id, "card_number": CARD_NUMBERS[0], "card_type": "visa", "expiry_date": "2030-01-01"}
    stored = "SELECT card_number FROM credit_cards"
    write([row], CreditCard)
    first = value(stored)
    assert CARD_NUMBERS[0] not in first
    assert write([row], CreditCard) == Written(0, 0, 1)
    assert value(stored) == first
    assert write([{**row, "card_type": "other"}], CreditCard) == Written(0, 1, 0)
    assert value(stored) == first
    assert write([{**row, "card_number": CARD_NUMBERS[1]}], CreditCard) == Written(0, 1, 0)
    assert RING.open(value(stored), f"credit_cards|{user_id}") == CARD_NUMBERS[1]


def test_rows_whose_user_is_gone_are_left_out(database_url: str) -> None:
    first, second = people(2)
    assert write([place(first), place(second + 7)], Address) == Written(1, 0, 0)
    assert value("SELECT count(*) FROM addresses") == 1


def test_a_key_of_several_columns_tells_rows_apart(others: None) -> None:
    (user_id,) = people(1)
    rows = [{"user": user_id, "place": name, "note": None} for name in ("a", "b", "a")]
    assert write(rows, Visit, ("user", "place")) == Written(2, 0, 0)
    assert write([{**rows[0], "note": "n"}], Visit, ("user", "place")) == Written(0, 1, 0)


def test_a_connection_may_write_other_columns_than_the_time_before(others: None) -> None:
    (user_id,) = people(1)
    with session():
        write([{"user": user_id, "place": "a"}], Visit, ("user", "place"))
        row = {"user": user_id, "place": "a", "note": "n"}
        assert write([row], Visit, ("user", "place")) == Written(0, 1, 0)


def test_two_writes_of_the_same_rows_in_opposite_order_do_not_deadlock(database_url: str) -> None:
    ids = people(300)
    write([place(user_id) for user_id in ids], Address)
    barrier, errors = threading.Barrier(2), []

    def work(mine: int) -> None:
        order = ids if mine else ids[::-1]
        for turn in range(12):
            # Each changes a third of its own and confirms the rest.
            rows = [place(user_id, f"{mine}{turn}" if user_id % 3 == mine else "c") for user_id in order]
            barrier.wait(30)
            try:
                write(rows, Address)
            except CeleryctlError as error:
                errors.append(error)

    threads = [threading.Thread(target=work, args=(mine,)) for mine in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_a_secret_may_be_absent_come_and_go(others: None) -> None:
    (user_id,) = people(1)
    key = ("user", "place")

    def secret(plain: str | None) -> Written:
        return write([{"user": user_id, "place": "a", "secret": plain}], Vault, key)

    assert secret(None) == Written(1, 0, 0)
    assert secret(None) == Written(0, 0, 1)
    assert secret("s") == Written(0, 1, 0)
    assert secret("s") == Written(0, 0, 1)
    assert RING.open(value("SELECT secret FROM vaults"), context_of(Vault, (user_id, "a"))) == "s"
    assert secret(None) == Written(0, 1, 0)
    assert value("SELECT secret FROM vaults") is None
