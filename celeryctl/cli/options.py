"""What all commands share: the common options, where to print, and the settings."""

import logging
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from celeryctl import logs
from celeryctl.errors import CeleryctlError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from celeryctl.pipeline.context import Context
    from celeryctl.settings import Settings

logger = logging.getLogger(__name__)

UNFOLDED = 1000  # columns where nobody looks: what a program reads line by line is not to be folded
LEVELS = ("WARNING", "INFO", "DEBUG")
MOST = 2**63 - 1  # what a bigint holds


@dataclass(slots=True)
class Common:
    """The common options of the command that runs, and the notices that it has shown."""

    quiet: bool = False
    verbose: int = 0
    no_color: bool = False
    told: set[str] = field(default_factory=set)


common = Common()


def begin(*, no_color: bool) -> None:
    """Forget what an earlier command in this process was told."""
    common.quiet, common.verbose, common.no_color = False, 0, no_color
    common.told.clear()


def _keep(param: typer.CallbackParam, value: Any) -> Any:
    setattr(common, str(param.name), value)
    return value


def _options(
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say only what went wrong.", callback=_keep)] = False,
    verbose: Annotated[
        int, typer.Option("--verbose", "-v", count=True, show_default=False, help="Say more; -vv most.", callback=_keep)
    ] = 0,
    no_color: Annotated[bool, typer.Option("--no-color", help="No colours; so does NO_COLOR.", callback=_keep)] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks, secrets masked.")] = False,
) -> None:
    """Only declares. ``debug`` is read by the error boundary, which must know it before anything is parsed."""


class Command(TyperCommand):
    """A command that takes the common options and whose help is plain text."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "rich_markup_mode": None})
        self.params += _common()


class Group(TyperGroup):
    """A group that does something when it stands alone: then it takes the common options, too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "rich_markup_mode": None})
        self.params += _common()

    def invoke(self, ctx: Any) -> Any:
        given = [param for param in self.params if ctx.params.get(param.name) or getattr(common, param.name, None)]
        if ctx._protected_args and given:
            name, subcommand = given[0].opts[0], ctx._protected_args[0]
            raise UsageError(
                f"{name} stands after {subcommand}",
                why="before it, it would be about the group alone",
                fix=f"celeryctl help {ctx.info_name} {subcommand}",
            )
        return super().invoke(ctx)


def _common() -> list[Any]:
    donor = typer.Typer(add_completion=False)
    donor.command()(_options)
    params = get_command(donor).params
    for param in params:
        param.expose_value = False
    return params


def console() -> "Console":
    """Where data goes: stdout."""
    return _console(stderr=False, quiet=False)


def notices() -> "Console":
    """Where everything else goes: stderr; silent with --quiet."""
    return _console(stderr=True, quiet=common.quiet)


def _console(*, stderr: bool, quiet: bool) -> "Console":
    from rich.console import Console
    from rich.segment import Segment

    class Ours(Console):
        def on_broken_pipe(self) -> None:
            """Leave it to the error boundary; Rich would exit at once with 1."""
            raise

        def render(self, *args: Any, **kwargs: Any) -> "Iterator[Segment]":
            """The last net: whatever a view has let through steers no terminal."""
            for one in super().render(*args, **kwargs):
                yield one if one.control else Segment(logs.steering_none(one.text), one.style)

    # Without a colour system there is no escape sequence at all; Rich's own no_color would leave bold and dim.
    plain = common.no_color or os.environ.get("NO_COLOR")
    found = Ours(
        stderr=stderr, quiet=quiet, color_system=None if plain else "auto", markup=False, highlight=False, emoji=False
    )
    if not found.is_terminal and "COLUMNS" not in os.environ:
        found.width = UNFOLDED
    return found


def notice_once(*told: str, logged: bool = False) -> None:
    """Print notices that this command has not printed before, or log them."""
    for notice in told:
        if notice not in common.told:
            common.told.add(notice)
            if logged:
                logger.warning("%s", notice)
            else:
                notices().print(notice, soft_wrap=True)


def print_json(document: Mapping[str, Any], *, line: bool = False) -> None:
    """Print one JSON document in UTF-8, or with ``line`` one line of a stream, whatever the locale says."""
    indent = None if line else 2
    text = logs.as_json({"schema": 1, **document}, allow_nan=False, indent=indent, default=_jsonable)
    sys.stdout.flush()
    sys.stdout.buffer.write(f"{text}\n".encode())
    sys.stdout.buffer.flush()


def _jsonable(value: object) -> Any:
    match value:
        case datetime():
            moment = value if value.tzinfo else value.replace(tzinfo=UTC)
            return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case date():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case UUID() | PurePath():
            return str(value)
    raise TypeError(f"{type(value).__name__} is not made for JSON")


def context(**flags: object) -> "Context":
    """Settings and data sets, read once for this command; ``flags`` by the names of variables, None means not given.

    Tells on stderr what was found and not used, as lines of the log where those are JSON, and sets up logging: warnings
    only, unless LOG_LEVEL, -v or -q say otherwise.
    """
    from celeryctl.pipeline.context import Context
    from celeryctl.settings import Environment

    given = {name.upper(): str(value) for name, value in flags.items() if value is not None}
    told = Environment.read(flags=given).notices
    try:
        found = Context.read(given)
    except CeleryctlError:
        notice_once(*told)
        raise
    logs.configure(_level(found.settings), found.settings.log_format)
    notice_once(*told, logged=found.settings.log_format == "json")
    return found


def _level(read: "Settings") -> str:
    if common.quiet or common.verbose:
        return "ERROR" if common.quiet else LEVELS[min(common.verbose, len(LEVELS) - 1)]
    return LEVELS[0] if read.environment.origin("LOG_LEVEL") == "default" else read.log_level
