"""The one place where errors become text and exit codes. Nothing else prints an error."""

import os
import select
import shlex
import sys
import traceback
from collections.abc import Callable
from typing import IO

from celeryctl.errors import CeleryctlError
from celeryctl.logs import mask, one_line, steering_none

INTERRUPTED = 130
PIPE_CLOSED = 141  # what a shell sees of a program that SIGPIPE ended, such as gh or git


def guarded(do: Callable[[list[str]], int], arguments: list[str]) -> int:
    """Run the command line and return its exit code; what goes wrong is told on stderr in three lines."""
    debug = "--debug" in arguments
    try:
        code = do(arguments)
        sys.stdout.flush()
    except CeleryctlError as exc:
        return _tell(exc, arguments, debug=debug)
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as exc:  # noqa: BLE001 - the last one to see it: it must not end as a traceback
        if isinstance(exc, OSError) and (
            closed := [stream for stream in (sys.stdout, sys.stderr) if _is_closed(stream)]
        ):
            _abandon(closed)
            return PIPE_CLOSED
        return _tell(_unforeseen(exc, arguments), arguments, debug=debug)
    return code


def _unforeseen(exc: Exception, arguments: list[str]) -> CeleryctlError:
    again = shlex.join(["celeryctl", *(word for word in arguments if word != "--debug"), "--debug"])
    error = CeleryctlError(
        f"celeryctl ended unexpectedly: {type(exc).__name__}: {exc}",
        why="this is a bug in celeryctl, or something that it does not foresee",
        fix=f"{again}   (its traceback belongs into a report)",
    )
    error.__cause__ = exc
    return error


def _tell(exc: CeleryctlError, arguments: list[str], *, debug: bool) -> int:
    if debug:
        _write(steering_none(mask("".join(traceback.format_exception(exc)))))
    cause = exc.__cause__
    why = exc.why or (f"{type(cause).__name__}: {cause}" if cause else type(exc).__doc__ or "")
    fix = exc.fix or f"celeryctl help {' '.join(word for word in arguments[:1] if not word.startswith('-'))}".rstrip()
    error = "\x1b[1;31mError:\x1b[0m" if _is_coloured(arguments) else "Error:"
    lines = [f"{label} {_joined(mask(text))}" for label, text in ((error, exc.what), ("  why:", why), ("  fix:", fix))]
    _write("\n".join(lines) + "\n")
    return exc.exit_code


def _joined(text: str) -> str:
    """On one line: servers answer in several."""
    return one_line(" ".join(text.split()))


def _is_coloured(arguments: list[str]) -> bool:
    plain = os.environ.get("NO_COLOR") or "--no-color" in arguments or os.environ.get("TERM") == "dumb"
    return sys.stderr.isatty() and not plain


def _write(text: str) -> None:
    for stream, rest in ((sys.stdout, ""), (sys.stderr, text)):
        try:
            stream.write(rest)
            stream.flush()
        except OSError:
            _abandon([stream])


def _is_closed(stream: IO[str]) -> bool:
    """Whether nobody reads this stream any more; a broken connection to a server is another matter."""
    try:
        poll = select.poll()
        poll.register(stream.fileno(), 0)
        return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
    except (OSError, ValueError):
        return False


def _abandon(streams: list[IO[str]]) -> None:
    """Let what is still buffered go nowhere: the interpreter would complain about it at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in streams:
        os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
