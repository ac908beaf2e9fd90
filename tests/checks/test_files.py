import os
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from celeryctl.checks.catalogue import SECTIONS, checks
from celeryctl.checks.configuration import narrow
from celeryctl.checks.patient import Patient

from .kit import look, mend

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that commands run in and that names its home by being there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CELERYCTL_HOME")
    return tmp_path


@pytest.fixture
def home(folder: Path) -> Path:
    home = folder / ".celeryctl"
    home.mkdir(0o700)
    return home


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_check_comes_after_what_it_needs_and_sections_are_whole(folder: Path) -> None:
    found = checks(Patient())
    names = [check.name for check in found]
    assert len(set(names)) == len(names)
    for check in found:
        assert all(names.index(need) < names.index(check.name) for need in check.needs)
    sections = [check.section for check in found]
    assert sections == sorted(sections, key=SECTIONS.index)
    assert set(sections) == set(SECTIONS)


def test_nothing_there_yet_is_well_and_nothing_is_made(folder: Path) -> None:
    for name in ("home", ".env", "card key", "disk space"):
        assert look(name).state == "ok"
        assert list(folder.iterdir()) == []


def test_a_home_of_ones_own_is_well(home: Path) -> None:
    assert look("home").state == "ok"


def test_a_home_that_others_can_write_is_closed_to_them_and_keeps_the_rest_of_its_mode(home: Path) -> None:
    home.chmod(0o757)
    found = look("home")
    assert (found.state, found.fix) == ("failed", f"chmod go-w {home}")
    assert "look at what is in it" in mend("home")
    assert mode(home) == 0o755
    assert look("home").state == "ok"


def test_a_home_that_is_passed_over_for_another_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = home.parent / "inner"
    (inner / ".celeryctl").mkdir(parents=True)
    (inner / ".celeryctl").chmod(0o777)
    monkeypatch.chdir(inner)
    found = look("home")
    assert found.state == "failed"
    assert str(inner / ".celeryctl") in found.why
    assert look("settings").state == "ok"  # told once
    mend("home")
    assert mode(inner / ".celeryctl") == 0o755


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_home_of_somebody_else_is_left_alone(home: Path) -> None:
    os.chown(home, 12345, 12345)
    home.chmod(0o777)
    found = look("home")
    assert (found.state, found.fix.split()[0]) == ("failed", "export")
    assert mend("home") == ""
    assert mode(home) == 0o777


@pytest.mark.parametrize(("given", "state"), [(0o600, "ok"), (0o644, "warning"), (0o666, "failed"), (0o640, "warning")])
def test_the_mode_of_env_is_looked_at_and_mended(folder: Path, given: int, state: str) -> None:
    env = folder / ".env"
    env.write_text("POSTGRES_PASSWORD=x\n")
    env.chmod(given)
    assert look(".env").state == state
    done = mend(".env")
    assert bool(done) == (state != "ok")
    assert ("others could write" in done) == (state == "failed")
    assert mode(env) == 0o600
    assert look(".env").state == "ok"


def test_an_env_that_sets_nothing_may_be_read_by_all(folder: Path) -> None:
    (folder / ".env").write_text("# BATCH_SIZE=1\n")
    (folder / ".env").chmod(0o644)
    assert look(".env").state == "ok"


def test_an_env_that_is_a_folder_is_somebodys_virtual_environment(folder: Path) -> None:
    (folder / ".env").mkdir()
    assert look(".env").state == "ok"


def test_narrowing_says_what_it_did_and_nothing_when_there_is_nothing_to_do(folder: Path) -> None:
    path = folder / "file"
    path.write_text("")
    path.chmod(0o644)
    assert narrow(path, 0o600) == f"chmod 600 {path}"
    assert narrow(path, 0o600) == ""


@pytest.mark.parametrize(("free", "state"), [(2**31, "ok"), (2**29, "warning"), (2**20, "failed")])
def test_little_room_on_the_disk_is_told(monkeypatch: pytest.MonkeyPatch, free: int, state: str) -> None:
    monkeypatch.setattr(psutil, "disk_usage", lambda place: SimpleNamespace(free=free))
    found = look("disk space")
    assert found.state == state
    assert found.fix.startswith("df -h") == (state != "ok")
