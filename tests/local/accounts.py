"""Other users of this machine, where the tests run as root: one that we become, and one that is a stranger to all."""

import json
import os
import shutil
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

import celeryctl

NOBODY = "nobody"
UNNEEDED = shutil.ignore_patterns("test", "site-packages", "__pycache__", "*.a", "include", "share", "idlelib")
STRANGER = 54321  # no account, and nothing of anybody's belongs to it


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


def as_stranger(work: Callable[[], list[str]]) -> list[str]:
    """What the work returns in a child with the rights of somebody whom nobody knows."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(STRANGER, STRANGER, STRANGER)
            os.setresuid(STRANGER, STRANGER, STRANGER)
            os.write(writer, json.dumps(work()).encode())
        except BaseException:  # noqa: BLE001 - the child must not return into pytest
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        text = answer.read()
    assert os.waitpid(child, 0)[1] == 0
    found: list[str] = json.loads(text)
    return found
