"""A source that fails in every way there is, and then is well again: nothing is missing in the end."""

import itertools
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from cluster.kit import rows, value
from faultserver import FaultServer, Reply, Request
from waiting import eventually

from celeryctl.local import generate

from .kit import Recovery, children, new_stage

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(300)]

USERS = 20
BOUND = 35  # seconds: until it is asked again after it was left alone, and the slot that follows
MEMORY = 200 << 20  # bytes that a process may have, whatever it is sent
SETTINGS = {
    "FETCH_USERS_INTERVAL": "1h", "FETCH_ADDRESSES_INTERVAL": "2s", "FETCH_CREDIT_CARDS_INTERVAL": "1h",
    "HTTP_READ_TIMEOUT": "1s", "HTTP_TOTAL_TIMEOUT": "3s",
}  # fmt: skip
ROWS = "SELECT count(*), count(DISTINCT user_id) FROM addresses"
STORED = "SELECT user_id, street_name, fetched_at FROM addresses ORDER BY user_id"


def healthy(request: Request) -> Reply:
    return Reply.json([generate.address(number, 0) for number in range(1, int(request.query["size"]) + 1)])


def dying_between_two_calls() -> Callable[[Request], Reply]:
    calls = itertools.count()
    return lambda request: Reply.json([generate.address(1, 0)]) if next(calls) % 2 == 0 else Reply.close()


FAULTS: dict[str, Reply | Callable[[Request], Reply]] = {
    "500": Reply.text("oops", status=500),
    "429": Reply.text("", status=429),
    "429 with Retry-After": Reply.text("", status=429).with_header("Retry-After", "1"),
    "Retry later": Reply.text("Retry later\n", status=429),
    "403 in HTML": Reply.text("<html><h1>Forbidden</h1>", status=403),
    "silent": Reply.json([], delay=5),
    "trickling": Reply.json([{"x": "y" * 100}], trickle=0.2),
    "truncated": Reply.text('[{"city": "x"'),
    "cut off": Reply.json([], missing=10),
    "a gzip bomb": Reply.gzipped(b"[" + b" " * (300 << 20) + b"]"),
    "redirecting": Reply.redirect("http://127.0.0.2:9/"),
    "resetting": Reply.reset(),
    "dying between two calls": dying_between_two_calls(),
    "nothing": Reply.json([]),
}
REJECTIONS = {
    "an object": Reply.json({"error": "none"}),
    "another schema": lambda request: Reply.json([{"x": 1}] * int(request.query["size"])),
    "null fields": lambda request: Reply.json(
        [{**generate.address(1, 0), "city": None}] * int(request.query["size"])
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", [*FAULTS, *REJECTIONS])
def test_what_a_source_withheld_comes_when_it_is_well_again(fault: str, tmp_path: Path, recovery: Recovery) -> None:
    with FaultServer() as server, new_stage(tmp_path, users=USERS, latency=0, **SETTINGS) as stage:
        path = "/addresses"
        stage.variables["ADDRESSES_URL"] = server.answer(path, {**FAULTS, **REJECTIONS}[fault])
        worker = stage.worker()
        assert stage.run("fetch", "users").returncode == 0
        beat = stage.beat()
        eventually(lambda: value("SELECT count(*) FROM runs WHERE dataset = 'addresses' AND status <> 'running'") >= 2,
                   within=60)  # fmt: skip
        assert max(psutil.Process(one.pid).memory_info().rss for one in (worker, *children(worker))) < MEMORY
        before = rows(STORED)
        server.answer(path, healthy)
        began = time.monotonic()
        if fault in REJECTIONS:
            rows("UPDATE misses SET next_try = now() RETURNING key")  # the pause of a minute is over
        eventually(lambda: rows(ROWS) == [(USERS, USERS)], within=4 * BOUND)
        recovery(time.monotonic() - began, BOUND)
        assert beat.end() == 0
        eventually(stage.is_complete, within=60)
        stage.audit()
        assert set(before) <= set(rows(STORED))
        assert worker.lives
