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
    json: Json = False,
) -> None:
    """Show a user with all that hangs on it; card numbers are masked."""
    from celeryctl.errors import CeleryctlError
    from celeryctl.local import access
    from celeryctl.services import UserService
    from celeryctl.views import users as views

    with access.to_read(options.context()):
        known = UserService.get_user_by_external_id(user_id) if external else {"id": user_id}
        found = UserService.get_user_with_relations(known["id"]) if known else None
    if found is None:
        raise CeleryctlError(f"there is no user {user_id}", why="no row has this id", fix="celeryctl users list")
    if json:
        options.print_json(found)
    else:
        options.console().print(views.card(found))
