"""What the sources answer, as recorded, through our client and our decoders."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cassette import CARD, FOLDER, RANDOM, USERS, replay, without_cards
from vcr.errors import CannotOverwriteExistingCassetteException

from celeryctl.datasets import addresses, credit_cards, users
from celeryctl.errors import SourceError
from celeryctl.http import Answer, Client, Meter
from celeryctl.local import generate
from celeryctl.pipeline.decode import decode
from celeryctl.pipeline.rejection import Rejection

pytestmark = pytest.mark.unit

BUILT_IN = {"users": users.DATASET, "addresses": addresses.DATASET, "credit_cards": credit_cards.DATASET}
ADDRESSES, CARDS = addresses.DATASET.source.url, credit_cards.DATASET.source.url
PAGE = f"{USERS}/users?_page=1&_limit=1000"
Get = Callable[..., Answer]


@pytest.fixture
def meter() -> Meter:
    return Meter()


@pytest.fixture
def get(meter: Meter) -> Iterator[Get]:
    client = Client(sources={}, pause=0.01)
    yield lambda url, **more: client.get(url, source="source", meter=meter, **more)
    client.close()


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_data_set_has_a_cassette_whose_records_are_all_accepted(name: str, get: Get) -> None:
    asked = re.findall(r"uri: (\S+)", (FOLDER / f"{name}.yaml").read_text())
    assert BUILT_IN[name].source.url in {url.partition("?")[0] for url in asked}
    with replay(name):
        for url in asked:
            assert not [one for one in decode(BUILT_IN[name], get(url).body) if isinstance(one, Rejection)]


def test_users_are_paged_as_jsonplaceholder_does(get: Get) -> None:
    with replay("users"):
        everybody = get(f"{USERS}/users")
        pages = [get(f"{USERS}/users?_page={page}&_limit=4") for page in (1, 2, 3, 4)]
        zero = get(f"{USERS}/users?_page=0&_limit=4")
    assert everybody.headers.get("X-Total-Count") is everybody.next is None
    assert [len(json.loads(page.body)) for page in pages] == [4, 4, 2, 0]
    assert [page.headers["X-Total-Count"] for page in pages] == ["10"] * 4
    assert [page.next for page in pages] == [pages[1].url, pages[2].url, None, None]
    assert zero.next == zero.url


def test_the_recorded_users_are_those_that_we_make_ourselves(get: Get) -> None:
    with replay("users"):
        assert json.loads(get(PAGE).body) == [generate.user(number) for number in range(1, 11)]


@pytest.mark.parametrize(("name", "url", "most"), [("addresses", ADDRESSES, 20), ("credit_cards", CARDS, 12)])
def test_a_draw_is_an_object_or_a_list_as_long_as_the_source_likes(name: str, url: str, most: int, get: Get) -> None:
    with replay(name):
        assert isinstance(json.loads(get(url).body), dict)
        assert [len(json.loads(get(f"{url}?size={size}").body)) for size in (1, 2, 10, 100)] == [1, 2, 10, most]


def test_street_number_and_postal_code_come_from_the_fields_that_there_are(get: Get) -> None:
    with replay("addresses"):
        answer = get(f"{ADDRESSES}?size=2").body
    for sent, (_, row) in zip(json.loads(answer), decode(BUILT_IN["addresses"], answer), strict=True):
        assert (row["street_number"], row["postal_code"]) == (sent["building_number"], sent["postcode"])


@pytest.mark.parametrize("name", ["429", "500", "retry-later"])
def test_a_source_on_a_bad_day_is_asked_again(name: str, get: Get, meter: Meter) -> None:
    with replay(name):
        assert msgspec.json.decode(get(PAGE).body)[0]["username"] == "Bret"
    assert (meter.requests, meter.retries) == (2, 1)


def test_a_forbidding_page_is_final(get: Get, meter: Meter) -> None:
    with replay("html-403"), pytest.raises(SourceError, match="answered 403 '<!DOCTYPE html>"):
        get(PAGE)
    assert meter.requests == 1


def test_no_users_and_fewer_cards_than_asked_for_are_good_answers(get: Get) -> None:
    with replay("empty-list"):
        assert get(PAGE).body == b"[]"
    with replay("short-list"):
        assert [len(json.loads(get(f"{CARDS}?size={size}").body)) for size in (10, 7, 4, 1)] == [3, 3, 3, 1]


def test_what_is_not_recorded_is_not_asked(get: Get) -> None:
    with replay("empty-list"), pytest.raises(CannotOverwriteExistingCassetteException):
        get(f"{USERS}/posts")


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_cassette_tells_nothing_about_the_machine_that_recorded_it(path: Path) -> None:
    text = path.read_text()
    assert {url.partition("/users")[0].partition("/api")[0] for url in re.findall(r"https?://[^\s>]+", text)} <= {
        USERS,
        RANDOM,
    }
    assert not re.search(
        r"127\.0\.0\.1|localhost|user-agent|authorization|set-cookie|x-powered-by", text, re.IGNORECASE
    )
    assert {found[0] for found in CARD.finditer(text)} <= set(generate.CARD_NUMBERS)


def test_any_other_card_number_is_replaced_while_recording() -> None:
    sent: dict[str, Any] = {"credit_card_number": "4111-1111-1111-1112", "note": "5500 0000 0000 0005", "other": "1234"}
    kept = {
        "credit_card_number": generate.CARD_NUMBERS[0],
        "phone": "1-770-736-8031 x56442",
        "latitude": -61.62785550302492,
    }
    cleaned = json.loads(without_cards(json.dumps([sent, kept])))
    assert cleaned[0]["credit_card_number"] in generate.CARD_NUMBERS
    assert cleaned[0]["note"] in generate.CARD_NUMBERS
    assert cleaned[0]["other"] == "1234"
    assert cleaned[1] == kept
