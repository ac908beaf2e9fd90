"""Trying again what failed: from what was kept of it where that suffices, else by asking its source anew."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from celeryctl.dataset import Dataset, Datasets
from celeryctl.errors import CeleryctlError, RefusedError, UsageError
from celeryctl.pipeline import orders
from celeryctl.pipeline.decode import decode
from celeryctl.pipeline.engine import Pipeline
from celeryctl.pipeline.rejection import Rejection, suffices
from celeryctl.storage import failures, totals
from celeryctl.storage.database import transaction
from celeryctl.storage.ledger import Run
from celeryctl.storage.rows import Rows
from celeryctl.storage.upsert import Written, upsert

CHUNK = 500  # failures in one transaction


@dataclass(slots=True)
class Retried:
    """How many records could be ``stored`` at once, and of how many each data set's source is to be asked again.

    ``runs`` ask for them; their ``batches`` are to be announced. Those ``joined`` were under way, and may be past them.
    """

    stored: int = 0
    asked: dict[str, int] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)
    joined: list[Run] = field(default_factory=list)
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

    What is stored counts as fetched now. With ``ask`` a run is opened for what cannot be stored at once, or the one
    that is under way joined; else the next one asks for it. Raises DatasetError where a data set's own code is at
    fault; what was done until then stays done.
    """
    done = Retried()
    for name, keys in wanted.items():
        asked = 0
        for first in range(0, len(keys), CHUNK):
            stored, left = _retry_chunk(pipeline, pipeline.datasets[name], keys[first : first + CHUNK])
            done.stored += stored
            asked += left
        if asked:
            done.asked[name] = asked
        if asked and ask:
            opened = orders.begin(pipeline, orders.order(pipeline.datasets, name, trigger="command"))
            done.runs.append(opened.run)
            done.joined += [opened.run] * opened.joined
            done.batches += opened.batches
    return done


def _retry_chunk(pipeline: Pipeline, dataset: Dataset, keys: Sequence[str]) -> tuple[int, int]:
    """How many were stored, and how many are to be asked for. One by one where they cannot be stored together."""
    try:
        return _retry(pipeline, dataset, keys, store=True)
    except (RefusedError, _ChangedError):
        if len(keys) == 1:
            return _retry(pipeline, dataset, keys, store=False)
    each = [_retry_chunk(pipeline, dataset, [key]) for key in keys]
    return sum(stored for stored, _ in each), sum(left for _, left in each)


def _retry(pipeline: Pipeline, dataset: Dataset, keys: Sequence[str], *, store: bool) -> tuple[int, int]:
    """Rows first, then misses, as batches do it; what has come in between is newer, and undoes it all."""
    with transaction():
        kept = failures.among(dataset.name, keys)
        stored, written = _store(pipeline, dataset, kept) if store else ([], Written())
        if failures.forget(dataset.name, stored) != len(stored):
            raise _ChangedError
        left = [one for one in kept if one not in stored]
        failures.ask_again(dataset.name, [one.key for one in left])
        totals.add(dataset.name, rows=asdict(written))
    return len(stored), len(left)


class _ChangedError(Exception):
    """Somebody else has tried one of them meanwhile."""


def _store(pipeline: Pipeline, dataset: Dataset, kept: Sequence[failures.Kept]) -> tuple[list[failures.Kept], Written]:
    """Store those whose payload is a good record by now, and return them.

    Not those that are known by their place in a listing alone: their record may have come from another place since.
    """
    rows, stored = Rows(dataset.model, dataset.key), list[failures.Kept]()
    for one in kept:
        if one.payload is None or not suffices(one.payload) or not one.key.isdecimal():
            continue
        (result,) = decode(dataset, f"[{one.payload}]".encode())
        if not isinstance(result, Rejection):
            rows.add([result[1]], [one.user_id] if one.user_id is not None else [])
            stored.append(one)
    return stored, upsert(rows, pipeline.keyring)
