"""The read side for other programs: plain dicts from the database, cards masked."""

import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from servers import KEY

from celeryctl import services
from celeryctl.datasets.addresses import DATASET as ADDRESSES
from celeryctl.datasets.credit_cards import DATASET as CREDIT_CARDS
from celeryctl.errors import CipherError
from celeryctl.local.generate import CARD_NUMBERS
from celeryctl.services import AddressService, CreditCardService, StatsService, UserService
from celeryctl.storage.cipher import Keyring
from celeryctl.storage.database import transaction
from celeryctl.storage.ledger import Miss, Run
from celeryctl.storage.rows import Rows
from celeryctl.storage.upsert import upsert
from celeryctl.storage.user import User

OTHER = "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXoxMjM0NTY="
USER_COLUMNS = "id external_id name username email phone website company_name company_catchphrase company_bs"
ADDRESS_COLUMNS = "id user_id street_number street_name city state country postal_code created_at updated_at fetched_at"
CARD_COLUMNS = "id user_id card_number card_type expiry_date created_at updated_at fetched_at"
SCRIPT = """
from celeryctl.errors import DatabaseUnreachableError
from celeryctl.services import CreditCardService, StatsService, UserService
try:
    print(StatsService.get_comprehensive_stats()["total_users"], UserService.get_user_by_external_id(101)["name"])
    print(CreditCardService.get_credit_cards_by_user_id(1, reveal=True)[0]["card_number"])
except DatabaseUnreachableError as exc:
    print("unreachable", exc.exit_code)
"""


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """The settings of this process: read anew for the test, and afterwards."""
    monkeypatch.setenv("CARD_ENCRYPTION_KEYS", KEY)
    services.use(None)
    yield monkeypatch
    services.use(None)


@pytest.fixture
def stored(database_url: str, keys: pytest.MonkeyPatch) -> str:
    """Four users; the first two have an address, the second and third a card. None of the ids is another one's."""
    with transaction():
        people = [{"external_id": 100 + n, "name": f"n{n}", "username": f"u{n}", "email": "e"} for n in range(1, 5)]
        User.insert_many(people).execute()
        place = {"street_number": "1", "street_name": "s", "city": "c", "state": "st", "country": "co"}
        spots = [{**place, "user": n, "postal_code": f"0{n}"} for n in (2, 1)]
        upsert(Rows(ADDRESSES.model, ["user"], spots), Keyring([KEY]))
        cards = [
            {"user": n, "card_number": CARD_NUMBERS[n], "card_type": "visa", "expiry_date": "2035"} for n in (3, 2)
        ]
        upsert(Rows(CREDIT_CARDS.model, ["user"], cards), Keyring([KEY]))
    return database_url


@pytest.mark.unit
def test_every_method_is_static_and_takes_what_the_contract_says() -> None:
    signatures = {
        UserService: ["get_all_users", "get_user_by_external_id", "get_user_with_relations"],
        AddressService: ["get_addresses_by_user_id"],
        CreditCardService: ["get_credit_cards_by_user_id"],
        StatsService: ["get_comprehensive_stats"],
    }
    for service, names in signatures.items():
        assert sorted(name for name in vars(service) if not name.startswith("_")) == names
        assert all(isinstance(inspect.getattr_static(service, name), staticmethod) for name in names)
    parameters = inspect.signature(UserService.get_all_users).parameters
    assert [(name, one.default) for name, one in parameters.items()] == [("limit", 100), ("offset", 0)]


@pytest.mark.integration
def test_a_user_is_found_by_the_id_of_its_source(stored: str) -> None:
    user = UserService.get_user_by_external_id(103)
    assert type(user) is dict
    assert list(user) == ["id", "created_at", "updated_at", *USER_COLUMNS.split()[1:]]
    assert (user["id"], user["name"], user["phone"]) == (3, "n3", None)
    assert isinstance(user["created_at"], datetime)
    assert user["created_at"].tzinfo is not None


@pytest.mark.integration
def test_a_missing_user_is_none_or_an_empty_list(stored: str) -> None:
    assert UserService.get_user_by_external_id(1) is None
    assert UserService.get_user_with_relations(101) is None
    assert AddressService.get_addresses_by_user_id(99) == []
    assert CreditCardService.get_credit_cards_by_user_id(99, reveal=True) == []


@pytest.mark.integration
def test_users_come_in_order_of_their_ids_and_in_pages(stored: str) -> None:
    with transaction():
        User.update(name="changed").where(User.id == 1).execute()  # moves the row to the end of the table

    def page(**more: int) -> list[int]:
        return [user["id"] for user in UserService.get_all_users(**more)]

    assert page() == [1, 2, 3, 4]
    assert page(limit=2) == [1, 2]
    assert page(limit=2, offset=3) == [4]
    assert page(offset=4) == []


@pytest.mark.integration
def test_a_user_comes_with_a_list_for_every_data_set(stored: str) -> None:
    user = UserService.get_user_with_relations(2)
    assert user is not None
    assert user["external_id"] == 102
    assert [one["postal_code"] for one in user["addresses"]] == ["02"]
    assert [one["card_number"] for one in user["credit_cards"]] == [f"**** {CARD_NUMBERS[2][-4:]}"]
    revealed = UserService.get_user_with_relations(2, reveal=True)
    assert revealed is not None
    assert revealed["credit_cards"][0]["card_number"] == CARD_NUMBERS[2]
    bare = UserService.get_user_with_relations(4)
    assert bare is not None
    assert (bare["addresses"], bare["credit_cards"]) == ([], [])


@pytest.mark.integration
def test_addresses_and_cards_have_the_columns_as_keys(stored: str) -> None:
    (address,) = AddressService.get_addresses_by_user_id(1)
    (card,) = CreditCardService.get_credit_cards_by_user_id(3)
    assert set(address) == set(ADDRESS_COLUMNS.split())
    assert set(card) == set(CARD_COLUMNS.split())
    assert (address["user_id"], card["user_id"]) == (1, 3)


@pytest.mark.integration
def test_a_card_is_masked_until_it_is_revealed(stored: str) -> None:
    (masked,) = CreditCardService.get_credit_cards_by_user_id(3)
    (plain,) = CreditCardService.get_credit_cards_by_user_id(3, reveal=True)
    assert masked["card_number"] == f"**** {CARD_NUMBERS[3][-4:]}"
    assert plain["card_number"] == CARD_NUMBERS[3]


@pytest.mark.integration
def test_a_card_of_another_key_is_shown_without_digits_and_not_revealed(stored: str, keys: pytest.MonkeyPatch) -> None:
    keys.setenv("CARD_ENCRYPTION_KEYS", OTHER)
    services.use(None)
    assert CreditCardService.get_credit_cards_by_user_id(3)[0]["card_number"] == "****"
    with pytest.raises(CipherError):
        CreditCardService.get_credit_cards_by_user_id(3, reveal=True)


@pytest.mark.integration
def test_stats_count_what_is_there_and_what_is_missing(stored: str) -> None:
    stats = StatsService.get_comprehensive_stats()
    found = stats.pop("datasets")
    assert stats == {
        "total_users": 4,
        "total_addresses": 2,
        "total_credit_cards": 2,
        "users_with_addresses": 2,
        "users_with_credit_cards": 2,
        "users_with_both": 1,
        "coverage_stats": {
            "address_coverage_percent": 50,
            "credit_card_coverage_percent": 50,
            "full_coverage_percent": 25,
        },
    }
    assert [(one["name"], one["rows"], one["missing"]) for one in found] == [
        ("users", 4, 0),
        ("addresses", 2, 2),
        ("credit_cards", 2, 2),
    ]
    keys = {"name", "rows", "missing", "stale", "quarantined", "last_run", "next_due"}
    assert all(set(one) == keys | {"absent", "paused", "every_seconds"} for one in found)


@pytest.mark.integration
def test_stats_of_an_empty_database_are_zeros(database_url: str, keys: pytest.MonkeyPatch) -> None:
    stats = StatsService.get_comprehensive_stats()
    found = stats.pop("datasets")
    assert set(stats.pop("coverage_stats").values()) == {0}
    assert set(stats.values()) == {0}
    assert {(one["rows"], one["missing"], one["stale"], one["quarantined"], one["last_run"]) for one in found} == {
        (0, 0, 0, 0, None)
    }


@pytest.mark.integration
def test_stats_tell_what_is_stale_quarantined_and_when_it_ran_and_will_run(
    stored: str, keys: pytest.MonkeyPatch
) -> None:
    keys.setenv("ADDRESSES_MAX_AGE", "1h")
    keys.setenv("FETCH_ADDRESSES_INTERVAL", "90s")
    services.use(None)
    with transaction():
        ADDRESSES.model.update(fetched_at="2001-01-01T00:00:00Z").where(ADDRESSES.model.user == 1).execute()
        Miss.insert_many(
            [
                {"dataset": "addresses", "key": "3", "user": 3, "outcome": "rejected", "reasons": ["no city"]},
                {"dataset": "addresses", "key": "4", "user": 4, "outcome": "none", "reasons": []},
            ]
        ).execute()
        run = Run.create(
            id="00000000-0000-0000-0000-000000000001",
            dataset="addresses",
            trigger="test",
            status="partial",
            page_size=1,
            batch_size=1,
            started_at="2001-01-01T00:00:00Z",
            finished_at="2001-01-01T00:00:05Z",
        )
    found = {one["name"]: one for one in StatsService.get_comprehensive_stats()["datasets"]}["addresses"]
    assert (found["missing"], found["stale"], found["quarantined"]) == (1, 1, 1)
    last: dict[str, Any] = found["last_run"]
    assert (last["id"], last["status"], last["at"].isoformat()) == (str(run.id), "partial", "2001-01-01T00:00:05+00:00")
    assert found["next_due"].isoformat() == "2001-01-01T00:01:30+00:00"


@pytest.mark.integration
def test_a_plain_script_finds_the_database_by_its_settings(stored: str, tmp_path: Path) -> None:
    with transaction():
        ring = Keyring([KEY])
        card = {"user": 1, "card_number": CARD_NUMBERS[0], "card_type": "visa", "expiry_date": "2035"}
        upsert(Rows(CREDIT_CARDS.model, ["user"], [card]), ring)

    def script(url: str) -> list[str]:
        environment = {**os.environ, "DATABASE_URL": url, "CARD_ENCRYPTION_KEYS": KEY}
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT], capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=60
        )
        assert done.stderr == ""
        return done.stdout.splitlines()

    assert script(stored) == ["4 n1", CARD_NUMBERS[0]]
    assert script("postgresql://127.0.0.1:1/nowhere") == ["unreachable 69"]
