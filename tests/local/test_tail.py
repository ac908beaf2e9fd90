"""`tail` beside an `up` that is ended and started again."""

import subprocess
from pathlib import Path

import pytest
from waiting import eventually

from .cockpit import Cockpit, ended

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def test_it_finds_the_servers_of_an_up_that_is_started_again(cockpit: Cockpit, tmp_path: Path) -> None:
    first = cockpit.filled()
    log = tmp_path / "tail.log"
    with log.open("wb") as file:
        tail = cockpit.start("tail", stdout=file, stderr=subprocess.STDOUT)
    eventually(lambda: "succeeded" in log.read_text())
    assert ended(first)[0] == 0
    eventually(lambda: "the broker does not answer" in log.read_text())
    second = cockpit.up()
    eventually(lambda: "the broker answers again" in log.read_text())
    before = log.read_text().count("succeeded")
    cockpit.ok("fetch", "users")
    eventually(lambda: log.read_text().count("succeeded") > before)
    assert ended(second)[0] == 0
    assert ended(tail)[0] == 130
    cockpit.run("down")  # the first `up` left PostgreSQL to who was connected
    assert "Traceback" not in log.read_text()
