"""Made-up records into the tables, decoded and stored as those of a source are.

There is no run before the end: a cluster that works on the same database can neither take part in it nor be joined.
"""

import uuid
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec

from celeryctl.dataset import Dataset
from celeryctl.local import generate
from celeryctl.pipeline.context import Context
from celeryctl.pipeline.decode import decode
from celeryctl.pipeline.rejection import Rejection
from celeryctl.pipeline.works import work_of
from celeryctl.storage import coverage, runs
from celeryctl.storage.database import session, transaction
from celeryctl.storage.ledger import Run
from celeryctl.storage.misses import clear
from celeryctl.storage.rows import Rows
from celeryctl.storage.upsert import upsert

CHILDREN = {"addresses": generate.address, "credit_cards": generate.card}
Make = Callable[[Dataset, int, range], Rows]


def sow(context: Context, *, count: int, seed: int, progress: Callable[[Run], None]) -> list[Run]:
    """Make ``count`` users and what they lack of the rest: the same for the same ``seed``, whatever came before.

    Returns what was done as runs. What was stored before an interrupt stays; the same again goes on from there.
    """
    size = context.settings.batch_size
    ranges = [range(first, min(first + size, count + 1)) for first in range(1, count + 1, size)]
    made: dict[str, Make] = {"users": _people, **dict.fromkeys(CHILDREN, _records)}
    return [
        _store(context, context.datasets[name], ranges, partial(make, context.datasets[name], seed), progress)
        for name, make in made.items()
    ]


def _store(
    context: Context,
    dataset: Dataset,
    ranges: Sequence[range],
    make: Callable[[range], Rows],
    progress: Callable[[Run], None],
) -> Run:
    """Make and store batch after batch, each in a transaction of its own."""
    expected = sum(map(len, ranges))
    source = dataset.source
    run = Run(id=uuid.uuid4(), dataset=dataset.name, trigger="seed", page_size=source.page_size, expected=expected)
    run.batch_size, ring = context.settings.batch_size, context.keyring(create=True)
    with session():
        run.started_at = coverage.clock()
    work = work_of(dataset, context.settings)
    for ids in ranges:
        with transaction():
            rows = make(ids)
            written = upsert(rows, ring)
            clear(work, rows)
        run.created += written.created
        run.updated += written.updated
        run.unchanged += written.unchanged
        progress(run)
    runs.record(run)
    progress(run)
    return run


def _people(dataset: Dataset, seed: int, ids: range) -> Rows:
    return Rows(dataset.model, dataset.key, _good(dataset, [generate.user(number, seed) for number in ids]))


def _records(dataset: Dataset, seed: int, ids: range) -> Rows:
    users = coverage.lacking(dataset.model, ids.start, ids.stop - 1)
    rows = Rows(dataset.model, dataset.key)
    good = _good(dataset, [CHILDREN[dataset.name](external_id, seed) for _, external_id in users])
    rows.add(good, [user_id for user_id, _ in users])
    return rows


def _good(dataset: Dataset, records: list[generate.Record]) -> list[dict[str, Any]]:
    results = decode(dataset, msgspec.json.encode(records))
    return [result[1] for result in results if not isinstance(result, Rejection)]
