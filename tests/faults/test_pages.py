"""A listing whose pages repeat themselves, overlap, or lead back: its run ends, and nobody comes twice."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cluster.kit import rows, value
from faultserver import FaultServer, Reply, Request
from pipeline.kit import at_most, numbered, people

from .kit import LEFT_OPEN, Recovery, Stage, new_stage

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(300)]

USERS, SIZE = 30, 10
BOUND = 15  # seconds
ASKED = 15  # times that a listing of three pages may be asked for one
Make = Callable[[str], Callable[[Request], Reply]]  # from the listing's URL
FOUND = "SELECT count(*), count(DISTINCT external_id) FROM {}"


def page(request: Request) -> int:
    return int(request.query["_page"])


def with_total(reply: Reply) -> Reply:
    return reply.with_header("X-Total-Count", str(USERS))


def with_next(reply: Reply, url: str) -> Reply:
    return reply.with_header("Link", f'<{url}>; rel="next"')


def the_first_page_for_ever(url: str) -> Callable[[Request], Reply]:
    return lambda request: with_next(Reply.json(people(1, SIZE)), f"{url}?_page={page(request) + 1}")


def the_first_page_and_a_total(_: str) -> Callable[[Request], Reply]:
    return lambda _: with_total(Reply.json(people(1, SIZE)))


def pages_that_overlap(_: str) -> Callable[[Request], Reply]:
    return lambda request: with_total(Reply.json(people(8 * page(request) - 7, 8 * page(request) + 2)))


def pages_that_come_round_again(url: str) -> Callable[[Request], Reply]:
    def answer(request: Request) -> Reply:
        first = (page(request) - 1) % 2 * SIZE + 1
        return with_next(Reply.json(people(first, first + SIZE - 1)), f"{url}?_page={page(request) % 2 + 1}")

    return answer


# How many of the users are in them.
PAGES: dict[Make, int] = {
    the_first_page_for_ever: 10,
    the_first_page_and_a_total: 10,
    pages_that_overlap: 26,
    pages_that_come_round_again: 20,
}


@pytest.mark.parametrize("make", PAGES, ids=lambda make: make.__name__)
def test_what_numbered_pages_hide_comes_when_they_are_right_again(
    make: Make, tmp_path: Path, recovery: Recovery
) -> None:
    with FaultServer() as server, new_stage(tmp_path, users=USERS, latency=0) as stage:
        stage.variables["USERS_URL"] = url = server.url + "/users"
        server.answer("/users", at_most(make(url)))
        worker = stage.worker()
        assert_ends(stage, server, "all")
        assert rows(FOUND.format("users")) == [(PAGES[make], PAGES[make])]
        server.answer("/users", numbered(USERS, cap=SIZE, total=USERS))
        stage.fetch("all")
        stage.recovered(recovery, bound=BOUND)
        assert worker.lives


MEMBERS = """
import msgspec, peewee
from datetime import timedelta
from celeryctl import Dataset, Source
from celeryctl.storage.row import Record

class Member(Record):
    external_id, name = peewee.BigIntegerField(unique=True), peewee.TextField()

    class Meta:
        table_name = "members"

class Found(msgspec.Struct):
    id: int
    name: str

DATASET = Dataset(
    name="members", help="A listing.", model=Member, record=Found, every=timedelta(minutes=10),
    to_row=lambda found: {"external_id": found.id, "name": found.name}, source=Source.listing(%s),
)
"""


def leading(url: str, after_the_second: int) -> Callable[[Request], Reply]:
    """Pages 0 to 2, after a cursor where there is a size, else linked."""
    following = {0: 1, 1: after_the_second, 2: None}

    def answer(request: Request) -> Reply:
        number = int(request.query.get("after", 0))
        found, after = people(number * SIZE + 1, number * SIZE + SIZE), following[number]
        if "size" in request.query:
            return Reply.json({"items": found, "next": after})
        return Reply.json(found) if after is None else with_next(Reply.json(found), f"{url}?after={after}")

    return at_most(answer)


@pytest.mark.parametrize("back_to", [0, 1])
@pytest.mark.parametrize("paging", ["", ', cursor="after", next="next", size="size"'], ids=["links", "cursors"])
def test_pages_that_lead_back_end_and_are_followed_when_they_lead_on(
    paging: str, back_to: int, tmp_path: Path, recovery: Recovery
) -> None:
    (tmp_path / "datasets").mkdir()
    with FaultServer() as server, new_stage(tmp_path, users=USERS, latency=0) as stage:
        url = server.answer("/members", leading(server.url + "/members", back_to))
        (tmp_path / "datasets" / "members.py").write_text(MEMBERS % f"{url!r}{paging}")
        stage.variables["CELERYCTL_DATASETS"] = str(tmp_path / "datasets")
        assert stage.run("init-db").returncode == 0
        stage.worker()
        assert_ends(stage, server, "members")
        assert rows(FOUND.format("members")) == [(20, 20)]
        server.answer("/members", leading(url, 2))
        began = time.monotonic()
        assert_ends(stage, server, "members")
        recovery(time.monotonic() - began, BOUND)
        assert rows(FOUND.format("members")) == [(USERS, USERS)]
        assert stage.left_in_broker() == (0, 0)


def assert_ends(stage: Stage, server: FaultServer, what: str) -> None:
    server.requests.clear()
    client = stage.fetch(what)
    assert client.ended(within=4 * BOUND) == 0, client.text
    assert len(server.requests) <= ASKED
    assert value(LEFT_OPEN) == 0
