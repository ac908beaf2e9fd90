"""The command that helps most now."""

from collections.abc import Collection, Iterator

from celeryctl.views.stats.block import Document


def advice(document: Document, away: Collection[str] = ()) -> str:
    """Without its first word. ``away`` names the parts that are shown, but are from an earlier document."""
    return next(_advices(document, away))


def _advices(document: Document, away: Collection[str]) -> Iterator[str]:
    datasets = document["datasets"]
    anybody = any(worker["alive"] for worker in document["workers"] or ())
    if datasets is None or "datasets" in away:
        yield "doctor" if document["database"] else "up"
    if document["queues"] is None or "queues" in away:
        yield "doctor" if anybody else "up"
    if not anybody:
        yield "worker"
    yield from _troubles(document)
    if not any(beat["alive"] and beat["active"] for beat in document["beats"] or ()):
        yield "beat"
    if paused := next((one["name"] for one in datasets if one["paused"]), None):
        yield f"schedule resume {paused.replace('_', '-')}"
    if any(run["status"] == "running" for run in document["runs"] or ()):
        yield "tail"
    if any(one["missing"] for one in datasets):
        yield "fetch all"
    if quarantined := next((one["name"] for one in datasets if one["quarantined"]), None):
        yield f"failed {quarantined.replace('_', '-')}"
    yield "users list"


def _troubles(document: Document) -> Iterator[str]:
    """A source that does not answer; a data set whose last run went wrong."""
    if any(source["state"] in ("failing", "cooling") for source in document["sources"] or ()):
        yield "doctor"
    newest = {one["last_run"]["id"] for one in document["datasets"] if one["last_run"]}
    for run in document["runs"] or ():
        if run["status"] in ("failed", "partial") and run["id"] in newest:
            yield f"why {run['id'][:8]}"
