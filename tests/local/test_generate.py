import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from cassette import FOLDER

from celeryctl.datasets import addresses, credit_cards, users
from celeryctl.local import generate
from celeryctl.pipeline.decode import decode
from celeryctl.pipeline.rejection import Rejection

pytestmark = pytest.mark.unit

MAKERS = [generate.user, generate.address, generate.card]


def shape(value: Any) -> Any:
    return {key: shape(inner) for key, inner in value.items()} if isinstance(value, dict) else type(value)


@pytest.mark.parametrize("make", MAKERS)
def test_the_same_seed_and_number_give_the_same_record(make: Callable[..., Any]) -> None:
    assert make(123, 7) == make(123, 7)
    assert make(123, 7) != make(124, 7)
    assert make(123, 7) != make(123, 8)
    assert make(123) == make(123, None) == make(123, 0)


def test_the_first_ten_users_are_those_of_jsonplaceholder() -> None:
    assert [generate.user(number)["username"] for number in (1, 2, 10)] == ["Bret", "Antonette", "Moriah.Stanton"]
    assert generate.user(1, seed=1)["username"] != "Bret"


def test_made_up_users_have_the_shape_of_the_others() -> None:
    assert {str(shape(generate.user(number))) for number in range(1, 200)} == {str(shape(generate.user(1)))}


def test_no_two_users_share_a_username_or_an_email() -> None:
    everybody = [generate.user(number) for number in range(1, 5001)]
    for field in ("username", "email"):
        assert len({user[field].lower() for user in everybody}) == 5000
    assert len({user["name"] for user in everybody}) > 2000


def test_phones_zips_and_websites_look_like_those_of_the_source() -> None:
    for user in map(generate.user, range(1, 500)):
        assert len(user["phone"]) <= 21
        assert re.fullmatch(r"\d{5}(-\d{4})?", user["address"]["zipcode"])
        assert "://" not in user["website"]


def test_an_address_has_the_fields_of_the_source_and_three_zips() -> None:
    fields = set(re.findall(r'\\?"(\w+)\\?":', (FOLDER / "addresses.yaml").read_text()))
    assert set(generate.address(0)) == fields
    made = [generate.address(number) for number in range(500)]
    assert all(len({one["zip"], one["zip_code"], one["postcode"]}) == 3 for one in made)
    assert any(one["postcode"].startswith("0") for one in made)
    assert not any(one["street_address"].startswith(one["building_number"] + " ") for one in made)


def test_a_card_has_one_of_the_four_fake_numbers() -> None:
    made = [generate.card(number) for number in range(500)]
    assert {one["credit_card_number"] for one in made} == set(generate.CARD_NUMBERS)
    assert all(re.fullmatch(r"20\d\d-\d\d-\d\d", one["credit_card_expiry_date"]) for one in made)


@pytest.mark.parametrize(
    ("dataset", "make"),
    [(users.DATASET, generate.user), (addresses.DATASET, generate.address), (credit_cards.DATASET, generate.card)],
)
def test_every_record_is_accepted(dataset: Any, make: Callable[[int], Any]) -> None:
    body = json.dumps([make(number) for number in range(1, 300)]).encode()
    assert not [result for result in decode(dataset, body) if isinstance(result, Rejection)]
