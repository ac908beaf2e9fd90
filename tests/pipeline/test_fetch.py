"""Draws and look-ups: which requests are made, and which record goes to whom."""

import json
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from faultserver import FaultServer, Reply, Request

from celeryctl.dataset import Dataset, Source
from celeryctl.datasets import addresses
from celeryctl.errors import SourceError
from celeryctl.pipeline.engine import Pipeline
from celeryctl.pipeline.fetch import assign, chunks, fetch_users
from celeryctl.storage.database import session
from celeryctl.storage.misses import Missed
from celeryctl.storage.rows import Rows

from .kit import PLACE, add_users, by_size, fetch, missed

Make = Callable[..., Pipeline]
ADDRESSES = addresses.DATASET
USERS = [(10, 1), (11, 2), (12, 3)]


class Profile(msgspec.Struct):
    external_id: int | str | None = None
    city: str | None = None


def to_row(record: Profile) -> dict[str, Any]:
    return dict.fromkeys(("street_number", "street_name", "state", "country", "postal_code"), "x") | {
        "city": record.city
    }


def lookup(url: str, **more: Any) -> Dataset:
    return replace(ADDRESSES, record=Profile, to_row=to_row, source=Source.lookup(url, **more))


class Asked:
    """A source in this process: gives its answers one after the other and remembers the URLs."""

    def __init__(self, *answers: Any) -> None:
        self.answers, self.urls = list(answers), []

    def __call__(self, url: str, *, absent_ok: bool = False) -> Any:
        assert len(self.urls) < 50, "it asks for ever"
        self.urls.append(url)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        assert answer != 404 or absent_ok
        return SimpleNamespace(status=404 if answer == 404 else 200, body=json.dumps(answer).encode(), headers={})


def cities(dataset: Dataset, get: Asked, users: Any = USERS) -> dict[int, str | None]:
    """Who gets which city; None where it was missed."""
    found = fetch_users(dataset, users, get)
    return {user_id: result[1]["city"] if isinstance(result, tuple) else None for user_id, result in found}


def assigned(dataset: Dataset, get: Asked) -> tuple[list[int], list[Missed]]:
    """The users who get a row, and what is missed."""
    rows, missed = Rows(dataset.model, dataset.key), list[Missed]()
    assign(fetch_users(dataset, USERS, get), rows, missed)
    return rows.users, missed


def towns(*names: str) -> list[dict[str, str]]:
    return [{**PLACE, "city": name} for name in names]


@pytest.mark.unit
def test_short_draws_are_asked_again_for_the_rest() -> None:
    get = Asked(towns("a"), towns("b")[0], towns("c"))
    assert cities(ADDRESSES, get) == {10: "a", 11: "b", 12: "c"}
    assert [url.partition("?")[2] for url in get.urls] == ["size=3", "size=2", "size=1"]


@pytest.mark.unit
def test_of_more_than_was_asked_for_the_rest_is_left() -> None:
    assert cities(ADDRESSES, Asked(towns("a", "b", "c", "d"))) == {10: "a", 11: "b", 12: "c"}


@pytest.mark.unit
@pytest.mark.parametrize("before", [[], towns("a")])
def test_an_empty_draw_is_an_error_and_no_loop(before: list[Any]) -> None:
    get = Asked(*([before] if before else []), [])
    with pytest.raises(SourceError, match="gives no records"):
        fetch_users(ADDRESSES, USERS, get)
    assert len(get.urls) == 1 + len(before)


@pytest.mark.unit
def test_one_by_one_a_404_is_none_and_an_empty_list_too() -> None:
    dataset = lookup("https://h/p/{external_id}")
    get = Asked({"city": "a"}, 404, [])
    found = [cities(dataset, get, part) for part in chunks(dataset, USERS)]
    assert found == [{10: "a"}, {11: None}, {12: None}]
    assert get.urls == ["https://h/p/1", "https://h/p/2", "https://h/p/3"]


@pytest.mark.unit
def test_one_by_one_means_one_per_request_whatever_the_batch() -> None:
    dataset = lookup("https://h/p/{external_id}", batch=100)
    assert [len(part) for part in chunks(dataset, USERS)] == [1, 1, 1]


@pytest.mark.unit
def test_many_at_once_by_key() -> None:
    dataset = lookup("https://h/p?ids={external_ids}", key="external_id", batch=2)
    assert [len(part) for part in chunks(dataset, USERS)] == [2, 1]
    get = Asked([{"external_id": "3", "city": "c"}, {"external_id": 1, "city": "a"}, {"external_id": 99, "city": "z"}])
    assert cities(dataset, get) == {10: "a", 11: None, 12: "c"}
    assert get.urls == ["https://h/p?ids=1,2,3"]


@pytest.mark.unit
def test_many_at_once_by_an_object_with_ids_as_keys() -> None:
    dataset = lookup("https://h/p?ids={external_ids}", batch=9)
    get = Asked({"1": {"city": "a"}, "2": None, "x": {"city": "x"}})
    assert cities(dataset, get) == {10: "a", 11: None, 12: None}


@pytest.mark.unit
@pytest.mark.parametrize("key", [None, "external_id"])
def test_none_of_many_is_a_404(key: str | None) -> None:
    dataset = lookup("https://h/p?ids={external_ids}", key=key, batch=9)
    _, missed = assigned(dataset, Asked(404))
    assert [(one.key, one.outcome) for one in missed] == [("10", "none"), ("11", "none"), ("12", "none")]


@pytest.mark.unit
def test_a_bad_record_is_rejected_for_its_user_not_taken_for_absent() -> None:
    class Strict(msgspec.Struct):
        external_id: int
        city: str

    dataset = replace(lookup("https://h/p?ids={external_ids}", key="external_id", batch=9), record=Strict)
    get = Asked([{"external_id": "1", "city": "a"}, {"external_id": 2, "city": 7}, {"external_id": 3, "city": "c"}])
    users, missed = assigned(dataset, get)
    assert [(one.key, one.outcome) for one in missed] == [("10", "rejected"), ("11", "rejected")]
    assert users == [12]


@pytest.mark.unit
@pytest.mark.parametrize(
    ("answer", "lost"),
    [([{"external_id": 1, "city": "a"}, {"city": "b"}, {"external_id": None, "city": "c"}], 2),
     ({"1": {"city": "a"}, "2": {"city": "b"}}, 1)],
    ids=["records without a key", "an object by id"],
)  # fmt: skip
def test_who_may_be_among_records_without_a_key_is_not_taken_for_absent(answer: object, lost: int) -> None:
    dataset = lookup("https://h/p?ids={external_ids}", key="external_id", batch=9)
    users, missed = assigned(dataset, Asked(answer))
    assert {one.outcome for one in missed} == {"rejected"}
    assert {one.reasons for one in missed} == {(f"the answer holds {lost} records without a usable external_id",)}
    assert len(users) + len(missed) == len(USERS)


@pytest.mark.unit
def test_the_user_zero_is_a_user() -> None:
    dataset = lookup("https://h/p?ids={external_ids}", key="external_id", batch=9)
    assert cities(dataset, Asked([{"external_id": 0, "city": "a"}]), [(10, 0)]) == {10: "a"}


@pytest.mark.unit
@pytest.mark.parametrize("body", [[], [{"external_id": 1}]])
def test_a_list_where_an_object_by_id_was_declared_is_an_error(body: object) -> None:
    with pytest.raises(SourceError, match="did not answer with an object by id"):
        fetch_users(lookup("https://h/p?ids={external_ids}", batch=9), USERS, Asked(body))


@pytest.mark.integration
def test_a_draw_fills_every_user_from_a_source_that_gives_less(make: Make, server: FaultServer) -> None:
    add_users(25)
    server.answer("/addresses", lambda request: Reply.json([PLACE] * min(int(request.query["size"]), 10)))
    run = fetch(make(), "addresses")
    assert (run.status, run.created, run.requests) == ("succeeded", 25, 3)
    assert [request.query["size"] for request in server.requests] == ["25", "15", "5"]


@pytest.mark.integration
def test_an_empty_draw_fails_the_run_and_ends_it(make: Make, server: FaultServer) -> None:
    add_users(3)
    server.answer("/addresses", Reply.json([]))
    run = fetch(make(), "addresses")
    assert (run.status, run.error_exit, run.requests) == ("failed", 1, 1)
    assert "gives no records" in run.error
    server.answer("/addresses", by_size(PLACE))
    assert fetch(make(), "addresses").created == 3


@pytest.mark.integration
def test_who_has_none_is_remembered_and_not_asked_again(make: Make, server: FaultServer) -> None:
    def profile(request: Request) -> Reply:
        number = request.path.rpartition("/")[2]
        return Reply.json({}, status=404) if number == "2" else Reply.json({"city": number})

    add_users(3)
    for number in range(1, 4):
        server.answer(f"/p/{number}", profile)
    pipeline = make(lookup("http://x/{external_id}"), ADDRESSES_URL=server.url + "/p/{external_id}")
    run = fetch(pipeline, "addresses")
    assert (run.status, run.created, run.absent, run.rejected) == ("succeeded", 2, 1, 0)
    again = fetch(pipeline, "addresses")
    assert (again.status, again.requests) == ("succeeded", 0)
    assert fetch(pipeline, "addresses", refresh=True).requests == 3


@pytest.mark.integration
def test_many_are_looked_up_in_batches_with_the_header(make: Make, server: FaultServer) -> None:
    def profiles(request: Request) -> Reply:
        ids = request.query["ids"].split(",")
        return Reply.json([{"external_id": int(number), "city": number} for number in ids if number != "4"])

    add_users(5)
    server.answer("/p", profiles)
    dataset = lookup("http://x/p?ids={external_ids}", key="external_id", batch=2)
    url = server.url + "/p?ids={external_ids}"
    run = fetch(make(dataset, ADDRESSES_URL=url, ADDRESSES_AUTHORIZATION="Bearer token-token"), "addresses")
    assert (run.created, run.absent, run.requests) == (4, 1, 3)
    assert {request.headers["authorization"] for request in server.requests} == {"Bearer token-token"}
    with session():
        found = addresses.Address.select(addresses.Address.user, addresses.Address.city).tuples()
        assert all(str(user) == city for user, city in found)


@pytest.mark.integration
def test_an_url_of_the_settings_that_names_no_user_is_refused(make: Make, server: FaultServer) -> None:
    add_users(2)
    server.answer("/addresses", Reply.json({"city": "the same for all"}))
    run = fetch(make(lookup("http://x/{external_id}")), "addresses")
    assert (run.status, run.error_exit) == ("failed", 2)
    assert "{external_id}" in run.error
    assert not server.requests


@pytest.mark.integration
def test_one_bad_record_of_a_draw_is_a_miss_of_its_user(make: Make, server: FaultServer) -> None:
    add_users(3)
    server.answer("/addresses", by_size(PLACE, {**PLACE, "city": None, "state": ""}, PLACE))
    run = fetch(make(), "addresses")
    assert (run.status, run.created, run.rejected) == ("partial", 2, 1)
    assert missed("addresses") == {"2": ["city is missing or empty", "state is missing or empty"]}
