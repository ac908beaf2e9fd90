"""A broker with an append-only file whose disk is full: it refuses to write, or ends, and is well again later."""

import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis
from waiting import eventually

from .kit import Recovery, Stage, pass_time
from .outage import assert_gets_over

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(500)]

SIZE = 1 << 20  # bytes
BOUND = 40  # seconds after there is room again


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small one."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(place)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("fsync", ["always", "everysec"])  # it ends, or refuses what would change something
def test_the_cluster_gets_over_a_broker_whose_disk_is_full(
    fsync: str, disk: Path, tmp_path: Path, recovery: Recovery
) -> None:
    def full(stage: Stage) -> None:
        ballast = disk / "ballast"
        with ballast.open("wb", buffering=0) as file:
            file.write(bytes(SIZE))
        eventually(lambda: not can_write(stage), within=60)
        eventually(lambda: stage.broker.lives == (fsync == "everysec"))  # it may be about to end
        pass_time(15)
        ballast.unlink()
        if not stage.broker.lives:
            stage.broker.start()

    kept = (f"dir {disk}", "appendonly yes", f"appendfsync {fsync}")
    assert_gets_over(full, {"broker_settings": kept}, tmp_path, recovery, bound=BOUND)


def can_write(stage: Stage) -> bool:
    with closing(redis.Redis.from_url(stage.broker.url)) as client:
        try:
            return bool(client.info("persistence")["aof_last_write_status"] == "ok")
        except redis.ConnectionError:
            return False
