"""Look at users."""

from typing import Annotated

import typer

from celeryctl.cli import options

app = typer.Typer(help="Look at users.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command("list", cls=options.Command)
def list_(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many.")] = 100,
    offset: Annotated[int, typer.Option(min=0, max=options.MOST, help="How many to pass over.")] = 0,
    json: Json = False,
) -> None:
    """List users in the order of their ids."""
    from celeryctl.local import access
    from celeryctl.services import UserService
    from celeryctl.views import users as views

    with access.to_read(options.context()):
        found = UserService.get_all_users(limit, offset)
    if json:
        options.print_json({"users": found})
    else:
        options.console().print(views.table(found))


@app.command(cls=options.Command)
def show(
    user_id: Annotated[int, typer.Argument(metavar="ID", help="The user's id here.")],
    external: Annotated[bool, typer.Option("--external", help="ID is the source's own.")] = False,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show card numbers in the clear; who does is kept.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before revealing.")] = False,
    json: Json = False,
) -> None:
    """Show a user with all that hangs on it; card numbers are masked."""
    from celeryctl.cli import showing
    from celeryctl.local import access
    from celeryctl.views import users as views

    context = options.context()
    if reveal and not yes:
        typer.confirm(f"Show the card numbers of user {user_id} in the clear?", abort=True, err=True)
    with access.to_read(context):
        found = showing.find(user_id, external=external, reveal=reveal)
    if json:
        options.print_json(found)
    else:
        options.console().print(views.card(found))
