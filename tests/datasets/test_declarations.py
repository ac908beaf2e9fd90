"""The three built-in mappings: which field of the source becomes which column."""

import json
from typing import Any

import pytest

from celeryctl.dataset import Dataset
from celeryctl.datasets import addresses, credit_cards, users
from celeryctl.local import generate
from celeryctl.pipeline.decode import decode

pytestmark = pytest.mark.unit


def row(dataset: Dataset, record: dict[str, Any]) -> dict[str, Any]:
    ((_, found),) = decode(dataset, json.dumps(record).encode())
    return found


def test_users_are_taken_over_with_their_company() -> None:
    assert row(users.DATASET, generate.user(1)) == {
        "external_id": 1,
        "name": "Leanne Graham",
        "username": "Bret",
        "email": "Sincere@april.biz",
        "phone": "1-770-736-8031 x56442",
        "website": "hildegard.org",
        "company_name": "Romaguera-Crona",
        "company_catchphrase": "Multi-layered client-server neural-net",
        "company_bs": "harness real-time e-markets",
    }


def test_the_street_number_is_the_building_number_and_zips_stay_text() -> None:
    sent = generate.address(1)
    found = row(addresses.DATASET, sent)
    assert found == {
        "street_number": sent["building_number"],
        "postal_code": sent["postcode"],
        **{name: sent[name] for name in ("street_name", "city", "state", "country")},
    }
    zipped = row(addresses.DATASET, {**sent, "postcode": None, "zip_code": "00042"})
    assert zipped["postal_code"] == "00042"


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ({"postcode": "1", "zip_code": "2", "zip": "3"}, "1"),
        ({"zip_code": "2", "zip": "3"}, "2"),
        ({"postcode": "", "zip_code": None, "zip": "3"}, "3"),
    ],
)
def test_the_first_present_of_three_codes_counts(codes: dict[str, Any], expected: str) -> None:
    sent = {name: value for name, value in generate.address(1).items() if name not in ("postcode", "zip_code", "zip")}
    assert row(addresses.DATASET, {**sent, **codes})["postal_code"] == expected


def test_cards_are_taken_over() -> None:
    sent = generate.card(1)
    assert row(credit_cards.DATASET, sent) == {
        "card_number": sent["credit_card_number"],
        "card_type": sent["credit_card_type"],
        "expiry_date": sent["credit_card_expiry_date"],
    }
