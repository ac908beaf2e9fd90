"""The blocks about data: how complete they are, what is due, what was done."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rich.text import Text

from celeryctl.ages import ago, until
from celeryctl.views.grid import Column, cut, lines
from celeryctl.views.runs import STYLES
from celeryctl.views.stats.block import Block, Part, Scene, away
from celeryctl.views.users import plain

BAR = 12  # characters
NAME = 12  # characters of a data set's name that are never cut
COUNTS = (("rows", 2), ("missing", 1), ("stale", 5), ("quarantined", 4))  # the higher, the sooner it is left out
EMPTY = 10  # more of that for a column that holds nothing but zeros


def coverage(scene: Scene, width: int) -> Block:
    """How complete every data set is."""
    found: Part | None = scene.document["datasets"]
    if found is None:
        return away("data sets", 10)
    shares = [_share(one) for one in found]
    columns = [
        Column("data set", [plain(one["name"]) for one in found], least=NAME),
        Column("coverage", [_bar(share, scene) for share in shares], rank=3),
        Column("", [Text(_percent(share)) for share in shares], right=True),
        *(_counts(found, name, rank) for name, rank in COUNTS),
    ]
    return Block(lines(columns, width), 10, 2)


def _share(one: Mapping[str, Any]) -> float | None:
    """Of those who should have a row, the part that has one."""
    if one["missing"] is None:
        return None
    wanted = one["rows"] + one["missing"]
    return one["rows"] / wanted if wanted else 0.0


def _bar(share: float | None, scene: Scene) -> Text:
    done = 0 if share is None else int(BAR * share + 1e-9)
    return Text.assemble((scene.full * done, "green"), (scene.empty * (BAR - done), "dim"))


def _percent(share: float | None) -> str:
    """Rounded down: it is 100 only when nothing is missing."""
    return "?" if share is None else f"{int(100 * share + 1e-9)} %"


def _counts(found: Part, name: str, rank: int) -> Column:
    nothing = all(one[name] == 0 for one in found) and name != "missing"
    return Column(name, [_count(one[name], name) for one in found], rank=rank + EMPTY * nothing, right=True)


def _count(number: int | None, name: str) -> Text:
    if number is None:
        return Text("?", "dim")
    return Text(f"{number:,}", "yellow" if number and name != "rows" else "")


def schedule(scene: Scene, width: int) -> Block:
    """What ran last and what is due when."""
    found: Part | None = scene.document["datasets"]
    now = scene.now
    if found is None or now is None:
        return away("schedule", 5)
    running = {run["dataset"]: run for run in scene.document["runs"] or () if run["status"] == "running"}
    columns = [
        Column("schedule", [plain(one["name"]) for one in found], least=NAME),
        Column("last run", [_last(one, running) for one in found], rank=1),
        Column("", [Text(ago(run["at"], now) if (run := one["last_run"]) else "", "dim") for one in found], rank=2),
        Column("next", [_due(one, now) for one in found]),
    ]
    return Block(lines(columns, width), 5, 2)


def _last(one: Mapping[str, Any], running: Mapping[str, Any]) -> Text:
    run = one["last_run"]
    if run is None:
        return Text("never", "dim")
    under_way = running.get(one["name"])
    share = f" {100 * under_way['done'] // under_way['expected']} %" if under_way and under_way["expected"] else ""
    return Text(f"{run['status']}{share}", STYLES.get(run["status"], ""))


def _due(one: Mapping[str, Any], now: datetime) -> Text:
    return Text("paused", "yellow") if one["paused"] else Text(until(one["next_due"], now))


def runs(scene: Scene, width: int) -> Block:
    """The newest runs and what came of them; below a newest one that went wrong, why."""
    found: Part | None = scene.document["runs"]
    now = scene.now
    if found is None or now is None:
        return away("runs", 4)
    if not found:
        return Block([cut(Text.assemble(("runs  ", "bold"), ("none yet", "dim")), width)], 4, 1)
    counts = [("new", "created", 2), ("changed", "updated", 5), ("rejected", "rejected", 4)]
    if any(run["retries"] for run in found):
        counts.append(("retries", "retries", 4))
    columns = [
        Column("run", [plain(run["id"][:8], "dim") for run in found], rank=3),
        Column("data set", [plain(run["dataset"]) for run in found], least=NAME),
        Column("outcome", [Text(run["status"], STYLES.get(run["status"], "")) for run in found]),
        *(Column(name, [Text(f"{run[key]:,}") for run in found], rank=rank, right=True) for name, key, rank in counts),
        Column("time", [_took(run) for run in found], rank=6, right=True),
        Column("started", [Text(ago(run["started_at"], now), "dim") for run in found], rank=1),
    ]
    shown = lines(columns, width)
    if error := found[0]["error"]:
        shown.insert(2, cut(plain(f"  {error}", STYLES.get(found[0]["status"], "")), width))
    return Block(shown, 4, 2)


def _took(run: Mapping[str, Any]) -> Text:
    return Text("" if run["seconds"] is None else f"{run['seconds']:,.1f} s")
