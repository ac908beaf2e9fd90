"""Child processes: each in a session of its own, its words in a file, and stopped by its pid whatever happens."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.row import MeasureError

GRACE = 30.0  # seconds that a process has to end when it is asked to
PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR")  # no setting of the shell's own reaches what is measured


def environment(**own: str) -> dict[str, str]:
    """What a child finds around itself: what every program needs, and ``own``."""
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ} | own


@contextmanager
def running(
    command: Sequence[str | Path], *, env: Mapping[str, str], folder: Path, log: Path
) -> Iterator["subprocess.Popen[bytes]"]:
    """The process for the time of the block; at the end SIGTERM, and SIGKILL for its session where that is in vain."""
    with log.open("ab") as words:
        process = subprocess.Popen(  # noqa: S603 - our own commands
            command, env=env, cwd=folder, stdin=subprocess.DEVNULL, stdout=words, stderr=words, start_new_session=True
        )
    try:
        yield process
    finally:
        _stop(process)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
    finally:
        # Also when an interrupt ends the waiting.
        if process.poll() is None:
            # It leads its session, so its number is that of the group.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def output(command: Sequence[str | Path], *, env: Mapping[str, str], folder: Path) -> str:
    """What the command prints. Raises MeasureError with its last words where it fails."""
    done = subprocess.run(  # noqa: S603 - our own commands
        command, env=env, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        start_new_session=True,
    )  # fmt: skip
    if done.returncode:
        words = " ".join([Path(command[0]).name, *map(str, command[1:])])
        raise MeasureError(f"{words} exits {done.returncode}: {last_words(done.stderr or done.stdout)}")
    return done.stdout


def last_words(text: str) -> str:
    """The last lines of a text, as one."""
    return " / ".join(line.strip() for line in text.splitlines()[-4:])


def until(ready: Callable[[], bool], process: "subprocess.Popen[bytes]", log: Path, *, within: float = 60) -> None:
    """Wait until the process is ready. Raises MeasureError when it ends before, or takes too long."""
    deadline = time.monotonic() + within
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            state = "has ended" if process.poll() is not None else f"is not ready after {within:g} s"
            raise MeasureError(f"{log.stem} {state}: {last_words(log.read_text(errors='replace'))}")
        time.sleep(0.02)
