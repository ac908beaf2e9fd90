"""Celery's own program, with our app loaded before Celery looks for it.

Celery puts the folder that it was called in first on sys.path while it loads an app by its name: what lies there would
be taken for any module that is not loaded yet.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from celery import maybe_patch_concurrency


def main() -> int:
    """Parse and run; Celery itself says how it ended."""
    # Before anything is loaded that opens connections: a pool of greenlets needs others.
    maybe_patch_concurrency()
    app = import_module(sys.argv[sys.argv.index("-A") + 1]).app
    from celery.bin.celery import main as celery

    from celeryctl.cluster import lines

    # Celery does it later, for what it then says, and Flower not at all.
    lines.configure(app.context.settings)

    _detach_as_this()
    return celery()  # type: ignore[no-any-return]


def _detach_as_this() -> None:
    """Let `worker --detach` go on as this program, not as Celery's own, which takes modules from the folder."""
    worker = import_module("celery.bin.worker")
    detach = worker.detach

    def as_this(path: str, argv: Sequence[str], **options: Any) -> Any:
        return detach(path, ["-P", "-m", "celeryctl.cluster", *argv[2:]], **options)

    vars(worker)["detach"] = as_this


if __name__ == "__main__":
    sys.exit(main())
