"""Users, as a table and one by one. What a source sent is shown as text, never as markup or control sequences."""

from collections.abc import Sequence
from typing import Any

from rich.text import Text
from rich.tree import Tree

from celeryctl.views.grid import Column, Grid

LEAST = 12  # characters of a text at least
COLUMNS = ("id", "external_id", "name", "username", "email", "company_name")


def table(users: Sequence[dict[str, Any]]) -> Grid:
    """One line for every user; what does not fit is cut, or goes."""
    ranks = {"external_id": 4, "username": 3, "email": 1, "company_name": 2}
    return Grid(
        [
            Column(name.replace("_", " "), [plain(user[name]) for user in users], ranks.get(name, 0), least=LEAST)
            for name in COLUMNS
        ]
    )


def card(user: dict[str, Any]) -> Tree:
    """A user with everything that hangs on it."""
    tree = Tree(Text.assemble(plain(user["name"], "bold"), f"  id {user['id']}, external id {user['external_id']}"))
    _branch(tree, {name: value for name, value in user.items() if not isinstance(value, list)})
    for name, rows in user.items():
        if isinstance(rows, list):
            branch = tree.add(Text(name.replace("_", " "), "bold" if rows else "dim"))
            for row in rows or ():
                _branch(branch, row)
            if not rows:
                branch.add(Text("none yet", "dim"))
    return tree


def _branch(tree: Tree, row: dict[str, Any]) -> None:
    for name, value in row.items():
        if name not in ("id", "user_id", "name", "external_id") and value is not None:
            tree.add(Text.assemble((f"{name.replace('_', ' ')}: ", "dim"), plain(value)))


def plain(value: Any, style: str = "") -> Text:
    """A value as text, control characters shown as such."""
    shown = value.isoformat(" ", "seconds") if hasattr(value, "isoformat") else "" if value is None else str(value)
    safe = (character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in shown)
    return Text("".join(safe), style)
