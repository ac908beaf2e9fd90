"""From end to end, in real processes: the main flow on servers of one's own, and data sets that others add."""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from cluster.kit import process, rows, run, settings, sources, value, worker
from faultserver import FaultServer, Reply, Request
from waiting import eventually

from celeryctl.local.generate import CARD_NUMBERS
from celeryctl.storage import database as db

pytestmark = pytest.mark.integration

TOKEN = "Bearer hush"
PERSON = {"name": "n", "username": "u", "email": "e@example.org"}


class Crm:
    """Users on one server, their loyalty on another that wants a header; of user 2 it knows nothing."""

    def __init__(self, users: FaultServer, loyalty: FaultServer) -> None:
        self.users, self.loyalty = users, loyalty
        users.answer("/users", self._people)
        loyalty.answer("/loyalty", self._tiers)
        loyalty.answer("/one/2", Reply.json({}, status=404))
        for n in (1, 3):
            loyalty.answer(f"/one/{n}", Reply.json({"external_id": n, "tier": f"t{n}"}))

    @staticmethod
    def _people(request: Request) -> Reply:
        return Reply.json([{"id": n, **PERSON} for n in (1, 2, 3)] if request.query.get("_page", "1") == "1" else [])

    @staticmethod
    def _tiers(request: Request) -> Reply:
        if request.headers.get("authorization") != TOKEN:
            return Reply.json({}, status=401)
        return Reply.json(
            [{"external_id": int(n), "tier": f"t{n}"} for n in request.query["ids"].split(",") if n != "2"]
        )

    def asked(self) -> list[str]:
        return [request.query["ids"] for request in self.loyalty.requests]


@pytest.fixture
def crm() -> Iterator[Crm]:
    with FaultServer() as users, FaultServer() as loyalty:
        yield Crm(users, loyalty)


def fourth(crm: Crm, database: str, broker: str, folder: Path) -> dict[str, str]:
    """Scaffold a data set and say where it comes from. Returns the settings with it."""
    folder.joinpath("sets").mkdir()
    variables = settings(database, broker, folder, CELERYCTL_DATASETS=str(folder / "sets"))
    done = run({**variables, "CELERYCTL_DATASETS": ""}, folder, "dataset", "new", "loyalty", "--folder", "sets")
    assert done.returncode == 0, done.stderr
    own = {"LOYALTY_URL": crm.loyalty.url + "/loyalty?ids={external_ids}", "LOYALTY_AUTHORIZATION": TOKEN}
    return {**variables, "USERS_URL": crm.users.url + "/users", **own}


def ok(variables: dict[str, str], folder: Path, *words: str) -> Any:
    done = run(variables, folder, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout) if "--json" in words else done.stdout


@pytest.mark.slow
def test_a_fourth_data_set_works_from_its_scaffold_to_its_stats(
    crm: Crm, empty_database: str, redis_url: str, tmp_path: Path
) -> None:
    variables = fourth(crm, empty_database, redis_url, tmp_path)
    ok(variables, tmp_path, "init-db")
    db.configure(empty_database)
    ok(variables, tmp_path, "fetch", "users", "--sync")
    (first,) = ok(variables, tmp_path, "fetch", "loyalty", "--sync", "--json")["runs"]
    assert (first["dataset"], first["status"], first["created"], first["requests"]) == ("loyalty", "succeeded", 2, 1)
    assert rows("SELECT user_id, tier FROM loyalty ORDER BY 1") == [(1, "t1"), (3, "t3")]
    with worker(tmp_path / "worker.log", {**variables, "CELERYCTL_DATASETS": str(tmp_path / "sets")}):
        eventually(lambda: value("SELECT count(*) FROM workers") == 1)
        ok(variables, tmp_path, "fetch", "loyalty", "--wait", "--json")
        assert crm.asked() == ["1,2,3"]  # the absent one is remembered
        (again,) = ok(variables, tmp_path, "fetch", "loyalty", "--refresh", "--json")["runs"]
    assert (again["status"], again["unchanged"], again["created"]) == ("succeeded", 2, 0)
    assert not [request for request in crm.users.requests if "authorization" in request.headers]
    found = {one["name"]: one for one in ok(variables, tmp_path, "stats", "--json")["datasets"]}["loyalty"]
    assert (found["rows"], found["missing"], found["last_run"]["status"]) == (2, 0, "succeeded")


@pytest.mark.slow
def test_beat_fetches_a_fourth_data_set_at_its_own_interval(
    crm: Crm, empty_database: str, redis_url: str, tmp_path: Path
) -> None:
    variables = {**fourth(crm, empty_database, redis_url, tmp_path), "FETCH_LOYALTY_INTERVAL": "1s"}
    ok(variables, tmp_path, "init-db")
    db.configure(empty_database)
    ok(variables, tmp_path, "fetch", "users", "--sync")
    with ExitStack() as stack:
        stack.enter_context(worker(tmp_path / "worker.log", variables))
        stack.enter_context(process(["celeryctl", "beat"], tmp_path / "beat.log", variables))
        done = "SELECT count(*) FROM runs WHERE dataset = 'loyalty' AND trigger = 'schedule' AND status = 'succeeded'"
        eventually(lambda: value(done) >= 3)
    assert crm.asked() == ["1,2,3"]


@pytest.mark.slow
def test_a_data_set_comes_with_an_installed_package(
    crm: Crm, empty_database: str, redis_url: str, tmp_path: Path
) -> None:
    variables = fourth(crm, empty_database, redis_url, tmp_path)
    site, info = tmp_path / "site", tmp_path / "site" / "crm_loyalty-1.0.dist-info"
    info.mkdir(parents=True)
    (tmp_path / "sets" / "loyalty.py").rename(site / "crm_loyalty.py")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: crm-loyalty\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[celeryctl.datasets]\nloyalty = crm_loyalty:DATASET\n")
    variables |= {"PYTHONPATH": os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)}
    variables |= {"CELERYCTL_DATASETS": "", "LOYALTY_URL": crm.loyalty.url + "/one/{external_id}"}
    ok(variables, tmp_path, "init-db")
    db.configure(empty_database)
    assert "crm-loyalty" in ok(variables, tmp_path, "dataset", "list")
    ok(variables, tmp_path, "fetch", "users", "--sync")
    for _ in range(2):
        ok(variables, tmp_path, "fetch", "loyalty", "--sync")
    assert rows("SELECT user_id, tier FROM loyalty ORDER BY 1") == [(1, "t1"), (3, "t3")]
    assert sorted(request.path for request in crm.loyalty.requests) == ["/one/1", "/one/2", "/one/3"]
    assert {request.headers["authorization"] for request in crm.loyalty.requests} == {TOKEN}


def test_the_main_flow_on_servers_of_ones_own(empty_database: str, redis_url: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        variables = settings(empty_database, redis_url, tmp_path, api=stack.enter_context(sources()))
        ok(variables, tmp_path, "init-db")
        db.configure(empty_database)
        stack.enter_context(worker(tmp_path / "worker.log", variables))
        eventually(lambda: value("SELECT count(*) FROM workers") == 1)
        document = ok(variables, tmp_path, "fetch", "all", "--wait", "--json")
        assert document["schema"] == 1
        found = [(run["dataset"], run["status"], run["created"]) for run in document["runs"]]
        assert found == [(name, "succeeded", 10) for name in ("users", "addresses", "credit_cards")]
        stats = ok(variables, tmp_path, "stats", "--json")
        assert (stats["users_with_both"], stats["coverage_stats"]["full_coverage_percent"]) == (10, 100)
        assert [(one["alive"], one["concurrency"]) for one in stats["workers"]] == [(True, 2)]
        assert (stats["queues"][0]["waiting"], stats["problems"]) == (0, [])
    user = ok(variables, tmp_path, "users", "show", "1", "--json")
    assert (len(user["addresses"]), user["credit_cards"][0]["card_number"][:5]) == (1, "**** ")
    assert not [number for number in CARD_NUMBERS if number in json.dumps(user)]
