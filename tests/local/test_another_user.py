"""`up` below another account, where the tests run as root."""

import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import celeryctl

from .cockpit import Cockpit

pytestmark = [pytest.mark.integration, pytest.mark.slow]

NOBODY = "nobody"
UNNEEDED = shutil.ignore_patterns("test", "site-packages", "__pycache__", "*.a", "include", "share", "idlelib")


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that everybody can pass, and that nobody else owns."""
    with tempfile.TemporaryDirectory(prefix="celeryctl-tests-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def starts(command: list[str]) -> bool:
    return subprocess.run([*command, "-c", "import celery, redis"], cwd="/", capture_output=True).returncode == 0


def as_nobody(place: Path) -> list[str]:
    """What starts our Python as that user; the test is skipped where the user cannot reach what that takes."""
    runuser = shutil.which("runuser")
    if os.geteuid() != 0 or not runuser:
        pytest.skip("only root can become another user, with runuser")
    packages = [str(Path(celeryctl.__file__).parents[1]), *(entry for entry in sys.path if "site-packages" in entry)]
    become = [runuser, "-u", NOBODY, "--", "env", "-u", "COVERAGE_PROCESS_START", "-u", "COVERAGE_PROCESS_CONFIG"]
    become.append(f"PYTHONPATH={os.pathsep.join(packages)}")
    if starts([*become, sys.executable]):
        return [*become, sys.executable]
    # Root's own Python lies where nobody else may look: take a copy of it, and of its library.
    shutil.copytree(sys.base_prefix, place / "python", ignore=UNNEEDED, symlinks=True)
    copy = str(place / "python" / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}")
    become.append(f"LD_LIBRARY_PATH={place / 'python' / 'lib'}")
    if not starts([*become, copy]):
        pytest.skip(f"{NOBODY} can reach neither this Python, nor a copy of it, with these packages")
    return [*become, copy]


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
