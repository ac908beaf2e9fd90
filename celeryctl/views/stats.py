"""The stats screen, from the document that `stats --json` prints."""

from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from celeryctl.views.users import plain

BAR = 12  # characters
COUNTS = ("rows", "missing", "stale", "quarantined")
AWAY = Text("not reachable", "red")


def render(document: dict[str, Any]) -> Group:
    """Everything below each other: coverage, schedule, cluster, problems, what to do next."""
    parts: list[RenderableType] = [Text.assemble(("data sets  ", "bold"), AWAY)]
    if document["datasets"] is not None:
        parts = [_coverage(document["datasets"]), Text(), _schedule(document["datasets"], document["at"])]
    parts += [Text(), _cluster(document), *(plain(f"! {problem}", "red") for problem in document["problems"])]
    return Group(*parts, Text(f"\nNext: {_next(document)}", "dim"))


def _coverage(datasets: list[dict[str, Any]]) -> Table:
    table = _table(("data set", "coverage", "", *COUNTS), right=("", *COUNTS))
    for one in datasets:
        share = one["rows"] / (one["rows"] + one["missing"]) if one["rows"] + one["missing"] else 0.0
        done = round(BAR * share)
        bar = Text.assemble(("█" * done, "green"), ("░" * (BAR - done), "dim"))
        table.add_row(one["name"], bar, f"{100 * share:.0f} %", *(f"{one[name]:,}" for name in COUNTS))
    return table


def _schedule(datasets: list[dict[str, Any]], now: datetime) -> Table:
    table = _table(("schedule", "last run", "", "next"))
    for one in datasets:
        run = one["last_run"]
        due = "now" if one["next_due"] <= now else f"in {_age(now, one['next_due'])}"
        told = ("never", "") if run is None else (run["status"], f"{_age(run['at'], now)} ago")
        table.add_row(one["name"], *told, due)
    return table


def _table(columns: tuple[str, ...], right: tuple[str, ...] = ()) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, no_wrap=True, justify="right" if name in right else "left")
    return table


def _cluster(document: dict[str, Any]) -> Table:
    table = Table.grid(padding=(0, 2))
    queues, workers, sources = document["queues"], document["workers"], document["sources"]
    table.add_row(Text("queue", "bold"), AWAY if queues is None else Text(", ".join(_queue(queue) for queue in queues)))
    table.add_row(Text("workers", "bold"), AWAY if workers is None else _workers(workers))
    table.add_row(Text("sources", "bold"), AWAY if sources is None else _sources(sources))
    return table


def _queue(queue: dict[str, Any]) -> str:
    oldest = f", oldest {queue['oldest_seconds']:.0f} s" if queue["waiting"] else ""
    return f"{queue['waiting']:,} waiting, {queue['unacked']:,} in work{oldest}"


def _workers(workers: list[dict[str, Any]]) -> RenderableType:
    lines = Text()
    for worker in workers:
        state = f"{worker['active']}/{worker['concurrency']} busy, {worker['rss_bytes'] / 2**20:.0f} MiB"
        gone = f"silent for {worker['heartbeat_age_seconds']:.0f} s"
        told = f"{worker['name']}  {state if worker['alive'] else gone}"
        lines.append_text(plain(told, "" if worker["alive"] else "red")).append("\n")
    lines.rstrip()
    return lines or Text("none", "yellow")


def _sources(sources: list[dict[str, Any]]) -> Text:
    style = {"ok": "green", "failing": "red", "unknown": "dim"}
    return Text("  ").join(
        Text.assemble(source["name"], " ", (source["state"], style[source["state"]])) for source in sources
    )


def _next(document: dict[str, Any]) -> str:
    """The command that helps most now."""
    if document["datasets"] is None:
        return "celeryctl up"
    if not any(worker["alive"] for worker in document["workers"] or ()):
        return "celeryctl up, or: celeryctl worker" if document["queues"] is not None else "celeryctl up"
    if any(one["missing"] for one in document["datasets"]):
        return "celeryctl fetch all"
    return "celeryctl users list"


def _age(since: datetime, until: datetime) -> str:
    seconds = max(0, int((until - since).total_seconds()))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
