"""Why a run, or one of its batches, is where it is."""

from collections.abc import Iterator

from celeryctl.cluster.messages import MOST
from celeryctl.pipeline.context import Context
from celeryctl.storage import history, pause
from celeryctl.storage.ledger import Batch, Run
from celeryctl.verdicts.scene import Scene
from celeryctl.verdicts.sources import cooling, held_back
from celeryctl.verdicts.verdict import Verdict

SHOWN = 3  # batches of each kind that are told of one by one
Leases = list[tuple[Batch, float]]


def of_run(context: Context, run: Run, scene: Scene) -> Verdict:
    """The verdict on a run."""
    subject = f"run {short(run)} of {run.dataset}"
    if run.status != "running":
        return Verdict(subject, run.status, tuple(_ended(context, run)), _after(run))
    leases = history.batches(run)
    state, because, following = judge(leases, scene)
    told = [*because, *_also(context, run, leases, state)]
    return Verdict(subject, state, tuple(told), following or f"celeryctl tail {short(run)}")


def of_batch(context: Context, batch: Batch, left: float, scene: Scene, task_id: str) -> Verdict:
    """The verdict on the task of one batch."""
    run = batch.run
    state, because, following = judge([(batch, left)], scene)
    told = [*because, f"It is batch {_range(batch)} of run {short(run)}.", *_also(context, run, [(batch, left)], state)]
    return Verdict(f"task {task_id} of {run.dataset}", state, tuple(told), following or f"celeryctl tail {short(run)}")


def short(run: Run) -> str:
    return str(run.id)[:8]


def _ended(context: Context, run: Run) -> Iterator[str]:
    done = f"{run.created:,} new, {run.updated:,} changed, {run.unchanged:,} same, {run.rejected:,} rejected"
    if run.status == "cancelled":
        yield "Somebody has cancelled it; what was stored until then stays."
    if run.error:
        yield f"It was given up: {run.error}."
    if run.error and (reason := cooling(context, run.dataset)):
        yield reason
    if run.rejected:
        yield f"{run.rejected:,} records were set aside, each with its reasons."
    yield f"Its records: {done}."


def _after(run: Run) -> str:
    if run.status == "succeeded":
        return f"celeryctl runs {short(run)}"
    if run.status == "partial" and not run.error:
        return f"celeryctl failed {run.dataset.replace('_', '-')}"
    return f"celeryctl fetch {run.dataset.replace('_', '-')}"


def judge(leases: Leases, scene: Scene) -> tuple[str, list[str], str]:
    """State, reasons and next command for open batches; an empty command where the run is to be followed."""
    held = [(batch, left) for batch, left in leases if batch.token is not None and left > 0]
    if held:
        return "in work", [_holding(batch, left) for batch, left in held[:SHOWN]], ""
    orphans = [batch for batch, _ in leases if batch.token is not None]
    if orphans:
        because = [f"Its holder {batch.holder or 'somebody'} has fallen silent." for batch in orphans[:SHOWN]]
        return _stuck(scene, "orphaned", because, "It goes to another worker as soon as it is announced again.")
    return _unclaimed([batch for batch, _ in leases], scene)


def _holding(batch: Batch, left: float) -> str:
    tried = f", at attempt {batch.attempts}" if batch.attempts > 1 else ""
    return f"{batch.holder or 'Somebody'} works on batch {_range(batch)}{tried}; its lease has {left:.0f} s left."


def _unclaimed(batches: list[Batch], scene: Scene) -> tuple[str, list[str], str]:
    ids = [batch.id for batch in batches]
    if any(scene.is_delivered(batch_id) for batch_id in ids):
        because = ["It was delivered to a worker that has not begun with it."]
        if scene.silent():
            return _stuck(scene, "stuck", because, "A worker that is stopped or frozen holds the message.")
        return "delivered", [*because, "The worker is busy, or about to begin."], ""
    queued = [message for batch_id in ids if (message := scene.queued(batch_id))]
    if queued:
        place = queued[0].position or 0
        of = f"more than {len(scene.waiting):,}" if scene.is_cut else f"{len(scene.waiting)}"
        return _stuck(scene, "queued", [f"It waits in the queue at place {place} of {of}."], "")
    if scene.unseen:
        return "queued", [f"No worker has it, and the queue cannot be seen: {scene.unseen}."], "celeryctl doctor"
    if scene.is_cut:
        because = [f"No worker has it; its message is not among the first {MOST:,} of the queue, which alone are seen."]
        return _stuck(scene, "queued", because, "")
    return _stuck(scene, "lost", ["No worker has it and no message is under way."], "It is announced again in seconds.")


def _stuck(scene: Scene, state: str, because: list[str], hope: str) -> tuple[str, list[str], str]:
    """What it waits for: a worker, or a beat that announces it again."""
    if not scene.working:
        silent = [f"{told}." for told in scene.silent()]
        return "stuck", ["No worker is alive.", *silent, *because], "celeryctl worker"
    if state in ("lost", "orphaned") and not scene.has_beat:
        return state, [*because, "No beat is active that would announce it again."], "celeryctl beat"
    return state, [*because, *([hope] if hope else []), *(f"{told}." for told in scene.silent())], ""


def _also(context: Context, run: Run, leases: Leases, state: str) -> Iterator[str]:
    free = sum(batch.token is None for batch, _ in leases)
    if state == "in work" and free:
        yield f"{free} more of its batches wait."
    if state == "in work" and (reason := held_back(context, run.dataset)):
        yield reason
    if run.retries:
        yield f"Its requests were tried again {run.retries:,} times so far."
    if run.dataset in pause.paused():
        yield f"The schedule of {run.dataset} is paused; a run that is under way goes on."


def _range(batch: Batch) -> str:
    return f"{batch.lo} to {batch.hi}"
