"""What is installed and shipped: the package's metadata, the locks, the wheel."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = {
    "requirements.lock": ("local", "flower"),
    "requirements-dev.lock": ("local", "flower", "test", "dev"),
}
TOOLS, FUZZ = "requirements-tools.lock", "requirements-fuzz.lock"
# Below these, versions have vulnerabilities that are known and that we would be open to.
FLOORS = {"flower": "2.1", "requests": "2.33", "urllib3": "2.7", "redis": "6.4"}
CACHES = {"__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"}


def pins(lock: str) -> list[Requirement]:
    """The pinned requirements of a lock, without their hashes."""
    return [Requirement(line.rstrip(" \\")) for line in (ROOT / lock).read_text().splitlines() if re.match(r"\w", line)]


def wanted(*extras: str) -> list[Requirement]:
    """What pyproject.toml asks for, with these extras and what builds the package."""
    optional = PROJECT["project"]["optional-dependencies"]
    lines = [*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["build"]]
    lines += [line for extra in extras for line in optional[extra]]
    return [requirement for line in lines if (requirement := Requirement(line)).name != "celeryctl"]


@pytest.mark.unit
def test_the_extras_and_the_command_are_the_documented_ones() -> None:
    assert set(PROJECT["project"]["optional-dependencies"]) == {"local", "flower", "test", "dev"}
    assert PROJECT["project"]["scripts"] == {"celeryctl": "celeryctl.cli.app:main"}
    assert PROJECT["project"]["requires-python"] == ">=3.11"


@pytest.mark.unit
def test_what_builds_the_package_is_what_is_locked() -> None:
    assert PROJECT["build-system"]["requires"] == PROJECT["dependency-groups"]["build"]


@pytest.mark.unit
def test_requirements_txt_installs_the_package_itself() -> None:
    lines = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    assert lines == ["-e .[local,flower]"]


@pytest.mark.unit
@pytest.mark.parametrize("lock", [*LOCKS, TOOLS, FUZZ])
def test_a_lock_names_hashes_and_neither_hosts_nor_paths(lock: str) -> None:
    lines = [line for line in (ROOT / lock).read_text().splitlines() if not line.startswith("#")]
    pin = re.compile(r"[a-z0-9][a-z0-9-]*(\[[a-z,-]+\])?==[0-9a-z.]+( ; [\w .'<>=!()]+)? \\")
    digest = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")
    assert [line for line in lines if not pin.fullmatch(line) and not digest.fullmatch(line)] == []
    # A line that does not go on is the last hash of its pin, so every pin has one.
    assert sum(1 for line in lines if pin.fullmatch(line)) == sum(1 for line in lines if not line.endswith("\\"))


@pytest.mark.unit
@pytest.mark.parametrize(("lock", "extras"), LOCKS.items())
def test_a_lock_holds_what_pyproject_asks_for(lock: str, extras: tuple[str, ...]) -> None:
    pinned = {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in pins(lock)}
    unmet = [
        str(requirement)
        for requirement in wanted(*extras)
        if not requirement.specifier.contains(pinned.get(canonicalize_name(requirement.name), "0"))
    ]
    assert unmet == [], "run: make lock"


@pytest.mark.unit
def test_the_tools_that_are_locked_are_those_asked_for() -> None:
    pinned = {pin.name: str(pin.specifier).removeprefix("==") for pin in pins(TOOLS)}
    asked = [Requirement(line) for line in PROJECT["dependency-groups"]["tools"]]
    assert [str(one) for one in asked if not one.specifier.contains(pinned.get(one.name, "0"))] == [], "run: make lock"


@pytest.mark.unit
@pytest.mark.parametrize("script", ["Makefile", "Dockerfile", ".ci/run"])
def test_whatever_is_installed_is_checked_against_hashes_or_comes_from_here(script: str) -> None:
    text = (ROOT / script).read_text().replace("\\\n", " ")
    calls = [line.strip() for line in text.splitlines() if re.search(r"(pip|\(PIP\))\s.*\binstall\b", line)]
    assert calls
    checked = re.compile(r"install .*--require-hashes -r (\$<|requirements(-dev)?\.lock)")
    ours = re.compile(r"install .*--no-deps --no-build-isolation (-e|--editable)? ?\.(\s|$)")
    assert [call for call in calls if not checked.search(call) and not ours.search(call)] == []


@pytest.mark.unit
@pytest.mark.parametrize("name", FLOORS)
def test_no_version_is_wanted_or_locked_below_the_known_vulnerabilities(name: str) -> None:
    floor = Version(FLOORS[name])
    (asked,) = [one for one in wanted("flower") if one.name == name]
    lowest = [Version(one.version) for one in asked.specifier if one.operator == ">="]
    assert [version >= floor for version in lowest] == [True]
    for lock in LOCKS:
        (pinned,) = [pin for pin in pins(lock) if pin.name == name]
        assert [Version(one.version) >= floor for one in pinned.specifier] == [True]


@pytest.mark.unit
def test_the_locks_agree() -> None:
    # In their versions; the tests' tools may want one with an extra, or on more systems.
    shipped, developed = (
        {(pin.name, str(pin.specifier)) for pin in pins(f"requirements{which}.lock")} for which in ("", "-dev")
    )
    assert shipped <= developed


@pytest.mark.unit
def test_what_the_image_copies_is_not_hidden_from_its_build() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    names = {name for line in copies for name in line.split()}
    assert names == kept
    assert all((ROOT / name).exists() for name in names)


@pytest.mark.integration
def test_the_wheel_holds_every_file_of_the_package(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="the build backend is not installed here: make test installs it")
    build = "import sys, hatchling.build as backend; print(backend.build_wheel(sys.argv[1]))"
    built = subprocess.run(
        [sys.executable, "-c", build, tmp_path], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()
    with zipfile.ZipFile(tmp_path / built) as wheel:
        shipped = {name for name in wheel.namelist() if ".dist-info/" not in name}
        entry_points = wheel.read(f"{'-'.join(built.split('-')[:2])}.dist-info/entry_points.txt").decode()
    package = (path.relative_to(ROOT) for path in (ROOT / "celeryctl").rglob("*") if path.is_file())
    assert shipped == {str(path) for path in package if not CACHES & set(path.parts)}
    assert {"celeryctl/py.typed", "celeryctl/local/users.json"} <= shipped
    assert any(re.fullmatch(r"celeryctl/storage/migrations/0001\w*\.py", name) for name in shipped)
    assert "celeryctl = celeryctl.cli.app:main" in entry_points
