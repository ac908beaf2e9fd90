"""A whole ingest in which everything goes wrong that can, and then a look at every byte that it has left anywhere.

The numbers are made while it runs, each served once: none of them stands in this repository, as the four fake ones do,
so whatever is found has leaked, and its end tells by which way.
"""

import base64
import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg2
import pytest
from cluster.kit import rows, value
from faultserver import FaultServer, Reply, Request
from sinks import Sweep, overheard
from waiting import eventually

from celeryctl.local import wheels
from celeryctl.local.account import Account
from celeryctl.local.ports import free_port

from .kit import Stage, children, kill, new_stage
from .leaks import CONSTRAINTS, DECLARATION, PASSING, WAYS, Leaks

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(600)]

PEOPLE = 30
LOGIN = "ann:a-password"
OPEN = "SELECT count(*) FROM runs WHERE status = 'running'"
PAGES = ("/", "/workers", "/tasks", "/broker", "/metrics", "/api/workers?refresh=1", "/api/tasks?limit=1000",
         "/api/task/types", "/api/queues/length")  # fmt: skip
COMMANDS = ("failed -n 1000", "failed --json -n 1000", "failed leaks", "runs", "runs --json", "stats", "stats --json",
            "users list", "users show 1", "users show 1 --json", "why 1", "schedule", "doctor", "config show",
            "dataset check", "keys status", "runs {run}", "why {run}", "why {run} --json", "tail {run}",
            "tail --json -n 1000 {run}")  # fmt: skip


@dataclass
class Scene:
    stage: Stage
    leaks: Leaks
    said: list[str] = field(default_factory=list)  # by every command

    def run(self, words: str) -> None:
        """A command to its end, whatever that is."""
        done = self.stage.run(*words.split())
        self.said += [done.stdout, done.stderr]

    def until_idle(self) -> None:
        eventually(lambda: value(OPEN) == 0, within=120)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    (tmp_path / "mine").mkdir()
    (tmp_path / "tmp").mkdir()
    (tmp_path / "mine" / "leaks.py").write_text(DECLARATION)
    with FaultServer() as server:
        leaks = Leaks(server, PEOPLE)
        more = {"CELERYCTL_DATASETS": str(tmp_path / "mine"), "TMPDIR": str(tmp_path / "tmp"), "LOG_LEVEL": "DEBUG",
                "HTTP_MAX_BYTES": "200000", "MAX_ATTEMPTS": "1", "FLOWER_BASIC_AUTH": LOGIN,
                **leaks.variables}  # fmt: skip
        with new_stage(tmp_path, users=1, **more) as stage:
            assert stage.run("init-db").returncode == 0
            with closing(psycopg2.connect(stage.database.url)) as connection, connection.cursor() as cursor:
                cursor.execute(CONSTRAINTS)
                connection.commit()
            yield Scene(stage, leaks)


def test_no_card_number_is_anywhere_but_in_its_encrypted_column(
    scene: Scene, record_property: Callable[[str, object], None]
) -> None:
    stage, leaks = scene.stage, scene.leaks
    with overheard(stage.broker.url) as heard, ExitStack() as later:
        started(scene)
        flower = later.enter_context(pages(scene))
        metrics = served_metrics(scene)
        everything_once(scene)
        bad_answers(scene)
        bad_code(scene)
        deaths(scene)
        commands(scene)
        sweep = Sweep(leaks.numbers)
        sweep.text("what went to the broker", b"\n".join(heard))
        sweep.broker("what is in the broker", stage.broker.url)
        look_at_pages(sweep, flower)
        look_at_metrics(sweep, stage)
        assert "celery_task_failed_total" in sweep.page(metrics, place="metrics")
        look_at_processes(sweep, scene)
    sweep.text("what commands said", "\n".join(scene.said))
    look_at_database(sweep, scene)
    sweep.files("the work folder with logs, home and temporary files", stage.folder)
    assert len(leaks.numbers) > 200
    assert value("SELECT count(*) FROM leak")
    assert value("SELECT count(*) FROM credit_cards")
    record_property("looked", sweep.sizes)
    sweep.assert_clean()


def started(scene: Scene) -> None:
    """A worker that logs text and one that logs JSON, a beat, and somebody who follows."""
    stage = scene.stage
    work(stage, "text")
    stage.variables["LOG_FORMAT"] = "json"
    work(stage, "json")
    stage.beat()
    stage.program("tail", "celeryctl", "tail")
    stage.program("tail-json", "celeryctl", "tail", "--json")


def work(stage: Stage, name: str) -> None:
    """Start a worker that may leave core dumps of any size, as far as it is up to this machine."""
    stage.variables["METRICS_PORT"] = str(free_port())
    words = ("celeryctl", "worker", "-c", "2", "-n", f"{name}@%h", "--soft-time-limit=4")
    stage.workers[name] = stage.supervised(" ready.", name, *words, before=("prlimit", "--core=unlimited"))


def everything_once(scene: Scene) -> None:
    for words in (
        "fetch all",
        "fetch leaks --refresh",
        "fetch credit-cards --refresh --sync -vv",
        "failed --retry --all",
    ):
        scene.run(words)
    scene.until_idle()
    assert {way for (way,) in rows("SELECT DISTINCT outcome FROM misses")} >= {"rejected", "failed"}


def bad_answers(scene: Scene) -> None:
    server = scene.leaks.server
    for number, answer in enumerate(scene.leaks.answers().values()):
        server.answer("/cards", answer)
        scene.run("fetch credit-cards --refresh" + (" --sync --debug", "")[number % 2])
        scene.until_idle()
    server.answer("/cards", scene.leaks.draw)


def bad_code(scene: Scene) -> None:
    """What the database refuses for a while, and what a declaration gets wrong."""
    halves, columns = ("half",), ("column",)
    halves, columns = ("half",), ("column",)
    for ways, words in ((PASSING, ""), (columns, ""), (columns, "--sync --debug"), (WAYS, "--sync --debug --json"),
                        (halves, "--limit 1"), (halves, "--limit 1 --sync --debug")):  # fmt: skip
        scene.leaks.ways = ways
        scene.run(f"fetch leaks --refresh {words}")
    scene.leaks.ways = WAYS
    scene.until_idle()


def deaths(scene: Scene) -> None:
    """Processes, then the database, and then time itself end while numbers are in memory."""
    stage, pids = scene.stage, [one.pid for worker in scene.stage.workers.values() for one in children(worker)]
    for strike in (
        lambda: [os.kill(pid, signal.SIGSEGV) for pid in pids],
        lambda: kill_holder(stage),
        stage.database.stop,
        lambda: eventually(lambda: any("SoftTimeLimitExceeded" in one.text for one in stage.workers.values())),
    ):
        with amid(scene):
            strike()
        stage.database.start()
        scene.until_idle()
    assert not [*stage.folder.rglob("core*")]


def kill_holder(stage: Stage) -> None:
    """-9, and another in its place."""
    holder = stage.holder()
    kill(holder)
    work(stage, next(name for name, one in stage.workers.items() if one is holder))


@contextmanager
def amid(scene: Scene) -> Iterator[None]:
    """While a batch is asking for cards."""
    asked, go = threading.Event(), threading.Event()

    def slowly(request: Request) -> Reply:
        asked.set()
        go.wait(60)
        return scene.leaks.draw(request)

    scene.leaks.server.answer("/cards", slowly)
    scene.run("fetch credit-cards --refresh --detach")
    assert asked.wait(60)
    yield
    go.set()
    scene.leaks.server.answer("/cards", scene.leaks.draw)


def commands(scene: Scene) -> None:
    (run,) = rows("SELECT left(id::text, 8) FROM runs WHERE dataset = 'leaks' ORDER BY started_at DESC LIMIT 1")[0]
    for words in COMMANDS:
        scene.run(words.format(run=run))


@contextmanager
def pages(scene: Scene) -> Iterator[str]:
    """Flower, which listens from now on. Yields its address."""
    port = free_port()
    scene.stage.variables["FLOWER_PORT"] = str(port)
    flower = scene.stage.program("flower", "celeryctl", "flower")
    flower.assert_says("Connected to")
    yield f"http://127.0.0.1:{port}"


def served_metrics(scene: Scene) -> str:
    """The address of the cluster's metrics, which are collected from now on."""
    port = free_port()
    scene.stage.program("metrics", "celeryctl", "metrics", "--port", str(port)).assert_says("Serving metrics at")
    return f"http://127.0.0.1:{port}/metrics"


def look_at_pages(sweep: Sweep, address: str) -> None:
    """Flower's. What else serves pages is to be looked at here, too."""
    login = {"Authorization": f"Basic {base64.b64encode(LOGIN.encode()).decode()}"}
    told = {path: sweep.page(address + path, place=f"Flower {path}", **login) for path in PAGES}
    tasks = [*json.loads(told["/api/tasks?limit=1000"])]
    assert tasks
    for task in tasks:
        for path in ("/task/", "/api/task/info/"):
            sweep.page(f"{address}{path}{task}", place=f"Flower {path}…", **login)
    for worker in json.loads(told["/api/workers?refresh=1"]):
        sweep.page(f"{address}/worker/{worker}", place="Flower /worker/…", **login)


def look_at_metrics(sweep: Sweep, stage: Stage) -> None:
    """The workers' pages."""
    for name, worker in stage.workers.items():
        port = psutil.Process(worker.pid).environ()["METRICS_PORT"]
        assert "celery_task_retried_total" in sweep.page(f"http://127.0.0.1:{port}/metrics", place=f"metrics of {name}")


def look_at_processes(sweep: Sweep, scene: Scene) -> None:
    ours = [one for one in psutil.process_iter() if _works_in(one, scene.stage.folder)]
    assert len(ours) > 8
    sweep.processes("processes", ours)


def look_at_database(sweep: Sweep, scene: Scene) -> None:
    """As it answers, as it is dumped, and what lies on the disk of it."""
    database = scene.stage.database
    sweep.database("the database", database.url, sealed=("card_number", "number"))
    parts = urlsplit(database.url)
    place = ("--host=127.0.0.1", f"--port={database.port}", "--username=postgres", "celeryctl")
    dumped = subprocess.run(
        [wheels.postgres() / "pg_dump", *place],
        env={"PGPASSWORD": str(parts.password)}, capture_output=True, check=True, timeout=60,
    )  # fmt: skip
    sweep.text("pg_dump", dumped.stdout + dumped.stderr)
    with closing(psycopg2.connect(database.url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute("CHECKPOINT")
    sweep.files("the database's folder, with WAL", Account.of(database.home).folder)
    sweep.files("its home, with its log", database.home)


def _works_in(process: psutil.Process, folder: Path) -> bool:
    try:
        return Path(process.cwd()).is_relative_to(folder)
    except psutil.Error:
        return False
