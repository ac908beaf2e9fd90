"""Announcing again what got lost: batches that nobody has claimed in time, or whose holder has fallen silent."""

from collections.abc import Callable, Sequence

from celeryctl.storage.database import database, session, transaction
from celeryctl.storage.ledger import Batch
from celeryctl.storage.plan import ANNOUNCE
from celeryctl.storage.runs import NOW

REVIVED = 200  # batches announced again at most in one go

REVIVE = """
UPDATE batches SET token = NULL, due = now() + %s * interval '1 second'
WHERE id IN (SELECT id FROM batches WHERE due < now() ORDER BY due LIMIT %s FOR UPDATE SKIP LOCKED)
RETURNING id
"""

STRAYS = "DELETE FROM batches b USING runs r WHERE r.id = b.run_id AND r.status <> 'running' AND b.due < now()"


def reconcile(publish: Callable[[int], object], queued: Callable[[], int]) -> int:
    """Announce again the batches that nobody has claimed in time, or whose holder's lease is over. Returns how many.

    Nothing is announced while the queue still holds as many messages as batches wait: then it only needs time.
    """
    with transaction():
        database.execute_sql(STRAYS)
        waiting = Batch.select().where(Batch.token.is_null() | (Batch.due < NOW)).count()
    if not waiting or queued() >= waiting:
        return 0
    with transaction():
        lost = [row[0] for row in database.execute_sql(REVIVE, (ANNOUNCE, REVIVED)).fetchall()]
    for batch_id in lost:
        if publish(batch_id) is False:
            break  # the broker takes nothing: the others are due again soon
    return len(lost)


def worked_on(task_ids: Sequence[str]) -> set[str]:
    """Those of these tasks that hold a batch."""
    with session():
        held = Batch.select(Batch.task_id).where(
            Batch.task_id.in_(task_ids), Batch.token.is_null(False), Batch.due > NOW
        )
        return {str(batch.task_id) for batch in held}
