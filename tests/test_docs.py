"""What the README and SECURITY.md say is there, is there; docs/generate.py writes and checks the former."""

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.unit
def test_what_stands_between_the_markers_is_replaced(generate: ModuleType) -> None:
    text = "before\n<!-- commands -->\nold\n<!-- /commands -->\nafter\n"
    assert generate.filled(text, "commands", "new") == "before\n<!-- commands -->\nnew\n<!-- /commands -->\nafter\n"


@pytest.mark.unit
@pytest.mark.parametrize("text", ["", "<!-- commands -->", "<!-- /commands -->"])
def test_a_missing_marker_is_an_error_that_names_it(generate: ModuleType, text: str) -> None:
    with pytest.raises(SystemExit, match="<!-- commands --> and <!-- /commands -->"):
        generate.filled(text, "commands", "new")


@pytest.mark.unit
def test_every_command_is_listed_with_its_own_options(generate: ModuleType) -> None:
    from celeryctl.cli.table import COMMANDS

    listed = generate.commands()
    assert [entry.name for entry in COMMANDS if f"`{entry.name}" not in listed] == []
    assert "`fetch DATASET [--sync]" in listed
    assert "`users show ID [--external]" in listed
    assert "--no-color" not in listed


@pytest.mark.unit
def test_every_setting_is_listed_with_its_default(generate: ModuleType) -> None:
    from celeryctl.settings import declared

    listed, example = generate.settings(), generate.example()
    for setting in declared(generate.sources()):
        assert f"| `{setting.variable}` | {f'`{setting.default}`' if setting.default else 'unset'} |" in listed
        assert f"\n# {setting.variable}=" in example


@pytest.mark.unit
def test_the_picture_loads_nothing_from_elsewhere(generate: ModuleType) -> None:
    drawn = generate.picture()
    assert "users" in drawn
    assert "url(http" not in drawn
    assert drawn == generate.picture()


@pytest.mark.unit
def test_what_was_measured_is_told_as_it_was_written(generate: ModuleType) -> None:
    told = generate.speed().splitlines()[2:]
    results = (ROOT / "benchmarks" / "results.md").read_text()
    assert len(told) == 5
    assert all(cell in results for line in told for cell in line.strip("| ").split(" | "))


@pytest.mark.integration
def test_a_check_of_what_is_up_to_date_says_nothing() -> None:
    check = [sys.executable, ROOT / "docs" / "generate.py", "--check"]
    done = subprocess.run(check, capture_output=True, text=True, check=False, cwd="/", timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


@pytest.mark.integration
def test_a_check_of_what_is_out_of_date_names_the_command_that_mends_it(tmp_path: Path) -> None:
    documents = {"README.md": ("commands", "settings", "speed"), "docs/operations.md": ("log", "metrics")}
    (tmp_path / "docs").mkdir()
    for name, parts in documents.items():
        (tmp_path / name).write_text("".join(f"<!-- {part} --><!-- /{part} -->" for part in parts))
    for name in ("docs/generate.py", "docs/stats.json", "benchmarks/results.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    done = subprocess.run(
        [sys.executable, tmp_path / "docs" / "generate.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "README.md is out of date; run: make readme",
        "docs/operations.md is out of date; run: make readme",
        ".env.example is out of date; run: make readme",
        "docs/stats.svg is out of date; run: make pictures",
    ]


def functions_of(path: Path) -> set[str]:
    """The names of the test functions in a file; none where there is no such file."""
    parsed = ast.parse(path.read_text() if path.exists() else "")
    return {node.name for node in ast.walk(parsed) if isinstance(node, ast.FunctionDef)}


@pytest.mark.unit
def test_every_test_that_proves_a_protection_is_there() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", (ROOT / "SECURITY.md").read_text())
    assert len(named) > 20
    assert [f"{path}::{name}" for path, name in named if name not in functions_of(ROOT / path)] == []
