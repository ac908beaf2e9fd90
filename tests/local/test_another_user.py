"""`up` below another account, where the tests run as root."""

import json
import os
import pwd
import shutil
from pathlib import Path

import pytest

from .accounts import NOBODY, as_nobody
from .cockpit import Cockpit

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def test_it_works_without_any_rights_and_leaves_nothing(place: Path) -> None:
    command = [*as_nobody(place), "-m", "celeryctl"]
    user, folder = pwd.getpwnam(NOBODY), place / "work"
    folder.mkdir()
    os.chown(folder, user.pw_uid, user.pw_gid)
    cockpit = Cockpit(folder, {"HOME": str(folder), "TMPDIR": str(folder)}, command)
    try:
        done = cockpit.run("up", "--once", "--json", "--sources", "local")
        assert done.returncode == 0, done
        assert json.loads(done.stdout)["users_with_both"] == 10
        assert (cockpit.home / "postgres" / "data").stat().st_uid == user.pw_uid
        assert cockpit.ok("users", "list", "--json")
        assert not cockpit.left()
        assert cockpit.run("down", "--data", "--yes").returncode == 0
        shutil.rmtree(cockpit.home)
        folder.chmod(0o555)
        refused = cockpit.run("up", "--once", "--sources", "local")
        assert refused.returncode in {1, 2}, refused
        assert [line[:6] for line in refused.stderr.splitlines()] == ["Error:", "  why:", "  fix:"]
        assert not list(folder.iterdir())
    finally:
        cockpit.clear()
