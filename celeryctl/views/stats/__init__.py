"""The stats screen, from the document that `stats --json` prints: once, again and again, or as a picture.

Parts are blocks of lines. Where there is no room for all of them, lists are shortened, then the least important go.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import urlsplit

from rich.cells import cell_len
from rich.text import Text

from celeryctl.views.grid import GAP, beside, cut, spread
from celeryctl.views.stats import cluster, records
from celeryctl.views.stats.advice import advice
from celeryctl.views.stats.block import Block, Document, Scene, stack
from celeryctl.views.users import plain

TWO_COLUMNS = 100  # characters from which on there are two
LEFT = 0.56  # of the width
LOCAL = "_local"  # how the name of a database ends whose records are made up


@dataclass(frozen=True, slots=True)
class Status:
    """What the watch view says of itself: the keys, which with ``helps`` take the whole last line, and a note on top.

    ``old`` has the age in seconds of the parts that are from an earlier document.
    """

    foot: str
    note: str = ""
    warns: bool = False
    helps: bool = False
    old: Mapping[str, float] = field(default_factory=dict)


def render(
    document: Document | None,
    width: int,
    height: int | None = None,
    *,
    status: Status | None = None,
    now: datetime | None = None,
    ascii_only: bool = False,
) -> Text:
    """The screen in ``width`` columns and at most ``height`` lines; None for as many as it takes.

    ``document`` is None as long as nothing is known yet; ``now`` is given where it was made a while ago.
    """
    foot = [_foot(document, status, width)] if document or status else []
    if not status:
        foot = [Text(), *foot]
    room = None if height is None else max(0, height - 1 - len(foot))
    if document:
        scene = Scene(document, now or document["at"], ascii_only, status.old if status else {})
        body = _body(scene, width, room)
    else:
        body = [Text("  asking database and broker", "dim")][:room]
    if status and room is not None:
        body += [Text()] * (room - len(body))  # the last line stays where it is
    shown = [cut(line, width) for line in [_head(document, status, width), *body, *foot][:height]]
    if ascii_only:
        shown = [_in_ascii(line) for line in shown]
    return Text("\n", no_wrap=True, overflow="crop", end="").join(shown)


def _body(scene: Scene, width: int, room: int | None) -> list[Text]:
    troubles = [cut(plain(f"! {problem}", "red"), width) for problem in scene.document["problems"]]
    left = room if room is None else room - len(troubles)
    if width < TWO_COLUMNS:
        (coverage, schedule, runs), (queue, workers, sources) = _blocks(scene, width, width)
        body = stack([coverage, queue, workers, schedule, runs, sources], left)
    else:
        first = int(width * LEFT)
        one, other = _blocks(scene, first - 1, width - first - 2)
        body = beside(stack(one, left), stack(other, left), first + 1)
    return [*troubles, *body][:room]


def _blocks(scene: Scene, left: int, right: int) -> tuple[list[Block], list[Block]]:
    """All blocks, for two columns of these widths: data on the left, the cluster on the right."""
    return (
        [records.coverage(scene, left), records.schedule(scene, left), records.runs(scene, left)],
        [cluster.queue(scene, right), cluster.workers(scene, right), cluster.sources(scene, right)],
    )


def _head(document: Document | None, status: Status | None, width: int) -> Text:
    database = place(document["database"]) if document and document["database"] else ""
    left = Text.assemble(("celeryctl", "bold"), f"  {database}" if database else "")
    if status:
        note = Text(status.note, "bold red" if status.warns else "dim")
        # That it stands still, or is old, is more important than where it comes from.
        return spread(cut(left, max(0, width - note.cell_len - GAP)), note, width)
    at: datetime | None = document["at"] if document else None
    return spread(left, Text(f"{at.astimezone():%H:%M:%S}" if at else "", "dim"), width)


def place(url: str) -> str:
    """The database's name and where it is; whether its records are made up."""
    parts = urlsplit(url)
    name = parts.path.strip("/") or "postgres"
    where = f" on {parts.hostname}" if parts.hostname else ""
    return plain(f"{name}{where}{', made-up records' if name.endswith(LOCAL) else ''}").plain


def _foot(document: Document | None, status: Status | None, width: int) -> Text:
    if status and status.helps:
        return Text(status.foot)
    told = f"Next: celeryctl {advice(document, status.old if status else ())}" if document else ""
    return spread(plain(told, "bold" if status else "dim"), Text(status.foot if status else "", "dim"), width)


def _in_ascii(line: Text) -> Text:
    """As wide as before."""
    if not line.plain.isascii():
        told = line.plain.replace("…", ".")
        line.plain = "".join(one if one.isascii() else "?" * cell_len(one) for one in told)
    return line
