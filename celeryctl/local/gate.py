"""Processes that do nothing before they are on record: who is killed in between leaves none that nobody knows of."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

P = TypeVar("P", bound=Any)
# The line never comes where we die first; what it starts keeps the pid.
GATE = 'read -r _ && exec "$@" < /dev/null'


@contextmanager
def gated(popen: type[P], command: Sequence[str | Path], **options: Any) -> Iterator[P]:
    """A process, made by ``popen``, that begins when the block is over, and never where the block fails.

    Raises OSError.
    """
    behind = ["/bin/sh", "-c", GATE, "sh", *command]
    process = popen(behind, stdin=subprocess.PIPE, bufsize=0, start_new_session=True, **options)
    with process.stdin as gate:
        yield process
        with suppress(BrokenPipeError):  # somebody has ended it already
            gate.write(b"\n")
