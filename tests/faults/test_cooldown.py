"""A source that says for how long it wants to be left alone is, by the whole cluster, and everybody can see it."""

import json
from pathlib import Path

import pytest
from cluster.kit import rows, value
from faultserver import FaultServer, Reply, Request
from waiting import eventually

from celeryctl.local import generate

from .kit import Stage, new_stage, pass_time

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(300)]

USERS = 20
SETTINGS = {
    "FETCH_USERS_INTERVAL": "1h", "FETCH_ADDRESSES_INTERVAL": "1s", "FETCH_CREDIT_CARDS_INTERVAL": "1h",
}  # fmt: skip
BUSY = Reply.text("", status=429).with_header("Retry-After", "300")


def healthy(request: Request) -> Reply:
    return Reply.json([generate.address(number, 0) for number in range(1, int(request.query["size"]) + 1)])


def state(stage: Stage) -> str:
    document = json.loads(stage.run("stats", "--json").stdout)
    return next(str(one["state"]) for one in document["sources"] if one["name"] == "addresses")


def test_it_is_left_alone_by_all_until_then_but_for_who_asks_by_hand(tmp_path: Path) -> None:
    with FaultServer() as server, new_stage(tmp_path, users=USERS, latency=0, **SETTINGS) as stage:
        stage.variables["ADDRESSES_URL"] = server.answer("/addresses", BUSY)
        stage.worker("first")
        stage.worker("second")
        assert stage.run("fetch", "users").returncode == 0
        stage.beat()
        eventually(lambda: value("SELECT count(*) FROM sources WHERE asks_again_at IS NOT NULL") == 1, within=60)
        asked = len(server.requests)
        pass_time(5)  # of which every second were one to ask again
        assert len(server.requests) == asked
        assert state(stage) == "cooling"
        run = rows("SELECT id::text FROM runs WHERE dataset = 'addresses'")[0][0]
        told = json.loads(stage.run("why", run, "--json").stdout)
        assert "its source again in 4 min" in " ".join(told["because"])
        assert stage.run("fetch", "addresses").returncode == 69
        assert len(server.requests) == asked + 1
        server.answer("/addresses", healthy)
        assert stage.run("fetch", "addresses").returncode == 0
        assert state(stage) == "ok"
        eventually(lambda: value("SELECT count(*) FROM addresses") == USERS, within=60)
