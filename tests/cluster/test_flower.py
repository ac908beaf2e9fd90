"""Flower as others meet it: who reaches it with and without the password, and what it shows."""

import base64
import json
import re
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

import psutil
import pytest
from composed import is_well
from servers import KEY
from waiting import eventually

from celeryctl.local.ports import free_port

from .kit import Process, process, run, settings, sources, worker

pytestmark = pytest.mark.integration

NO_DATABASE = "postgresql://me:s3cret@127.0.0.1:1/nowhere"
PASSWORD = "geheimnis"
ANN = {"FLOWER_BASIC_AUTH": f"ann:{PASSWORD}"}
CREDENTIALS = {"Authorization": f"Basic {base64.b64encode(f'ann:{PASSWORD}'.encode()).decode()}"}
FOREIGN = {"Origin": "http://evil.example", "Host": "evil.example", "Sec-Fetch-Site": "cross-site"}
PAGES = ["/", "/workers", "/worker/one", "/tasks", "/task/one", "/broker", "/api/workers", "/api/tasks"]
PAGES += ["/api/task/types", "/api/task/info/one", "/api/queues/length"]
SHUTDOWN = "/api/worker/shutdown/mine@here"


@dataclass
class Flower:
    """A Flower that answers."""

    process: Process
    port: int

    def ask(self, path: str, *, method: str = "GET", **headers: str) -> tuple[int, str]:
        """Status and body."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as refused:
            with refused:
                return refused.code, refused.read().decode()

    def document(self, path: str) -> Any:
        return json.loads(self.ask(path, **CREDENTIALS)[1])


@contextmanager
def flower(redis_url: str, folder: Path, *options: str, **more: str) -> Iterator[Flower]:
    port = free_port()
    variables = settings(NO_DATABASE, redis_url, folder, FLOWER_PORT=str(port), **more)
    with process(["celeryctl", "flower", *options], folder / "flower.log", variables) as started:
        started.assert_says("Visit me at")
        yield Flower(started, port)


def listening(started: Process) -> set[str]:
    return {one.laddr.ip for one in psutil.Process(started.pid).net_connections("inet") if one.status == "LISTEN"}


@pytest.mark.parametrize("option", ["--address=0.0.0.0", "-address=::", "--address=192.168.1.1", "--address=x.example"])
def test_an_option_does_not_open_it_to_others_without_a_password(redis_url: str, tmp_path: Path, option: str) -> None:
    done = run(settings(NO_DATABASE, redis_url, tmp_path), tmp_path, "flower", option)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 3)
    assert "FLOWER_BASIC_AUTH" in done.stderr


def test_what_is_typed_takes_the_place_of_the_settings_and_no_password_stays_on_the_command_line(
    redis_url: str, tmp_path: Path
) -> None:
    port = free_port()
    typed = ["--address=0.0.0.0", f"--port={port}", f"--basic-auth=ann:{PASSWORD}", "--max-tasks=7"]
    # Flower's own variable for the address and the like do not count.
    with flower(redis_url, tmp_path, *typed, FLOWER_ADDRESS="127.0.0.9", FLOWER_HOST="127.0.0.8") as started:
        started.port = port
        assert listening(started.process) == {"0.0.0.0"}
        assert [started.ask("/")[0], started.ask("/", **CREDENTIALS)[0]] == [401, 200]
        line = psutil.Process(started.process.pid).cmdline()
        assert "--max-tasks=7" in line
        assert PASSWORD not in f"{line}{started.process.text}"


def test_an_address_of_nothing_means_loopback(redis_url: str, tmp_path: Path) -> None:
    with flower(redis_url, tmp_path, "--address=", FLOWER_ADDRESS="0.0.0.0") as started:
        assert listening(started.process) == {"127.0.0.1"}


def test_where_there_can_be_no_home_it_works_without_a_memory(redis_url: str, tmp_path: Path) -> None:
    more = {"CELERYCTL_HOME": "/proc/nowhere/home", "FLOWER_UNAUTHENTICATED_API": "1", "LOG_FORMAT": "json"}
    with flower(redis_url, tmp_path, **more) as started:
        assert started.ask("/")[0] == 200
        told = [json.loads(line)["message"] for line in started.process.text.splitlines()]
    assert told[0].startswith("FLOWER_UNAUTHENTICATED_API is ignored: ")
    assert told[1].startswith("Flower forgets the tasks when it ends: /proc/nowhere")


PASSWORDS = dict.fromkeys(("POSTGRES_PASSWORD", "REDIS_WORKER_PASSWORD", "GRAFANA_PASSWORD", "PGPASSWORD"), "s3cret")


def test_it_has_no_secret_that_it_does_not_need(redis_url: str, tmp_path: Path) -> None:
    with flower(redis_url, tmp_path, USERS_AUTHORIZATION="Bearer s3cret", **PASSWORDS, **ANN) as started:
        environ = psutil.Process(started.process.pid).environ()
    assert not [name for name, value in environ.items() if "s3cret" in value or KEY in value]


def test_with_a_password_nothing_is_shown_without_it(redis_url: str, tmp_path: Path) -> None:
    with flower(redis_url, tmp_path, **ANN) as started:
        assert {path: started.ask(path)[0] for path in PAGES} == dict.fromkeys(PAGES, 401)
        wrong = {"Authorization": "Basic " + base64.b64encode(b"ann:wrong").decode()}
        assert {path: started.ask(path, **wrong)[0] for path in PAGES} == dict.fromkeys(PAGES, 401)
        assert started.ask(SHUTDOWN, method="POST")[0] == 401
        # A browser that knows the password sends it along, whoever has made the page.
        assert started.ask(SHUTDOWN, method="POST", **CREDENTIALS, **FOREIGN)[0] == 403
        assert started.ask("/", **CREDENTIALS)[0] == 200
        assert is_well("celery-flower", started.port), "Compose asks it without a password"


@pytest.mark.parametrize("asked_for", ["", "1"])
def test_without_a_password_nobody_can_control_anything(redis_url: str, tmp_path: Path, asked_for: str) -> None:
    with flower(redis_url, tmp_path, FLOWER_UNAUTHENTICATED_API=asked_for) as started:
        assert started.ask("/")[0] == 200
        for headers in ({}, FOREIGN):
            for path in (
                SHUTDOWN,
                SHUTDOWN.replace("shutdown", "pool/restart"),
                "/api/task/async-apply/celeryctl.batch",
            ):
                assert started.ask(path, method="POST", **headers)[0] == 401
        assert started.ask("/api/tasks")[0] == 401
        assert ("FLOWER_UNAUTHENTICATED_API is ignored" in started.process.text) == bool(asked_for)


@pytest.mark.slow
def test_of_tasks_it_shows_ids_only_and_of_workers_no_secret(database_url: str, redis_url: str, tmp_path: Path) -> None:
    with sources() as api, flower(redis_url, tmp_path, **ANN) as started:
        variables = settings(database_url, redis_url, tmp_path, api=api, USERS_AUTHORIZATION="Bearer s3cret")
        with worker(tmp_path / "log", variables, "-n", "mine@here"):
            eventually(lambda: "mine@here" in started.ask("/workers", **CREDENTIALS)[1])
            assert run(variables, tmp_path, "fetch", "all").returncode == 0
            tasks = eventually(lambda: started.document("/api/tasks"))
            page = started.ask("/worker/mine@here", **CREDENTIALS)[1]
    assert {task["name"] for task in tasks.values()} == {"celeryctl.batch"}
    # A batch's number in the ledger.
    assert [task for task in tasks.values() if not re.fullmatch(r"\[\d+\]{}", task["args"] + task["kwargs"])] == []
    secrets = [KEY, "s3cret", PASSWORD, str(urlsplit(redis_url).password), str(urlsplit(database_url).password)]
    assert "mine@here" in page
    assert [secret for secret in secrets if secret in page] == []
