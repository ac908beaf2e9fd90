"""Running command lines in this process, and what they said."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


Run = Callable[..., Said]


def assert_refused(said: Said, code: int, *words: str) -> None:
    """Three lines on stderr with these words, nothing on stdout, no traceback."""
    assert (said.code, said.out) == (code, ""), said
    lines = said.err.splitlines()
    assert [line[:6] for line in lines] == ["Error:", "  why:", "  fix:"], said.err
    for word in words:
        assert word in said.err
