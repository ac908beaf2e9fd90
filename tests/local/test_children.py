import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from waiting import eventually

from celeryctl.errors import CeleryctlError
from celeryctl.home import create
from celeryctl.local import children
from celeryctl.local.children import Children

pytestmark = pytest.mark.integration

STUBBORN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    time.sleep(600)
print("there", flush=True)
time.sleep(600)
"""

DIES_BEFORE_IT_TELLS = """
import os, pathlib, sys
from celeryctl.home import create
from celeryctl.local.children import Children

def die(records):
    print(records[0]["pid"], flush=True)
    os.kill(os.getpid(), 9)

Children(create(pathlib.Path(sys.argv[1])), os.environ, changed=die).start("api", "api", "--port", "0")
"""


@pytest.fixture
def told() -> list[list[dict[str, Any]]]:
    return []


@pytest.fixture
def crew(tmp_path: Path, told: list[list[dict[str, Any]]]) -> Iterator[Children]:
    """Children in a new home."""
    found = Children(create(tmp_path / ".celeryctl"), os.environ, changed=lambda records: told.append(list(records)))
    yield found
    found.stop(hurry=lambda: True)


def test_a_child_leads_a_session_of_its_own_and_is_told_of_at_once(
    crew: Children, told: list[list[dict[str, Any]]], tmp_path: Path
) -> None:
    child = crew.start("api", "api", "--port", "0")
    assert os.getsid(child.process.pid) == child.process.pid != os.getsid(0)
    assert [[one["name"] for one in records] for records in told] == [["api"]]
    found = children.find(told[0][0])
    assert found is not None
    assert found.pid == child.process.pid
    eventually(lambda: "ALLOW_PRIVATE_SOURCES" in child.said())
    assert child.log == tmp_path / ".celeryctl" / "logs" / "api.log"
    assert child.log.stat().st_mode & 0o777 == 0o600
    crew.check()
    crew.stop(hurry=lambda: False)
    assert crew.names == []
    assert children.find(told[0][0]) is None


def test_whoever_dies_before_a_child_is_told_of_leaves_none(tmp_path: Path) -> None:
    program = [sys.executable, "-c", DIES_BEFORE_IT_TELLS, tmp_path / ".celeryctl"]
    pid = int(subprocess.run(program, stdout=subprocess.PIPE, text=True).stdout)
    try:
        assert eventually(lambda: not is_alive(pid))
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def is_alive(pid: int) -> bool:
    try:
        return children.lives(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return False


def test_one_that_ends_is_named_with_its_own_last_words(crew: Children) -> None:
    (crew.start("first", "--version")).process.wait(30)
    with pytest.raises(CeleryctlError, match=r"first has ended \(exit code 0\)") as ended:
        crew.check()
    assert ended.value.why.startswith("celeryctl ")
    assert ended.value.fix == "celeryctl logs first"


def test_words_of_an_earlier_one_in_the_same_log_are_not_its_own(crew: Children) -> None:
    crew.start("one", "--version").process.wait(30)
    second = crew.start("one", "no-such-command")
    second.process.wait(30)
    assert "no-such-command" in second.said()
    assert not second.said().startswith("celeryctl ")


def test_what_lies_in_the_folder_does_not_take_the_place_of_a_module(
    crew: Children, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "celery.py").write_text("raise SystemExit('not me')")
    (tmp_path / "typer.py").write_text("raise SystemExit('not me')")
    monkeypatch.chdir(tmp_path)
    child = crew.start("one", "config", "show")
    assert child.process.wait(30) == 0, child.said()
    assert "not me" not in child.said()


def test_in_a_hurry_the_stubborn_are_killed_with_what_they_have_started() -> None:
    leader = subprocess.Popen(
        [sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert leader.stdout
    assert leader.stdout.readline() == "there\n"
    process = psutil.Process(leader.pid)
    below = eventually(process.children)
    children.end([process], hurry=lambda: True)
    assert leader.wait(10) == -signal.SIGKILL
    eventually(lambda: not any(children.lives(one) for one in below))
    leader.stdout.close()


def test_what_is_gone_can_be_ended_again(crew: Children) -> None:
    child = crew.start("one", "--version")
    child.process.wait(30)
    children.end([child.process])
    assert children.created(psutil.Process()) is not None


@pytest.mark.parametrize(
    "record", [{}, {"pid": "x"}, {"pid": 1}, {"pid": None, "created": 0}, {"pid": -1, "created": 0}]
)
def test_a_record_that_says_too_little_finds_nobody(record: dict[str, Any]) -> None:
    assert children.find(record) is None


def test_a_record_of_another_time_finds_nobody() -> None:
    own = {"pid": os.getpid(), "created": children.created(psutil.Process())}
    assert children.find(own) is not None
    assert children.find({**own, "created": own["created"] - 60}) is None
