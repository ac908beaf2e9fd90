"""Tables that fit: what is left out, what is cut, and that no line is too wide."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from celeryctl.views.grid import Column, cut, lines

pytestmark = pytest.mark.unit


def column(title: str, *cells: str, rank: int = 0, least: int = 0, right: bool = False) -> Column:
    return Column(title, [Text(cell) for cell in cells], rank=rank, least=least, right=right)


def shown(columns: list[Column], width: int) -> list[str]:
    return [line.plain for line in lines(columns, width)]


def test_the_column_of_the_highest_rank_goes_first() -> None:
    columns = [column("a", "1"), column("seldom", "2", rank=2), column("often", "3", rank=1)]
    assert shown(columns, 16) == ["a  seldom  often", "1  2       3"]
    assert shown(columns, 15) == ["a  often", "1  3"]
    assert shown(columns, 7) == ["a", "1"]


def test_a_long_name_is_cut_before_a_column_goes() -> None:
    columns = [column("name", "x" * 50, least=12), column("rows", "7", rank=1, right=True)]
    assert shown(columns, 20) == ["name            rows", f"{'x' * 13}…     7"]


def test_a_name_is_not_cut_below_its_least() -> None:
    columns = [column("name", "x" * 50, least=12), column("rows", "7", rank=1)]
    assert shown(columns, 17) == ["name", f"{'x' * 16}…"]


def test_of_several_names_the_longest_is_cut() -> None:
    columns = [column("one", "x" * 40, least=5), column("two", "y" * 10, least=5)]
    assert shown(columns, 30) == ["one                 two", f"{'x' * 17}…  {'y' * 10}"]


@given(st.lists(st.text(max_size=40), min_size=1, max_size=4), st.integers(0, 60), st.integers(0, 20))
def test_no_line_is_too_wide(names: list[str], width: int, least: int) -> None:
    safe = ["".join(one if one.isprintable() else "?" for one in name) for name in names]
    columns = [column("name", *safe, least=least), column("rows", *["12,345"] * len(safe), rank=1, right=True)]
    assert all(line.cell_len <= width for line in lines(columns, width))


@pytest.mark.parametrize(("width", "left"), [(4, "abcd"), (3, "ab…"), (1, "a"), (0, ""), (-1, "")])
def test_what_is_cut_says_so_where_there_is_room(width: int, left: str) -> None:
    assert cut(Text("abcd"), width).plain == left
