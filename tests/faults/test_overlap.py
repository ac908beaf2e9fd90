"""The same work asked for twice, and done at the same moment: every user has its rows once, and every run is closed."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2
import pytest
from cluster.kit import rows, value
from faultserver import FaultServer, Reply, Request
from waiting import eventually

from celeryctl.local import generate
from celeryctl.storage.database import session
from celeryctl.storage.ledger import Batch, Run

from .kit import Recovery, Stage, new_stage

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(300)]

USERS = 100
BOUND = 15  # seconds
TOGETHER = 10  # seconds that two requests may be apart
WRITERS = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = %s::regclass"
RUNS = "SELECT dataset, status, created, updated + unchanged FROM runs ORDER BY dataset"


@contextmanager
def gathered(stage: Stage, table: str, writers: int) -> Iterator[None]:
    """Let nobody write into a table before so many want to."""
    with closing(psycopg2.connect(stage.database.url)) as connection, connection.cursor() as cursor:
        cursor.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE")
        yield
        eventually(lambda: value(WRITERS, table) == writers, within=60)
        connection.rollback()


def addresses(barrier: threading.Barrier) -> Callable[[Request], Reply]:
    def answer(request: Request) -> Reply:
        barrier.wait(TOGETHER)
        return Reply.json([generate.address(number, 0) for number in range(int(request.query["size"]))])

    return answer


def open_overlapping(*shares: tuple[int, int]) -> None:
    """A run whose batches reach from the one to the other user."""
    ids = [one for (one,) in rows("SELECT id FROM users ORDER BY id")]
    run, now = uuid.uuid4(), rows("SELECT now()")[0][0]
    with session():
        Run.insert(
            id=run, dataset="addresses", trigger="test", page_size=100, batch_size=100, cursor=ids[-1], planned=USERS
        ).execute()
        Batch.insert_many([{"run": run, "lo": ids[lo], "hi": ids[hi], "due": now} for lo, hi in shares]).execute()


def test_users_that_are_in_two_batches_at_once_have_one_row_each(tmp_path: Path, recovery: Recovery) -> None:
    with FaultServer() as server, new_stage(tmp_path, users=USERS, latency=0) as stage:
        stage.variables["ADDRESSES_URL"] = server.answer("/addresses", addresses(threading.Barrier(2)))
        stage.worker()
        assert stage.run("fetch", "users").returncode == 0
        open_overlapping((0, 69), (30, 99))
        with gathered(stage, "addresses", writers=2):
            client = stage.fetch("addresses")
        began = time.monotonic()
        eventually(lambda: not client.lives, within=4 * BOUND)
        recovery(time.monotonic() - began, BOUND)
        assert client.end() == 0
        assert rows(RUNS) == [("addresses", "succeeded", USERS, 40), ("users", "succeeded", USERS, 0)]
        assert len(server.requests) == 2
        assert stage.run("fetch", "all").returncode == 0
        stage.audit()


def test_clients_that_all_ask_for_everything_at_once_share_one_run(tmp_path: Path, recovery: Recovery) -> None:
    with new_stage(tmp_path, users=USERS, latency=0.3) as stage:
        stage.worker()
        asked = (("one",), ("other",), ("here", "--sync"))
        with gathered(stage, "runs", writers=len(asked)):
            clients = [stage.program(name, "celeryctl", "fetch", "all", *mode) for name, *mode in asked]
        stage.recovered(recovery, bound=BOUND)
        assert [client.ended(within=4 * BOUND) for client in clients] == [0, 0, 0], [one.text for one in clients]
        assert rows(RUNS) == [(name, "succeeded", USERS, 0) for name in ("addresses", "credit_cards", "users")]
        stage.audit()
