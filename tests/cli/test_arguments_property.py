"""Whatever is typed after `celeryctl`: it is taken, or refused in three lines; never a traceback."""

import io
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from typing import Any

import pytest
import typer
from hostile import amounts, text, tried
from hypothesis import strategies as st

from celeryctl.cli import app, group, table
from celeryctl.logs import CONTROL

from .commandline import Run, Said, assert_refused

PARSED = [entry for entry in table.COMMANDS if not entry.passes_to]
# What an operating system hands on: no NUL, and what is not UTF-8 as halves of characters.
words = text.map(lambda word: word.replace("\0", "").encode(errors="replace").decode()) | st.sampled_from(
    ["\udcff", "--", "-", "-n", "--limit=", "-n-1", "--limit=1e3", "-vvvvvvq", "--json=x", "--no-json", "1" * 30, "-5"]
)


def named(entry: table.Entry) -> st.SearchStrategy[list[str]]:
    """A command and what it takes, in any order and as often as it likes."""
    made = group.made(entry)
    parts = list(getattr(made, "commands", {}).items()) or [("", made)]
    options = {name for _, part in parts for param in part.params for name in (*param.opts, *param.secondary_opts)}
    known = sorted(options - {"--debug"})  # which asks for a traceback
    inner = st.sampled_from([name for name, _ in parts if name] or [""])
    more = st.lists(st.sampled_from(known) | words, max_size=4)
    return st.tuples(inner, more).map(lambda found: [entry.name, *filter(None, found[:1]), *found[1]])


lines = st.one_of([named(entry) for entry in PARSED]) | st.lists(words, min_size=1, max_size=3).filter(
    lambda found: found[0] not in [entry.name for entry in table.COMMANDS if entry.passes_to]
)


def assert_taken_or_refused(said: Said) -> None:
    assert "Traceback" not in said.err
    assert "ended unexpectedly" not in said.err
    assert not CONTROL.search(said.err.replace("\n", ""))
    if said.code not in (0, 3):
        assert_refused(Said(said.code, "", said.err), said.code)


@pytest.mark.unit
@amounts
def test_any_arguments_are_taken_or_refused_in_three_lines(amount: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are parsed as always; only what a command does is left out."""
    (base,) = [one for one in typer.Context.__mro__ if "invoke" in vars(one)]
    monkeypatch.setattr(base, "invoke", lambda *_, **__: None)
    monkeypatch.setattr(group, "made", cache(group.made))  # half of the time

    def check(arguments: list[str]) -> None:
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = app.run(arguments)
        assert code in (0, 2)
        assert_taken_or_refused(Said(code, out.getvalue(), err.getvalue()))

    tried(lines, check, amount)


@pytest.mark.integration
@pytest.mark.parametrize("command", [
    ["why"], ["runs"], ["tail"], ["cancel"], ["failed"], ["failed", "--retry"], ["users", "show"], ["logs"],
    ["wait", "--timeout", "0.1s", "--for"], ["fetch", "--dry-run"], ["schedule", "pause"], ["prune", "--older-than"],
    ["dataset", "check"], ["dataset", "new"], ["runs", "--dataset"], ["runs", "--status"],
], ids=" ".join)  # fmt: skip
def test_what_is_taken_is_understood_or_refused_too(run: Run, database: str, command: list[str]) -> None:
    def check(word: Any) -> None:
        if not (command == ["failed"] or (command == ["dataset", "check"] and word in ("", " "))):
            assert_taken_or_refused(run(*command, "--", word) if command[-1][:2] != "--" else run(*command, word))

    tried(words.filter(lambda word: word and not word.startswith("-")), check, 30)
