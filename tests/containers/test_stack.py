"""docker-compose.yml in real containers: built, started, struck, stopped and started again, without the internet."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import leakcheck
import pytest
from dotenv import dotenv_values
from waiting import eventually

from . import standins
from .engine import Engine, EngineError, engine
from .stack import Stack
from .steps import Steps

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(1500)]

WORKERS = 4
USERS = 3000
# So that a fetch takes as long as the deaths of workers and of the broker, and beat is not in its way.
SLOWLY = """
BATCH_SIZE=100
ADDRESSES_RATE_LIMIT=3/s
FETCH_USERS_INTERVAL=1h
FETCH_ADDRESSES_INTERVAL=1h
FETCH_CREDIT_CARDS_INTERVAL=1h
"""
TOOLS = ("pip", "pip3", "gcc", "cc", "c++", "make")


@pytest.fixture
def docker() -> Iterator[Engine]:
    try:
        with engine() as one:
            yield one
    except EngineError as exc:
        pytest.skip(str(exc))


def test_the_stack_works_outlives_deaths_and_keeps_its_data(docker: Engine, capfd: pytest.CaptureFixture[str]) -> None:
    steps = Steps(capfd)
    with steps("the base images are made"):
        standins.make(docker, Path(os.environ.get("CELERYCTL_CONTAINERS_CACHE", docker.folder)))
    stack = Stack.of_this_tree(docker)
    starts(stack, steps)
    with steps("the image: what it may, what is in it"):
        size = holds_little(stack)
    steps.say(f"{size / 1e6:6.0f} MB the image")
    scales(stack, steps)
    works(stack, steps)
    is_watched(stack, steps)
    outlasts(stack, steps)
    stops_and_starts_again(stack, steps)


def starts(stack: Stack, steps: Steps) -> None:
    with steps("without .env it says what makes one"):
        assert "run celeryctl config init" in stack.refused("up", "-d")
    with steps("celeryctl config init"):
        stack.configure(SLOWLY, users=USERS)
    with steps("docker-compose build"):
        stack.compose("build")
    with steps("docker-compose up -d"):
        stack.compose("up", "-d")
    with steps("all of it is healthy"):
        stack.becomes_healthy(*stack.lasting())
    with steps("db-init twice more"):
        for _ in range(2):
            stack.compose("run", "--rm", "-T", "db-init")
    with steps("redis-cli ping"):
        assert stack.compose("exec", "-T", "redis", "redis-cli", "ping") == "PONG"


def holds_little(stack: Stack) -> int:
    """How many bytes the image has."""
    found = json.loads(stack.engine.docker("image", "inspect", "celeryctl"))[0]
    config = found["Config"]
    assert config["User"] not in ("", "0", "root")
    assert config["StopSignal"] == "SIGTERM"
    assert config["Healthcheck"]["Test"][0] in ("CMD", "CMD-SHELL")
    assert config["Labels"]["org.opencontainers.image.title"] == "celeryctl"
    assert stack.inside("id", "-u") != "0"
    assert stack.inside("sh", "-c", f"command -v {' '.join(TOOLS)}; true") == ""
    assert stack.inside("sh", "-c", "for python in python python3; do $python -m pip --version; done; true") == ""
    places = "/probe /opt/celeryctl/probe /home/celeryctl/probe"
    assert stack.inside("sh", "-c", f"for file in {places}; do touch $file && echo $file; done; true") == ""
    return int(found["Size"])


def scales(stack: Stack, steps: Steps) -> None:
    with steps(f"{WORKERS} workers, each healthy and with a name of its own"):
        stack.compose("up", "-d", "--scale", f"celery-worker={WORKERS}")
        stack.becomes_healthy(*stack.lasting())
        assert len(stack.containers("celery-worker")) == WORKERS
        eventually(lambda: len(set(alive(stack))) == WORKERS)


def alive(stack: Stack) -> list[str]:
    return [one["name"] for one in stack.celeryctl("stats")["workers"] if one["alive"]]


def works(stack: Stack, steps: Steps) -> None:
    with steps(f"fetch all, {USERS:,} users"):
        stack.celeryctl("fetch", "all")
        assert complete(stack)
    with steps(f"fetch all --refresh, {USERS:,} users, while two workers and the broker die"):
        struck = [*stack.containers("celery-worker")[1:3], *stack.containers("redis")]
        with stack.running("fetch", "all", "--refresh", "--json") as fetch:
            eventually(lambda: progress(stack) > 0)
            for one in struck:
                stack.signal(one, "KILL")
            said, _ = fetch.communicate(timeout=300)
        assert fetch.returncode == 0, said
        assert [run["status"] for run in json.loads(said)["runs"]] == ["succeeded"] * 3
        assert [stack.restarts(one) for one in struck] == [1] * len(struck)
        assert complete(stack)
        stack.becomes_healthy(*stack.lasting())


def is_watched(stack: Stack, steps: Steps) -> None:
    with steps("celery-metrics shows every worker and every user"):
        stack.compose("up", "-d", "celery-metrics")
        stack.becomes_healthy("celery-metrics")
        page = "import urllib.request as u; print(u.urlopen('http://celery-metrics:9808/metrics').read().decode())"
        shown = stack.inside("python", "-c", page).splitlines()
        assert 'celeryctl_coverage_ratio{dataset="addresses"} 1.0' in shown
        assert (
            len([line for line in shown if line.startswith("celery_worker_up{") and line.endswith(" 1.0")]) >= WORKERS
        )
    with steps("pg_dump"):
        assert "CREATE TABLE public.users " in stack.compose("run", "--rm", "-T", "db-init", "pg_dump", "--schema-only")


def progress(stack: Stack) -> int:
    """How many addresses the present run has fetched."""
    running = [run for run in stack.celeryctl("runs")["runs"] if run["status"] == "running"]
    return sum(run["updated"] + run["unchanged"] for run in running if run["dataset"] == "addresses")


def complete(stack: Stack) -> bool:
    """Every user has one address and one card."""
    found = stack.celeryctl("stats")
    names = ("total_users", "total_addresses", "total_credit_cards", "users_with_both")
    return [found[name] for name in names] == [USERS] * 4


def outlasts(stack: Stack, steps: Steps) -> None:
    *others, frozen = stack.containers("celery-worker")
    others += stack.containers("celery-beat")
    with steps("a worker that stands still becomes unhealthy, those without a broker do not"):
        stack.compose("stop", "redis")
        began = time.monotonic()
        stack.signal(frozen, "STOP")
        eventually(lambda: stack.state(frozen)["Health"]["Status"] == "unhealthy", within=180)
        seconds = time.monotonic() - began
        assert [stack.state(one)["Health"]["FailingStreak"] for one in others] == [0] * len(others)
    steps.say(f"{seconds:6.1f} s  it took until that was seen")
    with steps("and all are healthy again"):
        stack.signal(frozen, "CONT")
        stack.compose("start", "redis")
        stack.becomes_healthy(*stack.lasting())


def stops_and_starts_again(stack: Stack, steps: Steps) -> None:
    with steps("docker-compose stop"):
        stack.compose("stop")
    ended = {name: [stack.state(one)["ExitCode"] for one in stack.containers(name)] for name in stack.lasting()}
    assert ended["celery-worker"] == [0] * WORKERS
    assert ended["celery-beat"] == [0]
    with steps("no secret and no card number is in logs or images"):
        tells_no_secret(stack)
    with steps("docker-compose down, up -d: the data are still there"):
        stack.compose("down")
        stack.compose("up", "-d")
        stack.becomes_healthy(*stack.lasting())
        assert complete(stack)


def tells_no_secret(stack: Stack) -> None:
    said = stack.compose("logs", "--no-color") + stack.engine.docker("history", "--no-trunc", "celeryctl")
    said += stack.engine.docker("image", "inspect", "celeryctl", *standins.NAMES.values())
    leakcheck.note(said)
    given = dotenv_values(stack.tree / ".env").items()
    secrets = {name: value for name, value in given if value and name not in SLOWLY}
    assert {"POSTGRES_PASSWORD", "CARD_ENCRYPTION_KEYS"} <= secrets.keys()
    # Of Flower's, the password: who it is for is no secret.
    assert [name for name, value in secrets.items() if value.rpartition(":")[2] in said] == []
