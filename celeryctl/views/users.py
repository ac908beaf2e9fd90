"""Users, as a table and one by one. What a source sent is shown as text, never as markup or control sequences."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text
from rich.tree import Tree

COLUMNS = ("id", "external_id", "name", "username", "email", "company_name")


def table(users: Sequence[dict[str, Any]]) -> Table:
    """One line for every user."""
    found = Table(box=None, pad_edge=False, header_style="bold")
    for name in COLUMNS:
        found.add_column(name.replace("_", " "), overflow="ellipsis", no_wrap=True)
    for user in users:
        found.add_row(*(plain(user[name]) for name in COLUMNS))
    return found


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
