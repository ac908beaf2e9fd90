"""Writing a new data set's file."""

from pathlib import Path
from string import Template

from celeryctl.dataset import NAME, TAKEN
from celeryctl.datasets import BUILT_IN, OURS
from celeryctl.errors import UsageError
from celeryctl.storage.ledger import TABLES
from celeryctl.storage.user import User

TEMPLATE = Path(__file__).with_name("template.txt")
# What the file itself calls something else, and what Python does.
WORDS = ("Any", "Dataset", "False", "None", "Record", "Row", "Source", "Struct", "True", "User")


def write(name: str, folder: Path) -> Path:
    """Write ``folder/name.py`` from the template. Raises UsageError where the name or the place cannot be used."""
    _check(name)
    path = folder / f"{name}.py"
    # A backref becomes an attribute of users: it must not hide one of theirs.
    parts = {"title": name.replace("_", " ").capitalize(), "model": _class(name), "backref": _backref(name)}
    text = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(parts, name=name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("x") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(
            f"{path} is there already", why="it is not overwritten", fix=f"edit it, or: rm {path}"
        ) from None
    except OSError as exc:
        raise UsageError(
            f"{path} cannot be written", why=exc.strerror or str(exc), fix="choose another --folder"
        ) from None
    return path


def _check(name: str) -> None:
    if not NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be a data set's name",
            why="it is lower-case letters, digits and underscores, begins with a letter, 40 characters at most",
            fix="celeryctl dataset new loyalty",
        )
    if name in (*BUILT_IN, *TABLES, *TAKEN) or name.startswith(OURS):
        why = "a data set that is built in, a table, or something else has this name"
        raise UsageError(f"the name {name!r} is taken", why=why, fix="choose another name")


def _class(name: str) -> str:
    word = "".join(part.capitalize() for part in name.split("_"))
    return f"{word}Row" if word in WORDS else word


def _backref(name: str) -> str:
    return "+" if hasattr(User, name) else name
