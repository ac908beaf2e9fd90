import os
import shutil
import stat
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from celeryctl.errors import LocalServerError
from celeryctl.local import wheels
from celeryctl.local.account import SYSTEM, Account, _make_public
from celeryctl.local.postgres import Postgres, lease
from celeryctl.local.postmaster import Postmaster

from .embedded import ask, ensure_with, install_wheel, postmaster

pytestmark = pytest.mark.integration

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def folder_of_nobody() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="celeryctl tests ") as name:
        os.chown(name, 65534, 65534)
        yield Path(name)


def succeeds_as_nobody(work: Callable[[], None]) -> bool:
    """Run the work in a child with the rights of `nobody`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] == 0
    try:
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
        work()
    except BaseException:  # noqa: BLE001 - the child must not return into pytest
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


@as_root
def test_another_user_has_everything_in_the_home(folder_of_nobody: Path) -> None:
    home = folder_of_nobody / ".celeryctl"
    if not Account(folder_of_nobody, 65534, 65534).can_run(wheels.postgres() / "initdb"):
        pytest.skip("the wheel lies where only root can read it")

    def work() -> None:
        with lease(home, create=True) as url:
            assert ask(str(url), "SELECT 1") == "1"
            assert postmaster(home).uids().effective == 65534
        assert not Postmaster(home).alive
        assert (home / "postgres" / "data").exists()

    assert succeeds_as_nobody(work)
    assert Postgres(home).exists() is False


@as_root
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_below_root_it_runs_without_rights_and_changes_nobodys_folder(new_home: Path) -> None:
    before = [(folder, folder.stat().st_mode) for folder in new_home.parents]
    Postgres(new_home).ensure()
    account = Account.of(new_home)
    assert account.folder.parent == Path("/var/lib/celeryctl")
    assert account.uid != 0
    server = postmaster(new_home)
    assert (set(server.uids()), set(server.gids())) == ({account.uid}, {account.gid})
    assert "Groups:\t \n" in Path(f"/proc/{server.pid}/status").read_text()
    assert [(folder, folder.stat().st_mode) for folder in new_home.parents] == before
    assert (new_home / "postgres" / "password").stat().st_uid == 0
    assert stat.S_IMODE(account.folder.parent.stat().st_mode) == 0o755


@as_root
@pytest.mark.slow
def test_below_root_a_wheel_in_a_private_folder_is_copied_for_the_account(new_home: Path) -> None:
    new_home.parent.chmod(0o700)
    install_wheel(new_home.parent)
    before = set(SYSTEM.glob("postgresql-*"))
    try:
        assert ask(ensure_with(new_home.parent, new_home), "SELECT 1") == "1"
        assert Path(postmaster(new_home).exe()).is_relative_to(SYSTEM)
        assert stat.S_IMODE(new_home.parent.stat().st_mode) == 0o700
    finally:
        Postgres(new_home).remove()
        for made in set(SYSTEM.glob("postgresql*")) - before:
            shutil.rmtree(made) if made.is_dir() else made.unlink()


def test_a_folder_for_everybody_is_passable_under_any_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        _make_public(tmp_path / "public")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "public").stat().st_mode) == 0o755


def test_a_folder_for_everybody_is_never_writable_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "chmod", lambda *_: None)  # as it is the instant before
    before = os.umask(0)
    try:
        _make_public(tmp_path / "public")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "public").stat().st_mode) == 0o755


@pytest.mark.parametrize(("mode", "reason"), [(0o777, "written by others"), (0o700, "cannot pass")])
def test_a_folder_that_others_could_have_filled_or_cannot_pass_is_refused(
    tmp_path: Path, mode: int, reason: str
) -> None:
    tmp_path.chmod(mode)
    with pytest.raises(LocalServerError, match=reason):
        _make_public(tmp_path)


def test_what_cannot_be_run_is_told(tmp_path: Path) -> None:
    account = Account(tmp_path, os.geteuid(), os.getegid())
    with pytest.raises(LocalServerError, match="No such file"):
        account.run(tmp_path / "initdb")


def test_a_secret_is_private_and_gone_afterwards(tmp_path: Path) -> None:
    account = Account(tmp_path, os.geteuid(), os.getegid())
    (tmp_path / "secret").symlink_to(tmp_path / "target")
    with account.secret("word") as path:
        assert (tmp_path / path).read_text() == "word"
        assert stat.S_IMODE((tmp_path / path).stat().st_mode) == 0o600
    assert not list(tmp_path.iterdir())


@as_root
def test_an_account_that_cannot_reach_an_executable_cannot_run_it(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    executable = tmp_path / "program"
    executable.write_text("#!/bin/sh\n")
    executable.chmod(0o755)
    assert Account(tmp_path, 0, 0).can_run(executable)
    assert not Account(Path("/"), 65534, 65534).can_run(executable)
