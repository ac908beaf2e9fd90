"""The tables of the application that this one replaces become ours, with each user's newest rows, and encrypted."""

from collections.abc import Iterator

import pytest
from servers import KEY

from celeryctl.cli import app
from celeryctl.errors import CipherError, SchemaError, SettingsError
from celeryctl.local.generate import CARD_NUMBERS
from celeryctl.services import UserService, use
from celeryctl.storage import counters, schema
from celeryctl.storage import database as db
from celeryctl.storage.cipher import Keyring
from celeryctl.storage.locks import Patience
from celeryctl.storage.user import User

from .ledgerkit import sql, while_held

pytestmark = pytest.mark.integration

OLD = """
CREATE TABLE users (id serial PRIMARY KEY, external_id integer UNIQUE, name varchar(255), username varchar(255),
  email varchar(255), phone varchar(255), website varchar(255), company_name varchar(255),
  company_catchphrase varchar(255), company_bs varchar(255),
  created_at timestamp DEFAULT now(), updated_at timestamp DEFAULT now());
CREATE TABLE addresses (id serial PRIMARY KEY, user_id integer REFERENCES users, street_number varchar(20),
  street_name varchar(255), city varchar(255), state varchar(255), country varchar(255), postal_code varchar(20),
  created_at timestamp DEFAULT now(), updated_at timestamp);
CREATE INDEX ix_addresses_user_id ON addresses (user_id);
CREATE TABLE credit_cards (id serial PRIMARY KEY, user_id integer REFERENCES users, card_number varchar(30),
  card_type varchar(50), expiry_date varchar(20), created_at timestamp DEFAULT now());
INSERT INTO users (id, external_id, name, username, email, phone, created_at)
VALUES (7, 1, 'Ada', 'ada', 'ada@example.org', '1', '2020-02-02 02:02'),
  (9, 2, 'Bob', NULL, 'b@example.org', NULL, NULL),
  (11, NULL, 'Nobody', 'n', 'n@example.org', NULL, now());
INSERT INTO addresses (user_id, street_number, street_name, city, state, country, postal_code, created_at, updated_at)
VALUES (7, '', 'Old Street', 'Ghent', 'x', 'x', '', '2021-01-01', '2023-01-01'),
  (7, '', 'New Street', 'Ghent', 'x', 'x', NULL, '2022-01-01', '2024-05-05'),
  (7, '', 'Middle Street', 'Ghent', 'x', 'x', '', '2023-06-01', NULL),
  (11, '', 'Lost Street', 'Ghent', 'x', 'x', '', now(), NULL);
"""
CARDS = """INSERT INTO credit_cards (user_id, card_number, card_type, expiry_date, created_at)
VALUES (%s, %s, 'visa', '2030-01-01', %s)"""
TABLES = "SELECT array_agg(oid || relname ORDER BY oid) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
LEFT = "SELECT count(*) FROM pg_namespace WHERE nspname = 'celeryctl_adopted'"
TOLD = "2 of 3 users, 1 of 4 addresses, 2 of 5 credit cards"


def ring() -> Keyring:
    return Keyring([KEY])


@pytest.fixture(autouse=True)
def old(empty_database: str) -> Iterator[None]:
    """A database with the old tables."""
    assert schema.create_database(empty_database)
    db.configure(empty_database)
    sql(OLD)
    for number, (user, card) in enumerate([(7, 0), (7, 1), (9, 2), (9, None), (9, None)]):
        plain = "" if number == 4 else None if card is None else CARD_NUMBERS[card]
        sql(CARDS, user, plain, f"2022-01-0{number + 1}")
    yield
    use(None)


def test_the_newest_row_of_every_user_is_kept_and_encrypted() -> None:
    done = schema.migrate([], adopt=ring)
    assert done[0] == f"kept {TOLD}; the others are deleted"
    assert sql("SELECT id, external_id, name, username, phone FROM users ORDER BY id") == [
        (7, 1, "Ada", "ada", "1"),
        (9, 2, "Bob", "", None),
    ]
    ((created, updated),) = sql("SELECT created_at::text, fetched_at::text FROM addresses")
    assert (created, updated) == ("2022-01-01 00:00:00+00", "2024-05-05 00:00:00+00")
    assert sql("SELECT user_id, street_name, postal_code FROM addresses") == [(7, "New Street", "")]
    found = {user: ring().open(value, f"credit_cards|{user}")
             for user, value in sql("SELECT user_id, card_number FROM credit_cards")}  # fmt: skip
    assert found == {7: CARD_NUMBERS[1], 9: CARD_NUMBERS[2]}
    assert sql(LEFT) == [(0,)]
    assert schema.pending([]) == []
    assert schema.migrate([], adopt=ring) == []


def test_what_was_taken_over_is_ours_in_every_respect() -> None:
    schema.migrate([], adopt=ring)
    sql("INSERT INTO users (external_id, name, username, email) VALUES (3, 'n', 'u', 'e')")
    assert sql("SELECT max(id) FROM users") == [(10,)]
    assert counters.drift([User]) == []
    found = UserService.get_user_by_external_id(1)
    assert found is not None
    assert found["created_at"].isoformat() == "2020-02-02T02:02:00+00:00"
    sql("DELETE FROM users WHERE id = 7")
    assert sql("SELECT count(*) FROM addresses") == [(0,)]


@pytest.mark.shows_numbers("the application that is replaced stores them in the clear")
def test_unless_it_is_asked_for_nothing_is_changed() -> None:
    before = sql(TABLES)
    with pytest.raises(SchemaError, match=TOLD) as caught:
        schema.migrate([])
    assert caught.value.fix.startswith("celeryctl init-db --yes")
    assert sql(TABLES) == before


def test_who_still_reads_the_old_tables_is_waited_for(empty_database: str) -> None:
    patience = Patience(wait="50ms", pause=0.05, tries=600)
    done = while_held(empty_database, "SELECT FROM users", lambda: schema.migrate([], adopt=ring, patience=patience))
    assert done[0] == f"kept {TOLD}; the others are deleted"
    assert sql("SELECT count(*) FROM users") == [(2,)]


@pytest.mark.shows_numbers("the application that is replaced stores them in the clear")
def test_without_a_key_nothing_is_changed() -> None:
    before = sql(TABLES)

    def none() -> Keyring:
        raise SettingsError("CARD_ENCRYPTION_KEYS is not set")

    with pytest.raises(SettingsError):
        schema.migrate([], adopt=none)
    assert sql(TABLES) == before


@pytest.mark.shows_numbers("the application that is replaced stores them in the clear")
def test_what_fails_midway_leaves_everything_as_it_was() -> None:
    before = sql(TABLES)
    with pytest.raises(CipherError, match="there is no key"):
        schema.migrate([], adopt=lambda: Keyring([]))
    assert sql(TABLES) == before
    assert sql("SELECT count(*) FROM credit_cards") == [(5,)]


@pytest.mark.shows_numbers("the application that is replaced stores them in the clear")
@pytest.mark.parametrize(
    "theirs",
    ["CREATE VIEW people AS SELECT name FROM users", "CREATE TABLE people (user_id integer REFERENCES users)"],
)
def test_what_others_have_hung_on_the_tables_is_not_lost(theirs: str) -> None:
    sql(theirs)
    before = sql(TABLES)
    with pytest.raises(SchemaError, match="hang: people"):
        schema.migrate([], adopt=ring)
    assert sql(TABLES) == before


def test_columns_that_are_not_kept_are_named() -> None:
    sql("ALTER TABLE users ADD secret_word text")
    with pytest.raises(SchemaError, match=r"the others, and the column users\.secret_word would be deleted"):
        schema.migrate([])
    assert "users.secret_word are deleted" in schema.migrate([], adopt=ring)[0]


def test_a_row_without_dates_is_not_the_newest() -> None:
    sql("INSERT INTO credit_cards (user_id, card_number, card_type, expiry_date, created_at) "
        "VALUES (7, '0', 'visa', '2030-01-01', NULL)")  # fmt: skip
    schema.migrate([], adopt=ring)
    ((value,),) = sql("SELECT card_number FROM credit_cards WHERE user_id = 7")
    assert ring().open(value, "credit_cards|7") == CARD_NUMBERS[1]


def test_our_own_tables_without_their_history_are_not_encrypted_once_more() -> None:
    schema.migrate([], adopt=ring)
    sql("DROP TABLE celeryctl_migrations")
    with pytest.raises(SchemaError, match="not celeryctl's") as caught:
        schema.migrate([], adopt=ring)
    assert "another database" in caught.value.fix


@pytest.mark.shows_numbers("the application that is replaced stores them in the clear")
def test_tables_that_lack_a_column_are_not_taken_over() -> None:
    sql("ALTER TABLE credit_cards DROP COLUMN card_type")
    with pytest.raises(SchemaError, match="not celeryctl's") as caught:
        schema.migrate([], adopt=ring)
    assert "another database" in caught.value.fix


def test_the_command_asks_for_a_yes_and_says_what_it_did(
    empty_database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", empty_database)
    monkeypatch.setenv("CARD_ENCRYPTION_KEYS", KEY)
    assert app.run(["init-db"]) == 1
    assert TOLD in capsys.readouterr().err
    assert app.run(["init-db", "--yes"]) == 0
    said = capsys.readouterr()
    assert f"done: kept {TOLD}; the others are deleted" in said.out
    assert not any(number in said.out + said.err for number in CARD_NUMBERS)
    assert app.run(["init-db", "--check"]) == 0
