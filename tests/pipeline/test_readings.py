"""Pages that come again as they were: when they need no second look, and when they do."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import peewee
import psycopg2
import pytest
from faultserver import FaultServer, Reply, Request

from celeryctl.dataset import Dataset, Source
from celeryctl.pipeline.engine import Pipeline
from celeryctl.storage import readings
from celeryctl.storage.database import database, session
from celeryctl.storage.row import Row
from celeryctl.storage.rows import Rows
from celeryctl.storage.upsert import Written

from .kit import fetch, listing, missed, numbered, person

Make = Callable[..., Pipeline]
pytestmark = pytest.mark.integration

USERS = 10  # in pages of three: the first is always read, the others are two batches


class Product(msgspec.Struct):
    sku: str


@pytest.fixture
def products(database_url: str) -> Iterator[type[Row]]:
    """A table whose rows are told apart by a text."""

    class Goods(Row):
        sku = peewee.TextField(unique=True)

        class Meta:
            table_name = "products"

    with session():
        database.create_tables([Goods])
    yield Goods
    with session():
        database.drop_tables([Goods])


class Counted:
    """The listing of users, and how many records became rows."""

    def __init__(self) -> None:
        self.rows = 0
        own = listing(page="_page", size="_limit", page_size=3)
        self.dataset: Dataset = replace(own, to_row=lambda record: self.count(own.to_row(record)))

    def count(self, row: dict[str, Any]) -> dict[str, Any]:
        self.rows += 1
        return row

    def read(self) -> int:
        """Records that became rows since the last look."""
        rows, self.rows = self.rows, 0
        return rows


@pytest.fixture
def counted() -> Counted:
    return Counted()


@pytest.fixture
def pipeline(make: Make, counted: Counted, server: FaultServer) -> Pipeline:
    """Everything is stored already, and once more found as it was."""
    server.answer("/users", numbered(USERS, total=USERS))
    made = make(counted.dataset, BATCH_SIZE="6")
    assert fetch(made).created == USERS
    assert counted.read() == USERS
    return made


def sql(statement: str) -> Any:
    with session():
        cursor = database.execute_sql(statement)
        return cursor.fetchone() if cursor.description else None


def test_what_comes_again_as_it_was_becomes_no_rows_again(pipeline: Pipeline, counted: Counted) -> None:
    run = fetch(pipeline)
    assert (run.status, run.unchanged, run.created, run.updated, run.requests) == ("succeeded", USERS, 0, 0, 4)
    assert counted.read() == 3


@pytest.mark.parametrize(
    ("statement", "created", "updated"),
    [("UPDATE users SET name = 'by hand' WHERE external_id = 5", 0, 1),
     ("UPDATE users SET updated_at = now() WHERE external_id = 5", 0, 0),
     ("DELETE FROM users WHERE external_id = 10", 1, 0),
     ("DELETE FROM users", 10, 0),
     ("TRUNCATE users CASCADE", 10, 0)],
)  # fmt: skip
def test_whatever_is_done_to_its_rows_by_hand_is_found(
    pipeline: Pipeline, counted: Counted, statement: str, created: int, updated: int
) -> None:
    sql(statement)
    run = fetch(pipeline)
    assert (run.created, run.updated, run.created + run.updated + run.unchanged) == (created, updated, USERS)
    assert sql("SELECT count(*), count(*) FILTER (WHERE name = 'n' || external_id) FROM users") == (USERS, USERS)
    assert counted.read() > 3
    fetch(pipeline)
    fetch(pipeline)
    assert counted.read() <= 10 + 3  # it is known again at the latest when it was found as it was


def test_a_row_changed_while_it_is_compared_is_found_the_next_time(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    sql("TRUNCATE readings")

    def slow(rows: Rows, *ring: Any) -> Written:
        written = upsert(rows, *ring)
        if (5,) in rows.keys:
            database.execute_sql("UPDATE users SET name = 'by hand' WHERE external_id = 5")
        return written

    upsert = readings.upsert
    with monkeypatch.context() as patch:
        patch.setattr(readings, "upsert", slow)
        assert fetch(pipeline).updated == 0
    assert fetch(pipeline).updated == 1


def test_a_page_that_differs_in_one_place_is_read(pipeline: Pipeline, counted: Counted, server: FaultServer) -> None:
    usual = numbered(USERS, total=USERS)

    def changed(request: Request) -> Reply:
        reply = usual(request)
        return replace(reply, body=reply.body.replace(b'"n8"', b'"N8"'))

    server.answer("/users", changed)
    run = fetch(pipeline)
    assert (run.updated, run.unchanged) == (1, USERS - 1)
    assert sql("SELECT name FROM users WHERE external_id = 8") == ("N8",)
    assert counted.read() == 3 + 6


def test_of_a_listing_that_grows_the_pages_before_are_known(
    pipeline: Pipeline, counted: Counted, server: FaultServer
) -> None:
    server.answer("/users", numbered(USERS + 3, total=USERS + 3))
    run = fetch(pipeline)
    assert (run.created, run.unchanged) == (3, USERS)
    assert counted.read() == 3 + 4


def test_of_a_source_that_links_its_pages_the_last_batch_is_known_too(
    make: Make, counted: Counted, server: FaultServer
) -> None:
    usual = numbered(12, total=12)

    def linked(request: Request) -> Reply:
        page = int(request.query["_page"])
        reply = usual(request)
        return reply.with_header("Link", f'<{server.url}/users?_page={page + 1}>; rel="next"') if page < 4 else reply

    server.answer("/users", linked)
    pipeline = make(counted.dataset, BATCH_SIZE="9")
    assert (fetch(pipeline).created, counted.read()) == (12, 12)
    assert (fetch(pipeline).unchanged, counted.read()) == (12, 3)


def test_the_miss_of_a_record_that_is_good_again_is_cleared(
    pipeline: Pipeline, counted: Counted, server: FaultServer
) -> None:
    usual = numbered(USERS, total=USERS)

    def rejected(request: Request) -> Reply:
        reply = usual(request)
        return replace(reply, body=reply.body.replace(b'"e5@example.com"', b"null"))

    def failing(request: Request) -> Reply:
        return usual(request) if request.query["_page"] != "4" else Reply(500)

    server.answer("/users", rejected)
    assert fetch(pipeline).rejected == 1
    server.answer("/users", failing)
    assert fetch(pipeline).status == "partial"
    assert missed() == {}


def numbered_by(connection: Any, statement: str) -> int:
    """The number of the connection's transaction."""
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return int(cursor.fetchone()[0])


def test_versions_of_rows_that_cancel_out_in_a_sum_are_found(pipeline: Pipeline, database_url: str) -> None:
    number = "SELECT txid_current()::text::bigint % 4294967296"
    early = "UPDATE users SET name = 'by hand' WHERE external_id = 5"
    late = "UPDATE users SET name = 'by hand' WHERE external_id = 6"
    sql("TRUNCATE users CASCADE")
    with closing(psycopg2.connect(database_url)) as first, closing(psycopg2.connect(database_url)) as second:
        begun = numbered_by(first, number)
        assert fetch(pipeline).created == USERS
        written = sql("SELECT xmin::text::bigint FROM users WHERE external_id = 5")[0]
        first.cursor().execute(early)
        first.commit()
        while numbered_by(second, number) < 2 * written - begun:
            second.rollback()
        second.cursor().execute(late)
        second.commit()
    assert sql("SELECT sum(xmin::text::bigint) FROM users WHERE external_id IN (5, 6)") == (2 * written,)
    assert fetch(pipeline).updated == 2


def test_a_listing_whose_key_is_a_text_is_read_as_ever(make: Make, server: FaultServer, products: type[Row]) -> None:
    own = Source.listing("http://127.0.0.1/products", page="_page", size="_limit", page_size=3)
    dataset = Dataset(
        name="products", help="Products.", model=products, record=Product, every=timedelta(minutes=5), source=own,
        key=("sku",), to_row=lambda record: {"sku": record.sku},
    )  # fmt: skip

    def answer(request: Request) -> Reply:
        first = (int(request.query["_page"]) - 1) * 3
        goods = [{"sku": f"s{number}"} for number in range(first, min(first + 3, 10))]
        return Reply.json(goods).with_header("X-Total-Count", "10")

    server.answer("/products", answer)
    pipeline = make(dataset, BATCH_SIZE="6")
    assert fetch(pipeline, "products").created == 10
    assert fetch(pipeline, "products").unchanged == 10


def test_numbers_that_come_as_text_are_stored_as_ever(make: Make, counted: Counted, server: FaultServer) -> None:
    server.answer("/users", numbered(USERS, total=USERS))
    usual = counted.dataset.to_row
    texts = replace(counted.dataset, to_row=lambda record: {**usual(record), "external_id": str(record.id)})
    pipeline = make(texts, BATCH_SIZE="6")
    assert fetch(pipeline).created == USERS
    assert fetch(pipeline).unchanged == USERS


def test_who_asks_for_everything_anew_has_everything_read(make: Make, pipeline: Pipeline, counted: Counted) -> None:
    fetch(pipeline, refresh=True)
    assert counted.read() == USERS


DECLARED = "from celeryctl.datasets import users\ndef to_row(record): return {**users.to_row(record), 'name': %r}\n"


def declared(file: Path, name: str) -> Callable[[Any], dict[str, Any]]:
    """The `to_row` of a file as it is now."""
    file.write_text(DECLARED % name)
    space: dict[str, Any] = {}
    exec(compile(file.read_text(), file, "exec"), space)
    made: Callable[[Any], dict[str, Any]] = space["to_row"]
    return made


def test_other_code_reads_for_itself_whoever_was_there_first(
    make: Make, counted: Counted, server: FaultServer, tmp_path: Path
) -> None:
    server.answer("/users", numbered(USERS, total=USERS))
    old, new = (
        make(replace(counted.dataset, to_row=declared(tmp_path / f"{name}.py", name)), BATCH_SIZE="6")
        for name in ("old", "new")
    )
    assert fetch(new).created == USERS
    assert fetch(old).updated == USERS
    assert fetch(new).updated == USERS
    assert sql("SELECT count(*) FROM users WHERE name = 'new'") == (USERS,)


def test_what_was_loaded_counts_not_what_its_file_says_by_now(
    make: Make, counted: Counted, server: FaultServer, tmp_path: Path
) -> None:
    server.answer("/users", numbered(USERS, total=USERS))
    file = tmp_path / "declared.py"
    old = make(replace(counted.dataset, to_row=declared(file, "old")), BATCH_SIZE="6")
    new = make(replace(counted.dataset, to_row=declared(file, "new")), BATCH_SIZE="6")
    assert fetch(old).created == USERS
    assert fetch(new).updated == USERS


def test_a_limited_run_reads_for_itself_and_remembers_no_half_batch(pipeline: Pipeline, counted: Counted) -> None:
    run = fetch(pipeline, limit=8)  # all of the first batch but its last record
    assert (run.unchanged, counted.read()) == (8, 9)
    assert fetch(pipeline).unchanged == USERS
    assert counted.read() == 3


def test_a_page_with_a_record_that_was_rejected_is_read_every_time(
    make: Make, counted: Counted, server: FaultServer
) -> None:
    def answer(request: Request) -> Reply:
        first = (int(request.query["_page"]) - 1) * 3 + 1
        people = [person(n, **({"email": None} if n == 5 else {})) for n in range(first, min(first + 3, USERS + 1))]
        return Reply.json(people).with_header("X-Total-Count", str(USERS))

    server.answer("/users", answer)
    pipeline = make(counted.dataset, BATCH_SIZE="6")
    read = []
    for _ in range(3):
        run = fetch(pipeline)
        assert (run.status, run.rejected) == ("partial", 1)
        read.append(counted.read())
    assert list(missed()) == ["5"]
    assert read[1] == read[2] == read[0] - 1  # of the last page nothing was rejected


def test_a_source_that_says_that_it_has_less_than_it_gives_is_not_believed_because_its_pages_are_known(
    pipeline: Pipeline, server: FaultServer
) -> None:
    usual, less = numbered(USERS, total=USERS), numbered(USERS, total=5)
    server.answer("/users", lambda request: (usual if request.query["_page"] == "1" else less)(request))
    run = fetch(pipeline)
    assert "contradicts itself" in run.error
