"""What somebody asks about: a user by number, a run or a task by the beginning of its id."""

import re

from celeryctl.errors import CeleryctlError, UsageError
from celeryctl.pipeline import lookup
from celeryctl.pipeline.context import Context
from celeryctl.storage import history
from celeryctl.verdicts import runs, scene, users
from celeryctl.verdicts.verdict import Verdict

NUMBER = re.compile(r"\d{1,18}", re.ASCII)
SHORT = 8  # characters of an id, as everything shows it
FIX = "celeryctl runs    (or: celeryctl users list)"


def why(context: Context, text: str, *, external: bool = False) -> Verdict:
    """The verdict on what ``text`` means; with ``external`` it is the id of a user at its source.

    Raises UsageError where it may mean several things, CeleryctlError where it means none.
    """
    number = NUMBER.fullmatch(text)
    user = users.find_user(text, external=external) if number else None
    short = number and len(text) < SHORT  # nobody types so little of an id
    if external or short or not lookup.ID.fullmatch(text):
        if user is None:
            raise CeleryctlError(f"there is no user {text}", why="no row has this id", fix="celeryctl users list")
        return users.of_user(context, user)
    found = history.by_prefix(text)
    if user and found:
        raise UsageError(
            f"{text} may be user {text} or run {str(found[0].id)[:12]}",
            why="both are there",
            fix=f"celeryctl why {str(found[0].id)[: len(text) + 5]}    (or: celeryctl users show {text})",
        )
    if user:
        return users.of_user(context, user)
    if found:
        return runs.of_run(context, lookup.find_run(text), scene.read(context))
    return _of_task(context, text)


def _of_task(context: Context, text: str) -> Verdict:
    """The verdict on an open task, known to the ledger since a worker took it, or else to the broker."""
    around = scene.read(context)
    claimed = {str(batch.task_id): (batch, left) for batch, left in history.claimed_as(text)}
    seen = {one.task_id: one for one in (*around.waiting, *around.delivered) if one.task_id.startswith(text.lower())}
    ids = list({**claimed, **seen})
    if not ids:
        told = f"; the queue cannot be seen: {around.unseen}" if around.unseen else ""
        why = f"a task that has ended is known no more, but its run is{told}"
        raise CeleryctlError(f"no user, run or open task is called {text}", why=why, fix=FIX)
    if len(ids) > 1:
        raise UsageError(f"several tasks begin with {text}", why=", ".join(ids[:5]), fix="celeryctl why RUN")
    (task_id,) = ids
    message = seen.get(task_id)
    known = claimed.get(task_id) or (history.batch(message.batch_id) if message else None)
    if known:
        return runs.of_batch(context, *known, around, task_id)
    task, position = (message.task, message.position) if message else ("", None)
    return _without_batch(task_id, task, position, alive=bool(around.working))


def _without_batch(task_id: str, task: str, position: int | None, *, alive: bool) -> Verdict:
    """A task that fetches, or whose batch is done already: a message may come late or twice."""
    where = f"It waits in the queue at place {position}." if position else "It was delivered to a worker."
    batch = "Its batch is done or gone: the worker that gets it will find nothing to do."
    because = [where, batch if task == "celeryctl.batch" else f"It is {task}, which opens a run when a worker has it."]
    if not alive:
        return Verdict(f"task {task_id}", "stuck", ("No worker is alive.", *because), "celeryctl worker")
    return Verdict(f"task {task_id}", "queued" if position else "delivered", tuple(because), "celeryctl stats")
