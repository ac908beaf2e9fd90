"""Trying again what failed: from what was kept of it where that suffices, else by asking its source anew."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from celeryctl.dataset import Dataset, Datasets
from celeryctl.errors import CeleryctlError, RefusedError, UsageError
from celeryctl.pipeline import orders
from celeryctl.pipeline.decode import decode
from celeryctl.pipeline.engine import Pipeline
from celeryctl.pipeline.rejection import Rejection, suffices
from celeryctl.storage import failures
from celeryctl.storage.database import transaction
from celeryctl.storage.ledger import Run
from celeryctl.storage.rows import Rows
from celeryctl.storage.upsert import upsert

CHUNK = 500  # failures in one transaction


@dataclass(slots=True)
class Retried:
    """How many records could be ``stored`` at once, and of how many each data set's source is to be asked again.

    ``runs`` ask for them; their ``batches`` are to be announced.
    """

    stored: int = 0
    asked: dict[str, int] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)


def chosen(datasets: Datasets, words: Sequence[str], *, everything: bool) -> dict[str, list[str]]:
    """The keys of failures by data set: those with the ids ``words``, or ``everything`` of a data set, or of all.

    Raises UsageError where a word is neither; CeleryctlError where an id is that of no failure.
    """
    if everything == any("/" in word for word in words) or (not words and not everything):
        raise UsageError("--retry takes ids, or --all", why="an id is such as addresses/3", fix="celeryctl failed")
    if everything:
        names = [orders.named(datasets, word) for word in words if word != orders.ALL] or list(datasets)
        return {name: failures.keys(name) for name in names}
    asked: dict[str, list[str]] = {}
    for name, _, key in (word.partition("/") for word in words):
        asked.setdefault(orders.named(datasets, name), []).append(key)
    unknown = [f"{name}/{key}" for name, keys in asked.items() for key in sorted({*keys} - {*failures.keys(name)})]
    if unknown:
        raise CeleryctlError(f"there is no failure {unknown[0]}", why="nothing was changed", fix="celeryctl failed")
    return asked


def retry(pipeline: Pipeline, wanted: Mapping[str, Sequence[str]], *, ask: bool) -> Retried:
    """Try again these keys of these data sets; those that are no failures by now are passed over.

    With ``ask`` runs are opened for what cannot be stored at once, else the next ones ask for it. Raises DatasetError
    where a data set's own code is at fault; its failures stay as they are.
    """
    done = Retried()
    for name, keys in wanted.items():
        for first in range(0, len(keys), CHUNK):
            chunk = keys[first : first + CHUNK]
            try:
                stored, asked = _retry(pipeline, pipeline.datasets[name], chunk, store=True)
            except RefusedError:  # one of them is not to the database's taste
                stored, asked = _retry(pipeline, pipeline.datasets[name], chunk, store=False)
            done.stored += stored
            if asked:
                done.asked[name] = done.asked.get(name, 0) + asked
    for name in pipeline.datasets if ask else ():
        if name in done.asked:
            opened = orders.begin(pipeline, orders.order(pipeline.datasets, name, trigger="command"))
            done.runs.append(opened.run)
            done.batches += opened.batches
    return done


def _retry(pipeline: Pipeline, dataset: Dataset, keys: Sequence[str], *, store: bool) -> tuple[int, int]:
    """How many were stored, and how many are to be asked for."""
    with transaction():
        taken = failures.take(dataset.name, keys)
        stored = _store(pipeline, dataset, taken) if store else set()
        failures.forget(dataset.name, list(stored))
        left = [one.key for one in taken if one.key not in stored]
        failures.ask_again(dataset.name, left)
    return len(stored), len(left)


def _store(pipeline: Pipeline, dataset: Dataset, taken: Sequence[failures.Taken]) -> set[str]:
    """Store those whose payload is a good record by now. Returns their keys."""
    rows, stored = Rows(dataset.model, dataset.key), set[str]()
    for one in taken:
        if one.payload is None or not suffices(one.payload):
            continue
        (result,) = decode(dataset, f"[{one.payload}]".encode())
        if not isinstance(result, Rejection):
            rows.add([result[1]], [one.user_id] if one.user_id is not None else [])
            stored.add(one.key)
    upsert(rows, pipeline.keyring)
    return stored
