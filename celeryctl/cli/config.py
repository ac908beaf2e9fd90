"""Look at the settings, and write a first `.env`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from celeryctl.cli import options

if TYPE_CHECKING:
    from celeryctl.pipeline.context import Context

app = typer.Typer(help="Show the settings and where each comes from; write a .env.", no_args_is_help=True)


@app.command(cls=options.Command)
def show(json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False) -> None:
    """Show every setting, its value and where it comes from. Secrets are masked."""
    context = options.context()
    environment, rows = context.settings.environment, list(_rows(context))
    if json:
        options.print_json({"home": environment.home, "env_file": environment.env_file, "settings": rows})
        return
    for row in rows:
        options.console().print(f"{row['name']:<30}  {row['origin']:<11}  {row['value'] or '(unset)'}", soft_wrap=True)


def _rows(context: "Context") -> Iterator[dict[str, str | None]]:
    from celeryctl.settings import SourceDefaults, declared

    environment = context.settings.environment
    for setting in declared(SourceDefaults(one.name, one.source.url, one.every) for one in context.datasets.values()):
        text = environment.get(setting.variable) or setting.default
        text = str(environment.home) if setting.field == "home" else text
        yield {
            "name": setting.variable,
            "value": setting.show(text) if text else None,
            "origin": environment.origin(setting.variable),
        }


@app.command(cls=options.Command)
def init(
    add: Annotated[bool, typer.Option("--add", help="Add to an existing .env what it lacks.")] = False,
) -> None:
    """Write .env with fresh passwords and the card key. An existing .env is never overwritten."""
    from celeryctl.settings import Environment
    from celeryctl.settings.dotenv import add_missing, write_first

    environment = Environment.read()
    names = (add_missing if add else write_first)(environment)
    wrote = f"Wrote {', '.join(names)}" if names else "Nothing is missing"
    told = f"{wrote} in {environment.env_file}, readable by you alone. Keep it out of git."
    options.notices().print(told, soft_wrap=True)
