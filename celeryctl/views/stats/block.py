"""Blocks of lines, and how several of them are fitted into a number of lines."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from rich.text import Text

Document = Mapping[str, Any]
Part = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Scene:
    """What the blocks are made from.

    ``now`` is later than the document where that is shown for a while; ``old`` has the age in seconds of the parts
    that are from an earlier document, as their server is away.
    """

    document: Document
    now: datetime | None
    ascii_only: bool = False
    old: Mapping[str, float] = field(default_factory=dict)

    @property
    def since(self) -> float:
        """Seconds since the document was made."""
        return (self.now - self.document["at"]).total_seconds() if self.now and self.document["at"] else 0.0

    @property
    def full(self) -> str:
        return "#" if self.ascii_only else "█"

    @property
    def empty(self) -> str:
        return "-" if self.ascii_only else "░"

    @property
    def steps(self) -> str:
        """The characters of a sparkline, from nothing to the most."""
        return " .:-=+*#" if self.ascii_only else " ▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True)
class Block:
    """Lines that belong together. Of the blocks that do not fit the one with the least ``weight`` goes first.

    At least ``least`` lines stay where a list is shortened.
    """

    lines: Sequence[Text]
    weight: int
    least: int
    hidden: int = 0

    @property
    def shown(self) -> list[Text]:
        """The lines, and how many are missing from them."""
        return [*self.lines, *([Text(f"+{self.hidden} more", "dim")] if self.hidden else [])]

    @property
    def spare(self) -> int:
        """By how many lines it can be shortened."""
        return len(self.shown) - self.least

    def shortened(self) -> "Block":
        """One line less: the first time two go, as one says how many are hidden."""
        gone = 1 if self.hidden else 2
        return replace(self, lines=self.lines[:-gone], hidden=self.hidden + gone)


def away(name: str, weight: int) -> Block:
    """In place of a part that is not known, as its server does not answer."""
    return Block([Text.assemble((f"{name}  ", "bold"), ("not reachable", "red"))], weight, 1)


def stack(parts: Sequence[Block], room: int | None) -> list[Text]:
    """The blocks below each other, in so many lines; a blank line before each as long as there is room for that."""
    kept = list(parts)
    if room is None:
        return _joined(kept, gap=True)
    gap = _height(kept, gap=True) <= room
    while not gap and _height(kept, gap=False) > room and kept:
        kept = _smaller(kept)
        gap = _height(kept, gap=True) <= room
    return _joined(kept, gap=gap)


def _smaller(parts: list[Block]) -> list[Block]:
    """One line less of the longest list that can be shortened, else without the least important block."""
    long = [block for block in parts if block.spare > 0 and len(block.lines) > 2]
    if long:
        longest = max(long, key=lambda block: (block.spare, -block.weight))
        return [block.shortened() if block is longest else block for block in parts]
    least = min(parts, key=lambda block: block.weight)
    return [block for block in parts if block is not least]


def _height(parts: Sequence[Block], *, gap: bool) -> int:
    return sum(len(block.shown) + gap for block in parts)


def _joined(parts: Sequence[Block], *, gap: bool) -> list[Text]:
    return [line for block in parts for line in ([Text()] if gap else []) + block.shown]
