import os
import stat
from pathlib import Path

import pytest

from celeryctl import home as homes
from celeryctl.errors import HomeError, SettingsError
from celeryctl.local.logfiles import open_log
from celeryctl.settings import Environment

pytestmark = pytest.mark.unit

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
not_as_root = pytest.mark.skipif(os.geteuid() == 0, reason="root can write everywhere")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_home_is_in_this_folder_where_there_is_none_yet(tmp_path: Path) -> None:
    assert homes.find({}, tmp_path) == tmp_path / ".celeryctl"
    assert not list(tmp_path.iterdir())


def test_the_nearest_home_above_is_found(tmp_path: Path) -> None:
    home = homes.create(tmp_path / ".celeryctl")
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert homes.find({}, below) == home
    nearer = homes.create(tmp_path / "a" / ".celeryctl")
    assert homes.find({}, below) == nearer


def test_the_environment_names_the_home(tmp_path: Path) -> None:
    homes.create(tmp_path / ".celeryctl")
    assert homes.find({"CELERYCTL_HOME": "/elsewhere"}, tmp_path) == Path("/elsewhere")
    assert homes.find({"CELERYCTL_HOME": "other"}, tmp_path) == tmp_path / "other"
    assert homes.find({"CELERYCTL_HOME": ""}, tmp_path) == tmp_path / ".celeryctl"


@as_root
def test_a_home_of_another_user_is_passed_over(tmp_path: Path) -> None:
    ours = homes.create(tmp_path / ".celeryctl")
    theirs = homes.create(tmp_path / "a" / ".celeryctl")
    os.chown(theirs, 1001, 1001)
    assert homes.distrust(theirs) == "belongs to user 1001"
    assert homes.find({}, theirs.parent) == ours
    assert list(homes.candidates(theirs.parent))[:2] == [theirs, ours]
    with pytest.raises(HomeError, match="belongs to user 1001"):
        homes.create(theirs)


@pytest.mark.parametrize("writable", [0o777, 0o702])
def test_a_home_that_others_can_write_to_is_passed_over(tmp_path: Path, writable: int) -> None:
    bad = homes.create(tmp_path / "a" / ".celeryctl")
    bad.chmod(writable)
    assert homes.distrust(bad) == "can be written by others"
    assert homes.find({}, bad.parent / "b") == bad.parent / "b" / ".celeryctl"
    assert homes.running(bad) is None
    with pytest.raises(HomeError) as caught:
        homes.create(bad)
    assert caught.value.fix == f"chmod go-w {bad}"


@as_root
def test_only_the_group_of_this_user_alone_may_write(tmp_path: Path) -> None:
    home = homes.create(tmp_path / ".celeryctl")
    os.chown(home, 0, 65534)
    home.chmod(0o770)
    assert homes.distrust(home) == "can be written by others"


def test_a_private_group_may_write(tmp_path: Path) -> None:
    home = homes.create(tmp_path / ".celeryctl")
    home.chmod(0o770)
    if not homes._is_private_group(home.stat().st_gid):
        pytest.skip("this user's group has other members")
    assert homes.distrust(home) is None


@as_root
def test_a_link_that_another_user_made_is_not_followed(tmp_path: Path) -> None:
    ours = homes.create(tmp_path / "ours")
    link = tmp_path / ".celeryctl"
    link.symlink_to(ours)
    assert homes.distrust(link) is None
    os.chown(link, 1001, 1001, follow_symlinks=False)
    assert homes.distrust(link) == "belongs to user 1001"


@as_root
def test_what_another_user_has_put_in_its_place_since_it_was_looked_at_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = homes.create(tmp_path / ".celeryctl")
    homes.write_private(home / "up.json", '{"pid": 1}')
    homes.write_private(tmp_path / ".env", "LOG_LEVEL=DEBUG")
    with homes.lock(home / "up.lock"):
        assert homes.running(home) == {"pid": 1}
        for path in (home, home / "up.json", tmp_path / ".env"):
            os.chown(path, 1001, 1001)
        monkeypatch.setattr(homes, "distrust", lambda path: None)  # as it was when it was asked
        assert homes.running(home) is None
    with pytest.raises(SettingsError, match="belongs to another user"):
        Environment.read({}, tmp_path)


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_nobody_else_can_write_where_the_home_is_made_under_any_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        home = homes.create(tmp_path / "a" / "b" / ".celeryctl")
        homes.write_private(home / "key", "secret")
        open_log(home, "beat").close()
        with homes.lock(home / "lock"):
            pass
    finally:
        os.umask(before)
    assert [mode(path) for path in (tmp_path / "a", tmp_path / "a" / "b")] == [0o755 & ~umask] * 2
    assert {path.name: mode(path) for path in home.rglob("*") if mode(path) & 0o077} == {}


def test_what_does_not_exist_is_trusted(tmp_path: Path) -> None:
    assert homes.distrust(tmp_path / "nothing") is None


def test_the_project_is_the_folder_around_the_home(tmp_path: Path) -> None:
    assert homes.project(tmp_path / ".celeryctl") == tmp_path


def test_a_new_home_is_private_and_invisible_to_git(tmp_path: Path) -> None:
    home = homes.create(tmp_path / "a" / ".celeryctl")
    assert mode(home) == 0o700
    assert mode(home / ".gitignore") == 0o600
    assert (home / ".gitignore").read_text() == "*\n"
    assert homes.create(home) == home


def test_a_folder_with_other_things_in_it_is_left_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir(mode=0o755)
    (folder / "notes").touch()
    homes.create(folder)
    assert mode(folder) == 0o755
    assert [path.name for path in folder.iterdir()] == ["notes"]


def test_a_file_in_the_place_of_the_home_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / ".celeryctl").touch(mode=0o600)
    with pytest.raises(HomeError) as caught:
        homes.create(tmp_path / ".celeryctl")
    assert caught.value.exit_code == 1
    assert "CELERYCTL_HOME" in caught.value.fix


@not_as_root
def test_a_home_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    home = homes.create(tmp_path / ".celeryctl")
    home.chmod(0o500)
    with pytest.raises(HomeError, match="cannot be written"):
        homes.create(home)
    with pytest.raises(HomeError, match="Permission denied"):
        homes.write_private(home / "key", "secret")


def test_a_private_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("old")
    path.chmod(0o644)
    homes.write_private(path, "new")
    assert (path.read_text(), mode(path)) == ("new", 0o600)
    with pytest.raises(UnicodeEncodeError):
        homes.write_private(path, "\ud800")
    assert (path.read_text(), [found.name for found in tmp_path.iterdir()]) == ("new", ["key"])
