"""The console script: finds the command in the table, loads it alone, and runs it within the error boundary.

To add a command, write `celeryctl/cli/NAME.py` and a line in `table.COMMANDS`. The file holds one of
- ``def command(…)`` with Typer's annotations (the usual case); the common options are added by themselves,
- ``app = typer.Typer(help=…)`` with subcommands, each declared with ``@app.command(cls=options.Command)``,
- for a raw entry ``def command(arguments: list[str])``, which gets everything after the command's name untouched, and
  may return an exit code.
Its docstring is its help. It raises `CeleryctlError` for what goes wrong and `typer.Exit(code)` for another exit code.
Heavy imports stand inside the function.
"""

import inspect
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NoReturn

from celeryctl.cli import boundary, help, table  # noqa: A004 - the command's own name
from celeryctl.errors import UsageError
from celeryctl.local.interrupt import Interrupt

HELP = ("-h", "--help")
COMPLETION = ("--install-completion", "--show-completion")


def main() -> NoReturn:
    """The console script."""
    # Either may be closed (`>&-`), and a stdout in ASCII must not fail on a bar or a name.
    sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115 - open until the end
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    for number in Interrupt.SIGNALS:
        # As Ctrl-C: what was begun is cancelled, what was started is stopped. What nohup has switched off stays off.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, Interrupt.end_early)
    code = run(sys.argv[1:])
    if code == boundary.INTERRUPTED:
        # Threads that still wait for a source would hold up the exit for as long as that takes.
        with suppress(OSError):
            sys.stdout.flush()
        os._exit(code)
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run one command line in this process and return its exit code."""
    return boundary.guarded(_run, list(arguments))


def _run(arguments: list[str]) -> int:
    first = arguments[0] if arguments else "--help"
    if first in COMPLETION or "_CELERYCTL_COMPLETE" in os.environ:
        from celeryctl.cli.group import complete

        return complete()
    if first == "help" and len(arguments) > 1 and arguments[1] not in HELP:
        return _run([*arguments[1:], "--help"])
    if first in (*HELP, "help"):
        return _print(help.root())
    if first == "--version":
        from celeryctl import __version__

        return _print(f"celeryctl {__version__}")
    return _command(arguments)


def _print(text: str) -> int:
    sys.stdout.write(f"{text}\n")
    return 0


def _command(arguments: list[str]) -> int:
    entry = table.find(arguments[0]) or _unknown(arguments)
    if entry.passes_to:
        function = load(entry)
        if set(HELP) & set(arguments):
            return _print(help.raw(entry, inspect.getdoc(function) or entry.help))
        code: int | None = function(arguments[1:])
        return code or 0
    from celeryctl.cli.group import invoke

    return invoke(arguments)


def load(entry: table.Entry) -> Any:
    """What the entry stands for."""
    return getattr(import_module(entry.module), entry.attribute)


def _unknown(arguments: list[str]) -> NoReturn:
    name = arguments[0]
    if name.startswith("-"):
        command = next((word for word in arguments if table.find(word)), "COMMAND")
        fix = f"celeryctl {command} {name}"
        raise UsageError(f"celeryctl itself has no option {name}", why="options stand after the command", fix=fix)
    from difflib import get_close_matches

    alike = get_close_matches(name, [entry.name for entry in table.COMMANDS], n=1)
    why = f"did you mean {alike[0]}?" if alike else "`celeryctl help` lists those that there are"
    raise UsageError(f"there is no command {name!r}", why=why, fix=" ".join(["celeryctl help", *alike]))
