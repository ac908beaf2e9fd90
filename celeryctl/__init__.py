"""Drive and watch a Celery cluster that keeps a PostgreSQL table of users complete from HTTP APIs.

What a data set is declared with is here, loaded when it is asked for: `Dataset`, `Row`, `Source`, `User`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from celeryctl.dataset import Dataset, Source
    from celeryctl.storage.row import Row
    from celeryctl.storage.user import User

    __version__: str

__all__ = ["Dataset", "Row", "Source", "User", "__version__"]

_ROOMS = {
    "Dataset": "celeryctl.dataset",
    "Source": "celeryctl.dataset",
    "Row": "celeryctl.storage.row",
    "User": "celeryctl.storage.user",
}


def __getattr__(name: str) -> Any:
    # `celery -A celeryctl` asks for `app` first and must be told that it is not here.
    if name == "__version__":
        return import_module("importlib.metadata").version("celeryctl")
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_ROOMS[name]), name)
