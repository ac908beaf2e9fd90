"""How long the command line takes to say something, compared with importing Typer alone."""

import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.processes import environment, output
from benchmarks.rig import Rig
from benchmarks.row import Row, at_most

ROUNDS = 15
BASE = (sys.executable, "-c", "import typer")


def measure(rig: Rig) -> list[Row]:
    """The three commands in turn. The first time of each, which may compile modules, does not count."""
    script = Path(sys.executable).with_name("celeryctl")
    ours = [str(script)] if script.exists() else [sys.executable, "-m", "celeryctl"]
    commands = {"base": BASE, "--help": (*ours, "--help"), "--version": (*ours, "--version")}
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(1 + max(ROUNDS, rig.extent.runs)):
        for name, command in commands.items():
            times[name].append(_timed(command, rig.folder))
    base, shown, version = (statistics.median(each[1:]) for each in times.values())
    return [_row("10a", "--help", shown, base), _row("10b", "--version", version, base)]


def _timed(command: Sequence[str], folder: Path) -> float:
    began = time.perf_counter()
    output(command, env=environment(), folder=folder)
    return time.perf_counter() - began


def _row(number: str, option: str, ours: float, base: float) -> Row:
    detail = f"{ours * 1000:.0f} ms; import {base * 1000:.0f} ms"
    return at_most(number, f"`celeryctl {option}` ÷ `import typer`", ours / base, goal=1.3, aim=1.1, detail=detail)
