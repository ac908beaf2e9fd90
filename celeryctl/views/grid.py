"""Lines of text of a fixed width: columns of which the least important go when there is no room."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions
from rich.text import Text

GAP = 2  # characters between two columns


@dataclass(frozen=True, slots=True)
class Column:
    """``cells`` below a title. Of several columns the one with the highest ``rank`` goes first; rank 0 stays.

    With ``least`` the cells may be cut, down to that many characters.
    """

    title: str
    cells: Sequence[Text]
    rank: int = 0
    right: bool = False
    least: int = 0

    @property
    def width(self) -> int:
        return max([len(self.title), *(cell.cell_len for cell in self.cells)])

    @property
    def narrowest(self) -> int:
        return min(self.width, self.least) if self.least else self.width


@dataclass(frozen=True, slots=True)
class Grid:
    """Columns that take what room there is where they are printed."""

    columns: Sequence[Column]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        """The lines for that width."""
        yield from lines(self.columns, options.max_width)


def lines(columns: Sequence[Column], width: int) -> list[Text]:
    """A line of titles and one for every row, none wider than ``width``."""
    kept = _fitting(list(columns), width)
    widths = _widths(kept, width)
    rows = [[Text(column.title, "bold") for column in kept]]
    rows += [list(row) for row in zip(*(column.cells for column in kept), strict=True)]
    return [cut(_line(row, kept, widths), width) for row in rows]


def _fitting(columns: list[Column], width: int) -> list[Column]:
    while _needed(columns) > width and (ranked := [column for column in columns if column.rank]):
        columns.remove(max(ranked, key=lambda column: column.rank))
    return columns


def _needed(columns: Sequence[Column]) -> int:
    return sum(column.narrowest for column in columns) + GAP * (len(columns) - 1)


def _widths(columns: Sequence[Column], width: int) -> list[int]:
    """What does not fit is taken from the columns that may be cut, the widest first."""
    widths = [column.width for column in columns]
    over = sum(widths) + GAP * (len(columns) - 1) - width
    for place in sorted(range(len(columns)), key=lambda place: -widths[place]):
        taken = min(max(over, 0), widths[place] - columns[place].narrowest)
        widths[place] -= taken
        over -= taken
    return widths


def _line(row: Sequence[Text], columns: Sequence[Column], widths: Sequence[int]) -> Text:
    line = Text()
    for number, (whole, column, width) in enumerate(zip(row, columns, widths, strict=True)):
        cell = cut(whole, width)
        room = " " * (width - cell.cell_len)
        line.append(" " * GAP if number else "")
        line.append(room if column.right else "").append_text(cell).append("" if column.right else room)
    line.rstrip()
    return line


def cut(line: Text, width: int) -> Text:
    """The line, not wider than this."""
    if line.cell_len > width:
        line = line.copy()
        line.truncate(max(width, 0), overflow="crop" if width < 2 else "ellipsis")
    return line


def spread(left: Text, right: Text, width: int) -> Text:
    """Both on one line, at its two ends; ``right`` goes when there is no room."""
    room = width - left.cell_len - right.cell_len
    return Text.assemble(left, " " * room, right) if right and room >= GAP else cut(left, width)


def beside(left: Sequence[Text], right: Sequence[Text], at: int) -> list[Text]:
    """Two columns of lines, the second from column ``at`` on."""
    found = []
    for number in range(max(len(left), len(right))):
        line = left[number].copy() if number < len(left) else Text()
        if number < len(right) and right[number].cell_len:
            line.append(" " * (at - line.cell_len)).append_text(right[number])
        found.append(line)
    return found
