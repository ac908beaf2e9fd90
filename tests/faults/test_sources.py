"""A source that fails in every way there is, and then is well again: nothing is missing in the end."""

import time
from pathlib import Path

import psutil
import pytest
from cluster.kit import rows, value
from faultserver import FaultServer, Reply, Request
from waiting import eventually

from celeryctl.local import generate

from .kit import Recovery, children, new_stage
from .strikes.sources import FAULTS, REJECTIONS

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
