import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from celeryctl import home as homes
from celeryctl.local.children import created
from celeryctl.local.state import State, shared, sweep
from celeryctl.pipeline.context import Context
from celeryctl.settings import Environment

pytestmark = pytest.mark.integration

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return homes.create(tmp_path / ".celeryctl")


def test_what_an_up_says_is_for_its_owner_only_and_goes_when_it_ends(home: Path) -> None:
    state = State(home)
    with homes.lock(home / "up.lock"):
        state.write()
        assert stat.S_IMODE((home / "up.json").stat().st_mode) == 0o600
        first = homes.running(home)
        assert first is not None
        assert (first["pid"], first["ready"], first["processes"]) == (os.getpid(), False, [])
        state.processes([{"name": "beat"}])
        state.write(ready=True)
        assert homes.running(home) == {**first, "ready": True, "processes": [{"name": "beat"}]}
        state.remove()
        assert homes.running(home) is None
        state.remove()
    assert [file.name for file in home.iterdir() if "up.json" in file.name] == []


def test_other_terminals_find_its_settings_below_their_own(home: Path) -> None:
    settings = {"DATABASE_URL": "postgresql://up@h/d", "FETCH_USERS_INTERVAL": "7"}
    with homes.lock(home / "up.lock"):
        State(home).write(settings=settings)
        found = Environment.read({}, home.parent)
        assert (found.get("DATABASE_URL"), found.own("DATABASE_URL")) == (settings["DATABASE_URL"], False)
        mine = Environment.read({"FETCH_USERS_INTERVAL": "9"}, home.parent)
        assert mine.get("FETCH_USERS_INTERVAL") == "9"
    assert Environment.read({}, home.parent).get("DATABASE_URL") is None


def test_only_what_somebody_has_set_is_shared() -> None:
    context = Context.read({"FETCH_USERS_INTERVAL": "7", "LOG_LEVEL": "DEBUG", "REDIS_URL": "redis://localhost"})
    assert shared(context) == {"FETCH_USERS_INTERVAL": "7", "REDIS_URL": "redis://localhost"}


def test_what_a_killed_one_left_is_ended_and_nothing_else(home: Path) -> None:
    left, other = (subprocess.Popen(SLEEP, start_new_session=True) for _ in range(2))
    try:
        born = created(psutil.Process(other.pid))
        assert born
        records = [
            {"name": "worker1", "pid": left.pid, "created": created(psutil.Process(left.pid))},
            {"name": "beat", "pid": other.pid, "created": born - 60},
        ]
        State(home).write(processes=records)
        assert sweep(home) == ["worker1"]
        assert left.wait(10) < 0
        assert other.poll() is None
        assert not (home / "up.json").exists()
        assert sweep(home) == []
    finally:
        for process in (left, other):
            process.kill()
            process.wait()


def test_an_up_json_that_others_can_write_ends_nobody(home: Path) -> None:
    other = subprocess.Popen(SLEEP, start_new_session=True)
    try:
        record = {"name": "beat", "pid": other.pid, "created": created(psutil.Process(other.pid))}
        (home / "up.json").write_text(json.dumps({"processes": [record]}))
        (home / "up.json").chmod(0o666)
        assert sweep(home) == []
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
