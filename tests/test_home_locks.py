import json
import os
import stat
from pathlib import Path

import pytest

from celeryctl import home as homes
from celeryctl.errors import HomeError

pytestmark = pytest.mark.unit


def test_an_exclusive_lock_keeps_everybody_else_out(tmp_path: Path) -> None:
    path = tmp_path / "one.lock"
    assert not homes.held(path)
    assert not path.exists()
    with homes.lock(path) as first, homes.lock(path, wait=False) as second:
        assert (first, second) == (True, False)
        assert homes.held(path)
        with homes.lock(path, shared=True, wait=False) as third:
            assert not third
    assert not homes.held(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_shared_lock_keeps_only_the_exclusive_one_out(tmp_path: Path) -> None:
    path = tmp_path / "one.lock"
    with homes.lock(path, shared=True) as first, homes.lock(path, shared=True, wait=False) as second:
        assert (first, second) == (True, True)
        with homes.lock(path, wait=False) as alone:
            assert not alone
    with homes.lock(path, wait=False) as alone:
        assert alone


def test_a_lock_goes_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "one.lock"
    child = os.fork()
    if not child:
        with homes.lock(path):
            os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    with homes.lock(path, wait=False) as locked:
        assert locked


def test_a_lock_where_nothing_can_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(HomeError, match="No such file"), homes.lock(tmp_path / "nothing" / "one.lock"):
        pass


def test_an_up_is_running_as_long_as_it_holds_its_lock(tmp_path: Path) -> None:
    home = homes.create(tmp_path / ".celeryctl")
    assert homes.running(home) is None
    homes.write_private(home / "up.json", json.dumps({"pid": 7}))
    assert homes.running(home) is None
    with homes.lock(home / "up.lock"):
        assert homes.running(home) == {"pid": 7}
    assert homes.running(home) is None


@pytest.mark.parametrize("written", ["", "[]", None])
def test_an_up_that_has_said_nothing_yet_is_not_taken_for_ready(tmp_path: Path, written: str | None) -> None:
    home = homes.create(tmp_path / ".celeryctl")
    if written is not None:
        homes.write_private(home / "up.json", written)
    with homes.lock(home / "up.lock"):
        assert homes.running(home) is None


def test_asking_whether_an_up_is_running_creates_nothing(tmp_path: Path) -> None:
    assert homes.running(tmp_path / ".celeryctl") is None
    assert not list(tmp_path.iterdir())
