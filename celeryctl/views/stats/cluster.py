"""The blocks about the cluster: queue and rate, workers and beats, sources."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rich.text import Text

from celeryctl.ages import span, until
from celeryctl.views.grid import Column, cut, lines
from celeryctl.views.stats.block import Block, Part, Scene, away
from celeryctl.views.users import plain

NAME = 12  # characters of a name that are never cut
SKEWED = 1.0  # seconds that a worker's clock may differ before it is told
STATES = {"ok": "green", "failing": "red", "cooling": "yellow", "unknown": "dim"}


def queue(scene: Scene, width: int) -> Block:
    """The queue, and how fast rows come in."""
    document = scene.document
    queues: Part | None = document["queues"]
    told = Text("; ").join(map(_queue, queues)) if queues is not None else Text("not reachable", "red")
    if age := scene.old.get("queues"):
        told.append(f"  {span(age)} ago", "bold red")
    shown = [Text.assemble(("queue  ", "bold"), told)]
    if document["throughput"] is not None:
        shown.append(Text.assemble(("rate   ", "bold"), _rate(document["throughput"], width - 7, scene.steps)))
    return Block([cut(line, width) for line in shown], 9, 1)


def _queue(queue: Mapping[str, Any]) -> Text:
    oldest = f", oldest {span(queue['oldest_seconds'])}" if queue["waiting"] and queue["oldest_seconds"] else ""
    return Text(f"{queue['waiting']:,} waiting, {queue['unacked']:,} in work{oldest}")


def _rate(throughput: Mapping[str, Any], width: int, steps: str) -> Text:
    """A character for every bucket, and the rate of the last half minute that is over."""
    rows, seconds = throughput["rows"], throughput["bucket_seconds"]
    lately = rows[-4:-1] or [0]
    number = f"{sum(lately) / len(lately) / seconds:,.0f} rows/s"
    room = max(0, width - len(number) - 2)
    shown, most = rows[-room:] if room else [], max(rows, default=0) or 1
    bars = "".join(steps[-(-(len(steps) - 1) * row // most)] for row in shown)
    return Text.assemble((bars, "cyan"), f"  {number}")


def workers(scene: Scene, width: int) -> Block:
    """Workers, busy or not, and beats, active or not."""
    found: Part | None = scene.document["workers"]
    if found is None:
        return away("workers", 8)
    beats: Part = scene.document["beats"] or []
    rows = [*(_worker(one, scene.since) for one in found), *(_beat(one, scene.since) for one in beats)]
    if not rows:
        none = Text.assemble(("workers  ", "bold"), ("none, and no beat", "yellow"))
        return Block([cut(none, width)], 8, 1)
    names, states, ages, sizes, clocks = (list(cells) for cells in zip(*rows, strict=True))
    columns = [
        Column("worker", names, least=NAME),
        Column("busy", states),
        Column("heard", ages, rank=2, right=True),
        Column("memory", sizes, rank=1, right=True),
        *([Column("clock", clocks, rank=3, right=True)] if any(clocks) else []),
    ]
    missing = [
        *([] if any(worker["alive"] for worker in found) else ["no worker is alive"]),
        *([] if any(beat["alive"] and beat["active"] for beat in beats) else ["no beat is active"]),
    ]
    return Block([*lines(columns, width), *(cut(Text(text, "yellow"), width) for text in missing)], 8, 2)


def _worker(worker: Mapping[str, Any], since: float) -> tuple[Text, ...]:
    heard = span(worker["heartbeat_age_seconds"] + since)
    if not worker["alive"]:
        return plain(worker["name"], "red"), Text("silent", "red"), Text(heard, "red"), Text(), Text()
    busy, memory = Text(f"{worker['active']}/{worker['concurrency']}"), f"{worker['rss_bytes'] / 2**20:,.0f} MiB"
    skew = worker.get("skew_seconds") or 0.0
    clock = Text(f"{skew:+,.0f} s" if abs(skew) >= SKEWED else "", "yellow")
    return plain(worker["name"]), busy, Text(heard, "dim"), Text(memory), clock


def _beat(beat: Mapping[str, Any], since: float) -> tuple[Text, ...]:
    state = "silent" if not beat["alive"] else "active" if beat["active"] else "stands by"
    style = "red" if not beat["alive"] else "green" if beat["active"] else "dim"
    heard = Text(span(beat["heartbeat_age_seconds"] + since), "dim")
    return plain(beat["name"]), Text(state, style), heard, Text(), Text()


def sources(scene: Scene, width: int) -> Block:
    """How every source answered last."""
    found: Part | None = scene.document["sources"]
    now = scene.now
    if found is None or now is None:
        return away("sources", 3)
    columns = [
        Column("source", [plain(one["name"]) for one in found], least=NAME),
        Column("state", [Text(one["state"], STATES.get(one["state"], "")) for one in found]),
        Column("latency", [_latency(one) for one in found], rank=2, right=True),
        Column("budget", [_budget(one) for one in found], rank=3, right=True),
        Column("heard", [_heard(one, now) for one in found], rank=1, right=True),
    ]
    if not any(one.get("budget") for one in found):
        del columns[3]
    due = {one["name"]: one["next_due"] for one in scene.document["datasets"] or ()}
    wrong = (cut(plain(f"  {_wrong(one, due, now)}", "red"), width) for one in found if one.get("error"))
    return Block([*lines(columns, width), *wrong], 3, 2)


def _wrong(one: Mapping[str, Any], due: Mapping[str, datetime | None], now: datetime) -> str:
    """Of a source that is left alone first for how long, as the line may be cut."""
    at = due.get(one["name"]) if one["state"] == "cooling" else None
    again = f" asked again {until(at, now)};" if at else ""
    return f"{one['name']}:{again} {one['error']}"


def _heard(one: Mapping[str, Any], now: datetime) -> Text:
    return Text(span((now - one["last_ok"]).total_seconds()) if one["last_ok"] else "never", "dim")


def _latency(one: Mapping[str, Any]) -> Text:
    seconds = one.get("latency_seconds")
    return Text("" if seconds is None else f"{1000 * seconds:,.0f} ms" if seconds < 10 else f"{seconds:,.0f} s")


def _budget(one: Mapping[str, Any]) -> Text:
    budget = one.get("budget")
    return Text(f"{budget['remaining']:,} of {budget['limit']}" if budget else "")
