"""Listings: every way of paging brings every record once, and comes to an end whatever the source does."""

import itertools
import json
import random
from collections.abc import Callable

import pytest
from faultserver import FaultServer, Reply, Request

from celeryctl.dataset import Dataset
from celeryctl.errors import SourceError
from celeryctl.pipeline import answer
from celeryctl.pipeline.engine import Pipeline
from celeryctl.pipeline.page import cursor_page
from celeryctl.storage.database import session
from celeryctl.storage.ledger import Run

from .kit import MOST, at_most, fetch, listing, missed, numbered, people, person, stored

pytestmark = pytest.mark.integration

Make = Callable[..., Pipeline]
PAGED = {"page": "_page", "size": "_limit"}
LINKED, SIZED = listing(), listing(size="_limit", page_size=10)
CURSOR = listing(cursor="after", next="next", items="users", page_size=10)


def pages(size: int = 10) -> Dataset:
    return listing(**PAGED, page_size=size)


def assert_whole(run: Run, count: int) -> None:
    """The run brought exactly the users 1 to ``count``."""
    assert (run.status, run.error) == ("succeeded", None)
    assert stored() == list(range(1, count + 1))


@pytest.mark.parametrize("total", [None, "true"])
@pytest.mark.parametrize("batch", ["10", "30"])
@pytest.mark.parametrize("count", [0, 10, 95])
def test_numbered_pages(make: Make, server: FaultServer, count: int, batch: str, total: str | None) -> None:
    server.answer("/users", numbered(count, total=count if total else None))
    run = fetch(make(pages(), BATCH_SIZE=batch))
    assert_whole(run, count)
    assert run.created == count
    assert run.unchanged == 0


@pytest.mark.parametrize("total", [None, "true"])
@pytest.mark.parametrize("batch", ["10", "100", "1000"])
def test_a_source_with_smaller_pages_than_asked_for_loses_none(
    make: Make, server: FaultServer, batch: str, total: str | None
) -> None:
    server.answer("/users", numbered(55, cap=7, total=55 if total else None))
    run = fetch(make(pages(100), BATCH_SIZE=batch))
    assert_whole(run, 55)
    assert run.unchanged == 0


def test_a_cap_with_a_link_that_reckons_with_what_was_asked_for_loses_none(make: Make, server: FaultServer) -> None:
    def answer(request: Request) -> Reply:
        page, size = int(request.query["_page"]), int(request.query["_limit"])
        got, url = min(size, 7), f"{server.url}/users?_page={page + 1}&_limit={size}"
        link = f'<{url}>; rel="next"' if page * size < 20 else ""
        first = (page - 1) * got + 1
        body = Reply.json(people(first, min(first + got - 1, 20)))
        return body.with_header("Link", link).with_header("X-Total-Count", "20")

    server.answer("/users", at_most(answer))
    assert_whole(fetch(make(pages(100))), 20)


@pytest.mark.parametrize("total", ["5", "96", str(10**15 - 1), str(10**30), "-1"])
def test_a_total_that_lies_neither_loses_records_nor_goes_on_for_ever(
    make: Make, server: FaultServer, total: str
) -> None:
    one_page = numbered(95)
    server.answer("/users", at_most(lambda request: one_page(request).with_header("X-Total-Count", total), 90))
    assert_whole(fetch(make(pages(), BATCH_SIZE="10")), 95)


@pytest.mark.parametrize("batch", ["10", "20", "1000"])
def test_a_total_that_is_too_small_is_found_out(make: Make, server: FaultServer, batch: str) -> None:
    server.answer("/users", numbered(95, total=25))
    run = fetch(make(pages(), BATCH_SIZE=batch))
    assert run.status == "partial"
    assert "it says that there are 25 records, and gives more" in run.error


def test_a_total_of_one_page_gives_way_to_a_link(make: Make, server: FaultServer) -> None:
    def answer(request: Request) -> Reply:
        page = int(request.query["_page"])
        link = f'<{server.url}/users?_page={page + 1}&_limit=10>; rel="next"' if page < 4 else ""
        return Reply.json(people(page * 10 - 9, page * 10)).with_header("Link", link).with_header("X-Total-Count", "10")

    server.answer("/users", at_most(answer))
    assert_whole(fetch(make(pages())), 40)


@pytest.mark.parametrize("count", [3, 10, 25])
@pytest.mark.parametrize("total", [None, "count"])
def test_a_source_that_ignores_paging_ends_at_once(
    make: Make, server: FaultServer, count: int, total: str | None
) -> None:
    reply = Reply.json(people(1, count))
    server.answer("/users", reply.with_header("X-Total-Count", str(count)) if total else reply)
    run = fetch(make(pages()))
    assert_whole(run, count)
    assert run.requests <= 2


def test_a_source_that_ignores_paging_and_shuffles_ends(make: Make, server: FaultServer) -> None:
    def answer(_: Request) -> Reply:
        shuffled = [person(number, website=f"{random.random()}") for number in range(1, 11)]
        random.shuffle(shuffled)
        return Reply.json(shuffled)

    server.answer("/users", at_most(answer))
    assert_whole(fetch(make(pages())), 10)
    assert len(server.requests) == 2


def test_numbered_pages_that_come_round_again_end(make: Make, server: FaultServer) -> None:
    rounds = [(1, 10), (11, 20), (21, 30)]
    server.answer("/users", at_most(lambda request: Reply.json(people(*rounds[int(request.query["_page"]) % 3]))))
    assert_whole(fetch(make(pages(), BATCH_SIZE="10")), 30)
    assert len(server.requests) < 12


@pytest.mark.parametrize("declared", [100, 2], ids=["smaller than declared", "larger than declared"])
def test_pages_without_a_size_are_as_large_as_the_first(make: Make, server: FaultServer, declared: int) -> None:
    server.answer("/users", at_most(numbered(23, cap=5, total=23)))
    # A page a batch: where the end is, is reckoned from what the first one holds.
    run = fetch(make(listing(page="_page", page_size=declared), BATCH_SIZE="2"))
    assert_whole(run, 23)
    assert len(server.requests) == 5


@pytest.mark.parametrize("cap", [100, 3])
@pytest.mark.parametrize("limit", [1, 10, 15, 99])
def test_a_limit_in_the_middle_of_a_page(make: Make, server: FaultServer, limit: int, cap: int) -> None:
    server.answer("/users", numbered(40, cap=cap, total=40))
    run = fetch(make(pages(), BATCH_SIZE="10"), limit=limit)
    assert_whole(run, min(limit, 40))
    assert run.expected == min(limit, 40)


def linked(server: FaultServer, starts: list[int], *, count: int, after: str = "") -> Callable[[Request], Reply]:
    """Pages that begin with these users; the Link of the last one is ``after``."""

    def answer(request: Request) -> Reply:
        number = int(request.query.get("p", 0))
        first, following = starts[number], [*starts, count + 1][number + 1]
        target = f"{server.url}/users?p={number + 1}" if number + 1 < len(starts) else after
        reply = Reply.json(people(first, following - 1))
        return reply.with_header("Link", f'<{target}>; rel="next"') if target else reply

    return at_most(answer)


@pytest.mark.parametrize("dataset", [LINKED, SIZED], ids=["unsized", "sized"])
@pytest.mark.parametrize("batch", ["10", "1000"])
@pytest.mark.parametrize("starts", [[1], [1, 3, 30], [1, 21, 22, 22, 23]])
def test_links_are_followed_whatever_the_size_of_pages(
    make: Make, server: FaultServer, starts: list[int], batch: str, dataset: Dataset
) -> None:
    server.answer("/users", linked(server, starts, count=35))
    run = fetch(make(dataset, BATCH_SIZE=batch))
    assert_whole(run, 35)
    assert run.requests == len(starts)


@pytest.mark.parametrize("starts", [[1, 3, 30], [1, 30, 31], [1, 2, 3, 4, 20]])
@pytest.mark.parametrize("batch", ["10", "1000"])
def test_a_limit_holds_where_pages_differ_in_size(
    make: Make, server: FaultServer, starts: list[int], batch: str
) -> None:
    server.answer("/users", linked(server, starts, count=40))
    run = fetch(make(SIZED, BATCH_SIZE=batch), limit=12)
    assert run.status == "succeeded"
    assert stored() == list(range(1, len(stored()) + 1))
    assert len(stored()) <= 12


@pytest.mark.parametrize("target", ["?p=1", "?p=2", ""])
@pytest.mark.parametrize("batch", ["10", "1000"])
def test_a_link_that_leads_back_ends(make: Make, server: FaultServer, target: str, batch: str) -> None:
    server.answer("/users", linked(server, [1, 11, 21], count=30, after=f"{server.url}/users{target}"))
    assert_whole(fetch(make(LINKED, BATCH_SIZE=batch)), 30)
    assert len(server.requests) < 12


def test_a_link_to_another_host_is_not_followed(make: Make, server: FaultServer) -> None:
    with FaultServer(host="127.0.0.2") as other:
        server.answer("/users", linked(server, [1], count=5, after=f"{other.url}/users?p=1"))
        run = fetch(make(LINKED))
        assert not other.requests
    assert (run.status, stored()) == ("failed", [])
    assert "127.0.0.1 points to 127.0.0.2" in run.error


@pytest.mark.parametrize("base", ["http://127.0.0.1", "https://127.0.0.1:9", ""])
def test_a_link_to_another_scheme_or_port_stays_with_the_source(make: Make, server: FaultServer, base: str) -> None:
    def answer(request: Request) -> Reply:
        if "p" in request.query:
            return Reply.json(people(6, 9))
        return Reply.json(people(1, 5)).with_header("Link", f'<{base}/users?p=1>; rel="next"')

    server.answer("/users", at_most(answer))
    assert_whole(fetch(make(LINKED)), 9)


@pytest.mark.parametrize(("body", "link", "told"), [
    ("[]", "http://[", "its link is no URL"),
    ('[{"id": 1, "x": ' + "[" * 50_000 + "]" * 50_000 + "}]", "", "nested too deeply"),
    (f"[{','.join(['{}'] * (answer.MOST + 1))}]", "", "100,001 records in 300,004 bytes"),
], ids=["link", "depth", "records"])  # fmt: skip
def test_what_no_page_should_be_fails_its_run_with_a_reason(
    make: Make, server: FaultServer, body: str, link: str, told: str
) -> None:
    reply = Reply(body=body.encode()).with_header("Content-Type", "application/json")
    server.answer("/users", at_most(lambda _: reply.with_header("Link", f'<{link}>; rel="next"') if link else reply))
    run = fetch(make(LINKED))
    assert (run.status, stored()) == ("failed", [])
    assert told in run.error


@pytest.mark.parametrize("following", ["x" * 5000, 2**64, "[" * 50_000 + "]" * 50_000], ids=["long", "large", "deep"])
def test_a_cursor_that_goes_into_no_address_is_the_sources_fault(following: object) -> None:
    deep = isinstance(following, str) and following.startswith("[")
    body = f'{{"next": {following if deep else json.dumps(following)}, "items": []}}'
    with pytest.raises(SourceError, match="did not answer with a page and a cursor"):
        cursor_page(listing(cursor="after", next="next"), body.encode())


def cursors(*following: object, size: int = 10) -> Callable[[Request], Reply]:
    """Page n is asked for by the cursor ``following[n - 1]`` (the first by none) and names the next."""
    names = [None, *map(str, following)]

    def answer(request: Request) -> Reply:
        number = names.index(request.query.get("after"))
        after = following[number] if number < len(following) else None
        return Reply.json({"users": people(number * size + 1, (number + 1) * size), "next": after, "more": [1]})

    return at_most(answer)


@pytest.mark.parametrize("batch", ["10", "1000"])
@pytest.mark.parametrize("names", [[], [10, 20, 30], ["ü&=", "b c"], ["0", ""]])
def test_cursors(make: Make, server: FaultServer, names: list[object], batch: str) -> None:
    server.answer("/users", cursors(*names))
    run = fetch(make(CURSOR, BATCH_SIZE=batch))
    assert_whole(run, 10 * (1 + len([name for name in names if name != ""])))


@pytest.mark.parametrize("names", [["a", "a"], ["a", "b", "a"], ["a", "b", "c", "d", "b"]])
@pytest.mark.parametrize("batch", ["10", "1000"])
def test_a_cursor_that_comes_again_ends(make: Make, server: FaultServer, names: list[str], batch: str) -> None:
    server.answer("/users", cursors(*names))
    assert_whole(fetch(make(CURSOR, BATCH_SIZE=batch)), 10 * len(set(names)) + 10)
    assert len(server.requests) < 16


def test_an_empty_page_with_a_cursor_is_not_the_end(make: Make, server: FaultServer) -> None:
    def answer(request: Request) -> Reply:
        number = int(request.query.get("after", 0))
        found = [person(number)] if number in (0, 3) else []
        return Reply.json({"users": found, "next": number + 1 if number < 3 else None})

    server.answer("/users", at_most(answer))
    assert fetch(make(CURSOR, BATCH_SIZE="10")).status == "succeeded"
    assert stored() == [0, 3]


def test_empty_pages_with_ever_new_cursors_end(make: Make, server: FaultServer) -> None:
    count = itertools.count()
    server.answer("/users", at_most(lambda _: Reply.json({"users": [], "next": next(count)})))
    assert fetch(make(CURSOR)).status == "succeeded"


@pytest.mark.parametrize(
    "answer",
    [
        [],
        {"next": {"a": 1}, "users": []},
        {"next": None, "users": 5},
        {"next": 1.5, "users": []},
        {"next": "a", "data": []},
        {"users": None},
    ],
)
def test_an_answer_without_page_or_cursor_is_an_error(make: Make, server: FaultServer, answer: object) -> None:
    server.answer("/users", at_most(lambda _: Reply.json(answer)))
    run = fetch(make(CURSOR))
    assert (run.status, run.error_exit) == ("failed", 1)


def test_a_bad_record_is_known_by_its_id_or_its_place(make: Make, server: FaultServer) -> None:
    page = [person(1), person(2, name=None), {"name": "x"}, 7, person(5)]
    server.answer("/users", Reply.json(page).with_header("X-Total-Count", "5"))
    run = fetch(make(pages()))
    assert (run.status, run.created, run.rejected) == ("partial", 2, 3)
    assert set(missed()) == {"2", "page 1, record 3", "page 1, record 4"}


def test_a_source_that_breaks_down_keeps_what_came_before(make: Make, server: FaultServer) -> None:
    def answer(request: Request) -> Reply:
        return Reply(500) if request.query["_page"] == "7" else numbered(95, total=95)(request)

    server.answer("/users", answer)
    run = fetch(make(pages(), BATCH_SIZE="10"))
    assert (run.status, run.error_exit) == ("partial", 69)
    assert stored()[:60] == list(range(1, 61))
    server.answer("/users", numbered(95, total=95))
    assert_whole(fetch(make(pages(), BATCH_SIZE="10")), 95)


def test_pages_are_asked_for_in_parallel_only_once_their_number_is_known(make: Make, server: FaultServer) -> None:
    server.answer("/users", numbered(95, total=95))
    run = fetch(make(pages(), BATCH_SIZE="1000"))
    assert_whole(run, 95)
    asked = [int(request.query["_page"]) for request in server.requests]
    assert sorted(asked) == list(range(1, 11))
    with session():
        assert Run.get_by_id(run.id).expected == 95


def test_the_guards_of_these_tests_hold(make: Make, server: FaultServer) -> None:
    count = itertools.count(1)
    server.answer("/users", at_most(lambda _: Reply.json([person(next(count))])))
    run = fetch(make(pages(1)))
    assert run.error
    assert len(server.requests) == MOST + 1
