"""What nobody means well with: texts, numbers and records, and a way to try thousands of them.

The examples are the same every time that the same modules are loaded, whose constants Hypothesis tries, too: so a
failure can be repeated with the tests that ran before it.
"""

import json
from collections.abc import Callable, Sequence
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from celeryctl.local.generate import CARD_NUMBERS

T = TypeVar("T")

FEW, MANY = 200, 10_000
amounts = pytest.mark.parametrize(
    "amount", [FEW, pytest.param(MANY, marks=[pytest.mark.slow, pytest.mark.timeout(500)])]
)

TEXTS = (
    "", " ", "\0", "a\0b", "\x1b[2J", "\x1b]8;;http://e\x07", "\x9b31m", "\r", "\n", "\t", "\\", "\\N", "\\.", "\u202e",
    "\u2066", "\u2028", "\u200b", "\ufeff", "\ud800", "\udfff", "\udcff", "\U000e0041", "😀", "é" * 300, "[bold]x[/]",
    "[link=http://e]x[/link]", ":boom:", "'; DROP TABLE users; --", "%s%n{}{0}$x", "../../etc/passwd", "-1", "--help",
    CARD_NUMBERS[0], "password=hunter2", "postgresql://u:s3cret@h/d", "NaN", "Infinity", "null", "true", "1e400",
    "9" * 5000, "٣", "2024-13-45", "0000-00-00", "2024-02-29", "x" * 70_000,
)  # fmt: skip
ESCAPED = ('"\\ud800"', '"\\udc00x"', '"\\u0000"', '"\\u202e"', '"\\q"', '"\n"')
RAW = (
    "", "null", "true", "0", "-0", "-1", "1.5", "1e400", "-1e400", "1e-400", "NaN", "Infinity", "9" * 19, "9" * 400,
    "9" * 4300, "9" * 5000, "01", "+1", "0x1", "{}", "[]", "[[]]", '{"a":{}}', "[" * 80 + "]" * 80,
    "[" * 3000 + "]" * 3000,
    '{"x":' * 200 + "1" + "}" * 200, '"', "{", "[", "]", "}", ",", ":", "\\", "//x", "\ufeff",
)  # fmt: skip

text = st.sampled_from(TEXTS) | st.text(max_size=12) | st.text(st.characters(categories=["C", "Z", "S"]), max_size=6)
value = st.sampled_from(RAW + ESCAPED) | text.map(json.dumps)


def record(names: Sequence[str]) -> st.SearchStrategy[str]:
    """A record as JSON that may be none: some of the names, maybe twice, with anything as their values."""
    pair = st.tuples(st.sampled_from([*names, "x", "\0", "__class__"]).map(json.dumps), value).map(":".join)
    return st.lists(pair, max_size=5).map(lambda pairs: f"{{{','.join(pairs)}}}") | value


def tried(strategy: st.SearchStrategy[T], check: Callable[[T], None], amount: int, *, shrink: bool = True) -> None:
    """Try so many examples; the smallest that fails is told, or with ``shrink`` off the first one."""

    @settings(
        max_examples=amount, database=None, derandomize=True, suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, *[Phase.shrink] * shrink],
    )  # fmt: skip
    @given(strategy)
    def every(one: T) -> None:
        check(one)

    every()
