"""What a worker does before and after it forks its processes."""

import subprocess
import sys
from pathlib import Path

import pytest
from servers import KEY

pytestmark = pytest.mark.unit
SETTINGS = {
    "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "CARD_ENCRYPTION_KEYS": KEY,
}
APP = "import sys, gc\nfrom celery import signals\nfrom celeryctl.cluster.app import create_app\napp = create_app()\n"


def told(code: str, folder: Path) -> str:
    """What the code prints in a process of its own, after making an app."""
    done = subprocess.run(
        [sys.executable, "-c", APP + code], env=SETTINGS, cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_what_the_first_batch_needs_is_loaded_before_the_fork(tmp_path: Path) -> None:
    code = """
signals.worker_init.send(app)
before = set(sys.modules)
app.pipeline.client
print(*sorted(set(sys.modules) - before))
"""
    assert told(code, tmp_path) == ""


def test_a_forked_process_looks_for_garbage_neither_in_what_it_came_with_nor_all_the_time(tmp_path: Path) -> None:
    code = """
usual = gc.get_threshold()[0]
signals.worker_process_init.send(app)
print(gc.isenabled(), gc.get_freeze_count() > 10_000, gc.get_threshold()[0] > 10 * usual)
"""
    assert told(code, tmp_path) == "True True True"
