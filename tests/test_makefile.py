"""The Makefile: what it runs, what it does when nothing changed, and what it survives."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Stands in for celeryctl: says how it was called and, with "wait", how often it was interrupted.
STUB = """\
import os, signal, sys, time
interrupts = []
signal.signal(signal.SIGINT, lambda *_: interrupts.append(1))
print("up", *sys.argv[1:], flush=True)
deadline = time.monotonic() + (20 if "wait" in sys.argv else 0)
while not interrupts and time.monotonic() < deadline:
    time.sleep(0.01)
if "wait" in sys.argv:
    time.sleep(0.3)
    print("interrupts", len(interrupts), flush=True)
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the Makefile needs, in a folder with spaces; its environment is a stub that says how it is run."""
    folder = tmp_path / "a folder with spaces"
    binaries = folder / ".venv" / "bin"
    binaries.mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "requirements.lock", "requirements-dev.lock", "requirements-tools.lock"):
        shutil.copy(ROOT / name, folder)
    (binaries / "python").symlink_to(sys.executable)
    (folder / "stub.py").write_text(STUB)
    (binaries / "celeryctl").write_text(f'#!/bin/sh\nexec "{sys.executable}" stub.py "$@"\n')
    (binaries / "celeryctl").chmod(0o755)
    (folder / ".venv" / ".folder").write_text(f"{folder.resolve()}\n")
    (folder / ".venv" / ".run").touch()
    return folder


def inherited() -> dict[str, str]:
    """Our environment without what an outer make says about itself."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}


def make(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments],
        cwd=folder,
        env=inherited() | environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.unit
def test_make_help_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = next(line for line in makefile.splitlines() if line.startswith(".PHONY: run")).split()[1:]
    listed = make(ROOT, "help").stdout.splitlines()
    assert [line.split()[1] for line in listed] == targets
    assert {"run", "test", "test-all", "lint", "cassettes", "pictures", "sbom", "help"} <= set(targets)
    assert make(ROOT).stdout.splitlines() == listed


@pytest.mark.integration
def test_make_run_starts_at_once_when_nothing_changed(checkout: Path) -> None:
    done = make(checkout, "run", "ARGS=--flower --workers 2")
    assert (done.stdout, done.stderr, done.returncode) == ("up up --flower --workers 2\n", "", 0)


@pytest.mark.integration
def test_an_interrupt_reaches_celeryctl_once_and_make_waits_for_it(checkout: Path) -> None:
    with subprocess.Popen(
        ["make", "run", "ARGS=wait"],
        cwd=checkout,
        env=inherited(),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as running:
        assert running.stdout
        assert running.stdout.readline() == "up up wait\n"
        # As a terminal does it: to every process of the group.
        os.killpg(running.pid, signal.SIGINT)
        assert running.stdout.read() == "interrupts 1\n"
        assert running.wait(timeout=20) != 0


@pytest.mark.integration
@pytest.mark.parametrize("changed", ["pyproject.toml", "requirements.lock"])
def test_what_changed_is_installed_again(checkout: Path, changed: str) -> None:
    assert "pip" not in make(checkout, "--dry-run", "run").stdout
    later = (checkout / ".venv" / ".run").stat().st_mtime + 10
    os.utime(checkout / changed, (later, later))
    assert "install --require-hashes -r requirements.lock" in make(checkout, "--dry-run", "run").stdout


@pytest.mark.integration
def test_an_environment_that_was_moved_is_made_anew(checkout: Path) -> None:
    moved = checkout.rename(checkout.with_name("moved elsewhere"))
    planned = make(moved, "--dry-run", "run").stdout
    assert planned.index("-m venv --clear .venv") < planned.index("install --require-hashes")


@pytest.mark.slow
@pytest.mark.integration
def test_the_users_own_environment_does_not_redirect_the_installation(checkout: Path, tmp_path: Path) -> None:
    shutil.rmtree(checkout / ".venv")
    hostile = {"PYTHONHOME": "/nowhere", "VIRTUAL_ENV": "/nowhere", "PIP_TARGET": "/nowhere", "PIP_USER": "1"}
    (checkout / "show.mk").write_text("include Makefile\nshow:\n\t@env\n")
    made = make(checkout, ".venv/.folder", PYTHON=sys.executable, **hostile)
    assert made.returncode == 0, made.stderr
    assert (checkout / ".venv" / "bin" / "pip").exists()
    seen = make(checkout, "-f", "show.mk", "show", PIP_INDEX_URL="https://mirror.example/simple", **hostile).stdout
    assert "/nowhere" not in seen
    assert "PIP_USER=0\n" in seen
    assert "PIP_INDEX_URL=https://mirror.example/simple\n" in seen


@pytest.mark.integration
def test_without_a_python_that_is_new_enough_make_says_what_to_install(checkout: Path, tmp_path: Path) -> None:
    shutil.rmtree(checkout / ".venv")
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("make", "sh", "cat"):
        (tools / name).symlink_to(shutil.which(name) or "")
    (tools / "python3").write_text("#!/bin/sh\necho too old\nexit 1\n")
    (tools / "python3").chmod(0o755)
    refused = make(checkout, "run", PATH=str(tools))
    assert refused.returncode == 2
    assert refused.stdout == ""
    assert refused.stderr.startswith("No Python 3.11 or newer with venv was found.\n")
    assert "python3-venv" in refused.stderr
