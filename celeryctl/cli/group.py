"""The group of all commands, which loads the one that is meant, and Typer's own errors in our words."""

from typing import Any

import typer
from typer import Context
from typer.core import TyperGroup
from typer.main import get_command, get_group, get_install_completion_arguments

from celeryctl.cli import app, help, options, table  # noqa: A004 - the command's own name
from celeryctl.errors import CeleryctlError, UsageError


class Root(TyperGroup):
    """`celeryctl` itself. A command is loaded when it is meant, not when it is only listed for a completion."""

    def __init__(self) -> None:
        settings = {"help_option_names": ["-h", "--help"]}
        # `help` answers --help; Typer would load pydantic to look whether it was given.
        super().__init__(name="celeryctl", context_settings=settings, rich_markup_mode=None, add_help_option=False)
        self._only_listed = False

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - Typer's signature
        return [entry.name for entry in table.COMMANDS]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        entry = table.find(cmd_name)
        if entry and (self._only_listed or entry.passes_to):
            return options.Command(name=entry.name, help=entry.help)
        return made(entry) if entry else None

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        self._only_listed = True
        return super().shell_complete(ctx, incomplete)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        # A group alone shows its help, as celeryctl alone does.
        alone = isinstance(command, TyperGroup) and not command.invoke_without_command
        return name, command, rest or (["--help"] if alone else [])


def complete() -> int:
    """Install or show the completion, or answer a shell that completes."""
    root = Root()
    root.params.extend(get_install_completion_arguments())
    result: int | None = root.main(prog_name="celeryctl", standalone_mode=False)
    return result or 0


def made(entry: table.Entry) -> Any:
    """Typer's command for a function or an app."""
    target = app.load(entry)
    if isinstance(target, typer.Typer):
        group = get_group(target)
        group.name, group.rich_markup_mode, group.epilog = entry.name, None, help.examples(entry)
        return group
    single = typer.Typer(add_completion=False)
    single.command(entry.name, cls=options.Command, epilog=help.examples(entry))(target)
    return get_command(single)


def invoke(arguments: list[str]) -> int:
    """Parse and run; what Typer complains about is raised as UsageError."""
    options.begin(no_color="--no-color" in arguments)
    root = Root()
    try:
        with root.make_context("celeryctl", arguments) as context:
            root.invoke(context)
    except typer.Exit as exc:
        return exc.exit_code
    except typer.Abort as exc:
        if isinstance(exc.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from exc
        raise CeleryctlError("nothing was done", why="it was not confirmed", fix="say y, or add --yes") from exc
    except typer.TyperException as exc:
        raise _usage(exc, arguments) from exc
    return 0


def _usage(exc: typer.TyperException, arguments: list[str]) -> UsageError:
    context: Context | None = getattr(exc, "ctx", None)
    # Typer forgets the context of some errors; the command's name is then still the first word.
    command = context.command_path.split()[1:] if context else arguments[:1]
    usage = context.get_usage().removeprefix("Usage: ") if context else f"celeryctl {arguments[0]} [OPTIONS]"
    what, fix = exc.format_message().rstrip("."), " ".join(["celeryctl", "help", *command])
    return UsageError(what, why=f"it is used like this: {usage}", fix=fix)
