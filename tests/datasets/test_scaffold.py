"""`dataset new`: a file that works as it is."""

import keyword
from pathlib import Path

import peewee
import pytest

from celeryctl import datasets
from celeryctl.cli import app
from celeryctl.datasets.scaffold import write
from celeryctl.errors import UsageError
from celeryctl.pipeline.decode import decode
from celeryctl.pipeline.trial import inspect
from celeryctl.storage.user import User

pytestmark = pytest.mark.unit

Captured = pytest.CaptureFixture[str]
AWKWARD = [
    "user",
    "record",
    "dataset",
    "source",
    "row",
    "any",
    "struct",
    "email",
    "name",
    "id",
    "none",
    "true",
    "class",
]


def test_what_is_written_loads_fits_and_decodes(tmp_path: Path) -> None:
    path = write("crm_loyalty", tmp_path / "new" / "sets")
    found = datasets.load([str(path)])["crm_loyalty"]
    assert path == tmp_path / "new" / "sets" / "crm_loyalty.py"
    assert len(path.read_text().splitlines()) <= 40
    assert len(list(inspect({"crm_loyalty": found}, b'[{"external_id": 1, "tier": "gold"}]'))) == 2
    assert found.help == "Crm loyalty of every user."
    assert decode(found, b'{"external_id": 1, "tier": "gold"}')[0][1] == {"tier": "gold"}


@pytest.mark.parametrize("name", [*AWKWARD, *(word.lower() for word in keyword.kwlist), "a" * 40])
def test_a_name_that_python_or_the_file_uses_otherwise_works_too(name: str, tmp_path: Path) -> None:
    path = write(name, tmp_path)
    assert list(inspect({name: datasets.load([str(path)])[name]}, None))
    assert all(isinstance(getattr(User, field), peewee.Field) for field in User._meta.fields)


@pytest.mark.parametrize(
    "name", ["", "Loyalty", "a-b", "../x", "9", "a" * 41, "all", "redis", "database", "runs", "users"]
)
def test_a_name_that_cannot_be_used_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        write(name, tmp_path)
    assert repr(name) in caught.value.what
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "loyalty.py").write_text("mine")
    with pytest.raises(UsageError, match="is there already"):
        write("loyalty", tmp_path)
    assert (tmp_path / "loyalty.py").read_text() == "mine"


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/self/nowhere"])
def test_a_folder_that_cannot_be_written_is_told(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError) as caught:
        write("loyalty", tmp_path / place)
    assert "loyalty.py" in caught.value.what
    assert caught.value.exit_code == 2


def test_the_command_says_where_it_is_and_how_to_go_on(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert app.run(["dataset", "new", "loyalty"]) == 0
    out, err = capsys.readouterr()
    assert out == "datasets/loyalty.py\n"
    assert "CELERYCTL_DATASETS=datasets celeryctl dataset check datasets/loyalty.py" in err
    assert app.run(["dataset", "check", "datasets/loyalty.py"]) == 0
    assert app.run(["dataset", "new", "loyalty"]) == 2
    assert "is not overwritten" in capsys.readouterr().err
