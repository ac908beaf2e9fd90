"""Where data sets come from: built in, in folders, files and modules, and out of installed packages."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from celeryctl import datasets
from celeryctl.cli import app
from celeryctl.datasets import addresses, credit_cards, users
from celeryctl.datasets.scaffold import write
from celeryctl.errors import DatasetError

pytestmark = pytest.mark.unit

Captured = pytest.CaptureFixture[str]
BROKEN = {
    "syntax": "def (",
    "import": "import no_such_module_anywhere",
    "raises": "1 / 0",
    "exits": "raise SystemExit(0)",
    "empty": "",
    "wrong": "DATASET = {'name': 'x'}",
    "null": "\0",
    "encoding": "# é".encode("latin-1"),
}


@pytest.fixture
def sets(tmp_path: Path) -> Path:
    return write("loyalty", tmp_path / "sets").parent


@pytest.fixture(params=BROKEN)
def broken(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"broken_{request.param}.py"
    text = BROKEN[request.param]
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_the_built_in_ones_come_parents_first() -> None:
    found = datasets.load()
    assert tuple(found) == datasets.BUILT_IN == ("users", "addresses", "credit_cards")
    assert {dataset.origin for dataset in found.values()} == {"built in"}
    assert datasets.further(found) == []


@pytest.mark.parametrize("module", [users, addresses, credit_cards])
def test_a_declaration_stays_short(module: object) -> None:
    assert len(Path(module.__file__).read_text().splitlines()) <= 45


def test_the_intervals_and_sources_are_those_of_the_contract() -> None:
    found = datasets.load()
    assert [one.every.total_seconds() for one in found.values()] == [300, 600, 900]
    assert [one.source.url for one in found.values()] == [
        "https://jsonplaceholder.typicode.com/users",
        "https://random-data-api.com/api/address/random_address",
        "https://random-data-api.com/api/business_credit_card/random_card",
    ]


@pytest.mark.parametrize("how", ["folder", "file", "relative", "module"])
def test_a_data_set_of_ones_own(how: str, sets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(sets)
    named = {"folder": str(sets), "file": str(sets / "loyalty.py"), "relative": "sets", "module": "loyalty"}[how]
    found = datasets.load([named], base=tmp_path)
    assert list(found) == [*datasets.BUILT_IN, "loyalty"]
    assert found["loyalty"].origin == ("module loyalty" if how == "module" else str(sets / "loyalty.py"))
    assert [model.__name__ for model in datasets.further(found)] == ["Loyalty"]
    sys.modules.pop("loyalty", None)


def test_of_a_folder_hidden_files_and_others_are_left(sets: Path) -> None:
    for name in ("_helper.py", ".hidden.py", "notes.txt", "__init__.py"):
        (sets / name).write_text("1 / 0")
    assert "loyalty" in datasets.load([str(sets)])


def test_a_file_that_does_not_load_is_named(broken: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        datasets.load([str(broken)])
    assert str(broken) in caught.value.what
    assert caught.value.why
    assert caught.value.exit_code == 2


def test_a_file_that_does_not_load_ends_a_command_in_three_lines(broken: Path, capsys: Captured) -> None:
    assert app.run(["dataset", "check", str(broken)]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert len(err.splitlines()) == 3
    assert str(broken) in err
    assert "Traceback" not in err


def test_every_command_refuses_data_sets_that_do_not_load(
    broken: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELERYCTL_DATASETS", str(broken))
    assert app.run(["dataset", "list"]) == 2
    assert str(broken) in capsys.readouterr().err


def test_a_wrong_declaration_names_its_file_too(sets: Path) -> None:
    path = sets / "loyalty.py"
    path.write_text(path.read_text().replace("minutes=10", "minutes=0"))
    with pytest.raises(DatasetError) as caught:
        datasets.load([str(path)])
    assert str(path) in caught.value.what
    assert "at least one second" in caught.value.why


@pytest.mark.parametrize("name", ["nowhere", "./nowhere", "/nowhere/at/all", "json"])
def test_what_is_neither_folder_nor_module_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        datasets.load([name], base=tmp_path)
    assert name in caught.value.what


def test_a_name_that_is_taken_is_refused_with_both_places(sets: Path) -> None:
    again = sets.parent / "again.py"
    again.write_text((sets / "loyalty.py").read_text())
    with pytest.raises(DatasetError, match="two data sets are called 'loyalty'") as caught:
        datasets.load([str(sets), str(again)])
    assert str(again) in caught.value.why
    assert str(sets / "loyalty.py") in caught.value.why


@pytest.mark.parametrize("table", ["users", "addresses", "runs", "batches", "misses", "workers", "sources", "readings",
                                   "dead_letters", "reveals", "celeryctl_migrations", "incoming_users"])  # fmt: skip
def test_a_table_that_is_taken_is_refused(sets: Path, table: str) -> None:
    path = sets / "loyalty.py"
    path.write_text(path.read_text().replace('table_name = "loyalty"', f'table_name = "{table}"'))
    with pytest.raises(DatasetError) as caught:
        datasets.load([str(path)])
    assert str(path) in str(caught.value)
    assert caught.value.exit_code == 2


LIST = """
import json
from celeryctl import datasets
print(json.dumps({name: dataset.origin for name, dataset in datasets.load().items()}))
"""


@pytest.fixture
def installed(sets: Path, tmp_path: Path) -> Callable[[str], "subprocess.CompletedProcess[str]"]:
    """Install a package that publishes a data set, and run code where it is installed."""

    def run(value: str) -> "subprocess.CompletedProcess[str]":
        site = tmp_path / "site"
        info = site / "crm_loyalty-1.0.dist-info"
        info.mkdir(parents=True)
        (site / "crm_loyalty.py").write_text((sets / "loyalty.py").read_text())
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: crm-loyalty\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[celeryctl.datasets]\nloyalty = {value}\n")
        (info / "RECORD").touch()
        environment = {**os.environ, "PYTHONPATH": str(site)}
        command = [sys.executable, "-c", LIST]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)

    return run


@pytest.mark.integration
@pytest.mark.parametrize("value", ["crm_loyalty:DATASET", "crm_loyalty"])
def test_an_installed_package_may_publish_one(
    installed: Callable[[str], "subprocess.CompletedProcess[str]"], value: str
) -> None:
    done = installed(value)
    assert done.stderr == ""
    assert json.loads(done.stdout)["loyalty"] == "published by crm-loyalty"


@pytest.mark.integration
@pytest.mark.parametrize("value", ["crm_loyalty:NOTHING", "nowhere_at_all:DATASET", "crm_loyalty:Loyalty"])
def test_a_published_one_that_does_not_load_names_its_package(
    installed: Callable[[str], "subprocess.CompletedProcess[str]"], value: str
) -> None:
    done = installed(value)
    assert "DatasetError" in done.stderr
    assert "published by crm-loyalty" in done.stderr
