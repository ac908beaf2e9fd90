import io
import json
import os
import shlex
import subprocess
import sys
import uuid
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer

from celeryctl.cli import app, boundary, group, options, table
from celeryctl.errors import CeleryctlError, NoWorkerError, SettingsError

pytestmark = pytest.mark.unit

HEAVY = {"celery", "kombu", "peewee", "psycopg2", "pydantic", "requests", "msgspec", "rich", "typer", "redis"}
PYTHON = shlex.quote(sys.executable)
Captured = pytest.CaptureFixture[str]
seen: list[Any] = []


def spawn(*arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "celeryctl", *arguments]
    return subprocess.run(
        program, capture_output=True, text=True, timeout=60, env={**os.environ, **changes}, check=False
    )


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three commands of this file beside the real ones."""
    added = [table.Entry(name, "See", "For a test", (name,), attribute=name) for name in ("single", "several")]
    added.append(table.Entry("passing", "See", "For a test", ("passing",), "passing", passes_to="celery worker"))
    for entry in added:
        monkeypatch.setitem(sys.modules, entry.module, sys.modules[__name__])
    monkeypatch.setattr(table, "COMMANDS", (*table.COMMANDS, *added))
    seen.clear()


def single(number: int = 0, yes: bool = False, code: int = 0) -> None:
    """Remember the options."""
    if yes:
        typer.confirm("really?", abort=True)
    seen.append((number, options.common.quiet, options.common.verbose, options.common.no_color))
    raise typer.Exit(code)


def passing(arguments: Sequence[str]) -> None:
    """Remember the words."""
    seen.append(list(arguments))


several = typer.Typer(help="Several.", no_args_is_help=True)


@several.command(cls=options.Command)
def one(name: str) -> None:
    """Take a name."""
    seen.append(name)


@several.command(cls=options.Command)
def other() -> None:
    """Take nothing."""


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"], ["help"], ["help", "-h"], ["help", "help"]])
def test_celeryctl_alone_prints_all_commands_in_groups(capsys: Captured, arguments: list[str]) -> None:
    assert app.run(arguments) == 0
    out, err = capsys.readouterr()
    assert not err
    places = [out.index(f"\n{name}\n") for name in ("Start", "Work", "See", "Setup")]
    assert places == sorted(places)
    assert all(f"\n  {entry.name} " in out and entry.help in out for entry in table.COMMANDS)
    assert max(map(len, out.splitlines())) <= 120


def test_the_version_is_printed(capsys: Captured) -> None:
    assert app.run(["--version"]) == 0
    assert capsys.readouterr().out == f"celeryctl {version('celeryctl')}\n"


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        ([], set()),
        (["--help"], set()),
        (["--version"], set()),
        (["help"], set()),
        (["fetsh"], set()),
        (["config", "-h"], HEAVY),
    ],
)
def test_help_loads_nothing_heavy(arguments: list[str], allowed: set[str]) -> None:
    program = "import sys; from celeryctl.cli.app import run; run(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    ended = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=60, check=True
    )
    loaded = {name.split(".")[0] for name in ended.stderr.split()}
    assert not (HEAVY - allowed) & loaded
    assert not {"celery", "peewee", "requests", "msgspec"} & loaded


def test_the_package_alone_loads_nothing_and_knows_no_app() -> None:
    program = (
        "import sys, celeryctl; assert not hasattr(celeryctl, 'app'); assert not hasattr(celeryctl, '__path')\n"
        "assert 'peewee' not in sys.modules; print(celeryctl.__version__)\n"
        "from celeryctl import Dataset, Row, Source, User; assert issubclass(User, sys.modules['peewee'].Model)"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout == f"{version('celeryctl')}\n"


@pytest.mark.parametrize("entry", table.COMMANDS, ids=lambda entry: entry.name)
def test_every_command_has_help_and_takes_the_common_options(capsys: Captured, entry: table.Entry) -> None:
    for arguments in ([entry.name, "-h"], ["help", entry.name]):
        assert app.run(arguments) == 0
        out, err = capsys.readouterr()
        assert out.startswith(f"Usage: celeryctl {entry.name} ")
        assert not err
    target = app.load(entry)
    if entry.passes_to:
        assert entry.passes_to in out
        return
    assert "--install-completion" not in out
    for command in (
        [group.made(entry)]
        if callable(target) and not isinstance(target, typer.Typer)
        else group.made(entry).commands.values()
    ):
        assert command.help, "the docstring"
        known = {name for param in command.params for name in param.opts}
        assert {"-q", "--quiet", "-v", "--verbose", "--no-color", "--debug"} <= known


@pytest.mark.usefixtures("commands")
def test_common_options_stand_after_the_command_and_are_forgotten_afterwards() -> None:
    assert app.run(["single", "--number", "3", "-q", "-vv", "--no-color", "--debug"]) == 0
    assert app.run(["single", "-v", "--verbose"]) == 0
    assert app.run(["single", "--code", "3"]) == 3
    assert seen == [(3, True, 2, True), (0, False, 2, False), (0, False, 0, False)]


@pytest.mark.usefixtures("commands")
def test_a_group_alone_prints_its_help(capsys: Captured) -> None:
    assert app.run(["several"]) == 0
    out, err = capsys.readouterr()
    assert (out.startswith("Usage: celeryctl several"), err) == (True, "")
    assert app.run(["several", "one", "x"]) == 0
    assert seen == ["x"]


@pytest.mark.usefixtures("commands")
def test_a_raw_command_gets_every_word_untouched(capsys: Captured) -> None:
    words = ["-c", "4", "-l", "debug", "-Q", "a", "--", "-x", "--no-color", "", "--debug"]
    assert app.run(["passing", *words]) == 0
    assert seen == [words]
    assert app.run(["passing", "-c", "4", "--help"]) == 0
    out = capsys.readouterr().out
    assert "Remember the words." in out
    assert "To see them: celery worker --help\n" in out


WRONG = [
    (["fetsh"], "there is no command 'fetsh'", "did you mean fetch?", "celeryctl help fetch"),
    (["qqqq"], "there is no command 'qqqq'", "`celeryctl help` lists", "celeryctl help"),
    (["help", "fetsh"], "there is no command 'fetsh'", "fetch", "celeryctl help fetch"),
    (["--debug-me"], "celeryctl itself has no option --debug-me", "after the command", "celeryctl COMMAND --debug-me"),
    (["-v", "single"], "celeryctl itself has no option -v", "after the command", "celeryctl single -v"),
    (["single", "--foo"], "No such option: --foo", "celeryctl single [OPTIONS]", "celeryctl help single"),
    (["single", "x"], "Got unexpected extra argument", "celeryctl single [OPTIONS]", "celeryctl help single"),
    (["single", "--number", "x"], "Invalid value for '--number'", "celeryctl single", "celeryctl help single"),
    (["single", "--yes=x"], "Option '--yes' does not take a value", "celeryctl single", "celeryctl help single"),
    (["several", "onne"], "No such command 'onne'", "celeryctl several", "celeryctl help several"),
    (["several", "one"], "Missing argument", "celeryctl several one", "celeryctl help several one"),
]


@pytest.mark.usefixtures("commands")
@pytest.mark.parametrize(("arguments", "what", "why", "fix"), WRONG)
def test_a_wrong_line_is_answered_in_three_lines(
    capsys: Captured, arguments: list[str], what: str, why: str, fix: str
) -> None:
    assert app.run(arguments) == 2
    out, err = capsys.readouterr()
    first, second, third = err.splitlines()
    assert not out
    assert first.startswith(f"Error: {what}")
    assert second.startswith("  why: ")
    assert why in second
    assert third == f"  fix: {fix}"


def fail(error: BaseException) -> Any:
    def do(arguments: list[str]) -> int:
        raise error

    return do


@pytest.mark.parametrize(
    ("error", "code"),
    [(SettingsError("a"), 2), (NoWorkerError("a"), 69), (CeleryctlError("a"), 1), (KeyboardInterrupt(), 130)],
)
def test_an_error_ends_with_its_exit_code(capsys: Captured, error: BaseException, code: int) -> None:
    assert boundary.guarded(fail(error), []) == code
    assert len(capsys.readouterr().err.splitlines()) == (0 if code == 130 else 3)


def test_an_error_is_three_lines_without_secrets_or_control_characters(capsys: Captured) -> None:
    error = SettingsError(
        "no\x1b[2J", why="connection to\n  postgresql://u:s3cret@h failed\n", fix="pay 1228 1221 1221 1431"
    )
    assert boundary.guarded(fail(error), ["fetch"]) == 2
    assert capsys.readouterr().err == (
        "Error: no\\x1b[2J\n  why: connection to postgresql://u:****@h failed\n  fix: pay ****\n"
    )


def test_an_error_without_reason_gives_its_cause_and_the_commands_help(capsys: Captured) -> None:
    error = NoWorkerError()
    error.__cause__ = OSError("no route")
    assert boundary.guarded(fail(error), ["fetch", "users"]) == 69
    assert (
        capsys.readouterr().err
        == "Error: No worker is running.\n  why: OSError: no route\n  fix: celeryctl help fetch\n"
    )


def test_anything_else_is_a_bug_and_no_traceback(capsys: Captured) -> None:
    assert boundary.guarded(fail(KeyError("redis://:s3cret@h")), ["fetch", "a b"]) == 1
    first, second, third = capsys.readouterr().err.splitlines()
    assert first == "Error: celeryctl ended unexpectedly: KeyError: 'redis://:****@h'"
    assert "bug" in second
    assert third.startswith("  fix: celeryctl fetch 'a b' --debug ")


def test_debug_shows_chained_tracebacks_with_secrets_masked(capsys: Captured) -> None:
    error = RuntimeError("at redis://:s3cret@h")
    error.__cause__ = ValueError("1228 1221 1221 1431 at postgresql://u:s3cret@h/d?password=s3cret")
    assert boundary.guarded(fail(error), ["stats", "--debug"]) == 1
    err = capsys.readouterr().err
    assert err.count("Traceback") == 1
    assert "ValueError: **** at postgresql://u:****@h/d?password=****" in err
    assert "RuntimeError: at redis://:****@h" in err
    assert "s3cret" not in err
    assert err.count("--debug ") == 1


@pytest.mark.usefixtures("commands")
def test_a_question_without_an_answer_changes_nothing(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert app.run(["single", "--yes"]) == 1
    assert "Error: nothing was done" in capsys.readouterr().err
    assert not seen


def test_a_closed_pipe_is_silent() -> None:
    program = f"{PYTHON} -m celeryctl config show | true; echo ${{PIPESTATUS[0]}}"
    for line in (
        program,
        program.replace("config show", "--help"),
        program.replace("config show", "config show --json"),
    ):
        ended = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=True)
        assert (ended.stdout, ended.stderr) in {("141\n", ""), ("0\n", "")}


def test_a_broken_connection_is_not_taken_for_a_closed_pipe(capsys: Captured) -> None:
    assert boundary.guarded(fail(BrokenPipeError("to a server")), ["stats"]) == 1
    assert "BrokenPipeError: to a server" in capsys.readouterr().err


def test_a_full_disk_and_closed_streams_give_no_traceback() -> None:
    for redirection, code in ((">/dev/full", 1), (">&-", 0), (">&- 2>&-", 0)):
        line = f"{PYTHON} -m celeryctl --version {redirection}"
        ended = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=False)
        assert ended.returncode == code
        assert "Traceback" not in ended.stderr
        assert "Exception ignored" not in ended.stderr


def test_completion_answers_without_loading_commands() -> None:
    named = spawn("--show-completion", "bash", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert "complete" in named.stdout
    first = spawn(_CELERYCTL_COMPLETE="complete_bash", COMP_WORDS="celeryctl se", COMP_CWORD="1")
    option = spawn(_CELERYCTL_COMPLETE="complete_bash", COMP_WORDS="celeryctl config show --js", COMP_CWORD="3")
    assert (first.stdout.split(), option.stdout.split()) == (["seed"], ["--json"])


def test_print_json_knows_what_results_hold(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    moment = datetime(2026, 1, 31, 12, 30, tzinfo=timezone(timedelta(hours=2)))
    identity = uuid.uuid4()
    values = {"at": moment, "utc": moment.astimezone(UTC), "day": date(2026, 1, 31), "for": timedelta(minutes=1.5)}
    options.print_json(
        {**values, "n": Decimal(3), "p": Decimal("33.3"), "id": identity, "file": Path("a"), "é": "\udce9é"}
    )
    written = capsysbinary.readouterr().out
    assert json.loads(written) == {
        "schema": 1, "at": "2026-01-31T10:30:00Z", "utc": "2026-01-31T10:30:00Z", "day": "2026-01-31", "for": 90.0,
        "n": 3, "p": 33.3, "id": str(identity), "file": "a", "é": "\udce9é",
    }  # fmt: skip
    assert b"\xc3\xa9" in written
    options.print_json({"a": [1, {"b": 2}]}, line=True)
    assert capsysbinary.readouterr().out == b'{"schema": 1, "a": [1, {"b": 2}]}\n'
    with pytest.raises(TypeError, match="set is not made for JSON"):
        options.print_json({"a": {1}})


def test_data_goes_to_stdout_and_notices_to_stderr_unless_quiet(capsys: Captured) -> None:
    options.begin(no_color=False)
    options.console().print("[bold]data[/bold] :smile:")
    options.notices().print("notice")
    assert capsys.readouterr() == ("[bold]data[/bold] :smile:\n", "notice\n")
    options.common.quiet = True
    options.console().print("data")
    options.notices().print("notice")
    assert capsys.readouterr() == ("data\n", "")
    options.begin(no_color=False)


def test_no_color_means_no_escape_sequence_at_all(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    options.begin(no_color=False)
    options.console().print("x", style="bold red")
    assert "\x1b[" in capsys.readouterr().out
    for no_color, variable in ((True, ""), (False, "1")):
        monkeypatch.setenv("NO_COLOR", variable)
        options.begin(no_color=no_color)
        options.console().print("x", style="bold red")
        assert capsys.readouterr().out == "x\n"
    options.begin(no_color=False)
