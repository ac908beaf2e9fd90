"""What a shell is offered when Tab is pressed on an argument. What cannot be had at once is not offered."""

from collections.abc import Iterator
from functools import partial

WITHIN = 0.2  # seconds that a database has to answer
SHORT = 8  # characters of a run's id, as everything shows it


def datasets(incomplete: str) -> Iterator[tuple[str, str]]:
    """Data sets as the command line names them, and all of them together."""
    found = [*_declared(), ("all", "every data set, parents first")]
    return (one for one in found if one[0].startswith(incomplete.replace("_", "-")))


def runs(incomplete: str) -> Iterator[tuple[str, str]]:
    """Ids of the newest runs, from a database that is there; none is started for it."""
    from celeryctl import threads
    from celeryctl.errors import CeleryctlError
    from celeryctl.settings import Environment
    from celeryctl.storage.recent import recent

    try:
        url = Environment.read().get("DATABASE_URL")
        found = threads.start(partial(recent, url)).result(WITHIN) if url else []
    except (CeleryctlError, TimeoutError):
        found = []
    for run_id, told in found:
        shown = run_id if len(incomplete) > SHORT else run_id[:SHORT]
        if shown.startswith(incomplete):
            yield shown, told


def _declared() -> list[tuple[str, str]]:
    from celeryctl import datasets, home
    from celeryctl.errors import CeleryctlError
    from celeryctl.settings import Environment

    try:
        environment = Environment.read()
        paths = [path.strip() for path in (environment.get("CELERYCTL_DATASETS") or "").split(",") if path.strip()]
        found = datasets.load(paths, base=home.project(environment.home))
    except CeleryctlError:
        found = datasets.load()
    return [(dataset.command, dataset.help) for dataset in found.values()]
