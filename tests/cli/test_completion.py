"""What the shells are offered: commands, data sets, ids of runs."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from servers import KEY
from sinks import Sweep

from celeryctl.cli import completion
from celeryctl.datasets.scaffold import write
from celeryctl.local.generate import CARD_NUMBERS
from celeryctl.storage.database import session
from celeryctl.storage.ledger import Miss
from celeryctl.storage.ledger import Run as LedgerRun

pytestmark = pytest.mark.integration

HEAVY = ("celery", "pydantic", "requests", "redis", "rich")
SHELLS = {
    "bash": lambda words: {"_CELERYCTL_COMPLETE": "complete_bash", "COMP_WORDS": words,
                           "COMP_CWORD": str(len(words.split(" ")) - 1)},
    "zsh": lambda words: {"_CELERYCTL_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": words},
    "fish": lambda words: {"_CELERYCTL_COMPLETE": "complete_fish", "_TYPER_COMPLETE_ARGS": words,
                           "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
}  # fmt: skip


def complete(shell: str, words: str, **changes: str) -> str:
    """What this shell is offered for a command line that is not finished."""
    done = subprocess.run(
        [sys.executable, "-m", "celeryctl"], env={**os.environ, **SHELLS[shell](words), **changes},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout


def make_run(number: int, status: str = "succeeded") -> str:
    run_id = f"{number:08x}-0000-4000-8000-000000000000"
    with session():
        LedgerRun.insert(
            id=run_id, dataset="users", trigger="test", status=status, page_size=1, batch_size=1
        ).execute()  # fmt: skip
    return run_id


@pytest.mark.parametrize("shell", SHELLS)
def test_data_sets_are_offered_as_the_command_line_names_them(shell: str) -> None:
    told = complete(shell, "celeryctl fetch ")
    assert all(name in told for name in ("users", "addresses", "credit-cards", "all"))
    some = complete(shell, "celeryctl fetch cr")
    assert "credit-cards" in some
    assert "users" not in some


@pytest.mark.parametrize("shell", SHELLS)
def test_ids_of_runs_are_offered_from_the_database_in_use(shell: str, database: str) -> None:
    first, second = make_run(0xABC12345), make_run(0xDEF12345)
    for words in ("celeryctl runs ", "celeryctl why ", "celeryctl tail "):
        told = complete(shell, words)
        assert first[:8] in told
        assert second[:8] in told
    assert second[:8] not in complete(shell, "celeryctl runs abc")


def test_further_data_sets_are_offered(tmp_path: Path) -> None:
    write("loyalty", tmp_path / "mine")
    assert "loyalty" in complete("bash", "celeryctl schedule pause ", CELERYCTL_DATASETS=str(tmp_path / "mine"))


AWAY = ({}, {"DATABASE_URL": "postgresql://u:p@127.0.0.1:1/x"}, {"DATABASE_URL": "no"}, {"CELERYCTL_DATASETS": "/no"})


@pytest.mark.parametrize("changes", AWAY)
def test_what_cannot_be_had_is_not_offered_and_nothing_is_said(changes: dict[str, str], tmp_path: Path) -> None:
    assert complete("bash", "celeryctl runs ", **changes).strip() == ""
    assert "users" in complete("bash", "celeryctl fetch ", **changes)
    assert not list(tmp_path.iterdir())


def test_a_longer_beginning_is_completed_to_the_whole_id(database: str) -> None:
    run_id = make_run(0xABC12345)
    assert [found for found, _ in completion.runs(run_id[:12])] == [run_id]
    assert [found for found, _ in completion.runs("abc")] == [run_id[:8]]


def test_completing_an_id_loads_nothing_heavy(database: str) -> None:
    program = f"""
import sys
from celeryctl.cli import completion
list(completion.runs("")), list(completion.datasets(""))
print([name for name in {HEAVY!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


def test_a_database_that_is_silent_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("DATABASE_URL", f"postgresql://u:p@127.0.0.1:{silent.getsockname()[1]}/x")
        monkeypatch.setattr(completion, "WITHIN", 0.01)
        assert list(completion.runs("")) == []
        silent.settimeout(10)
        silent.accept()[0].close()  # it was asked, and is still being waited for where nobody looks


@pytest.mark.shows_numbers("puts them where they could be offered from")
@pytest.mark.parametrize("shell", SHELLS)
def test_no_secret_and_no_number_is_offered_anywhere(shell: str, database: str) -> None:
    run_id, password = make_run(0xABC12345, "failed"), "s3cret-s3cret"
    with session():
        LedgerRun.update(error=f"no {CARD_NUMBERS[0]}").where(LedgerRun.id == run_id).execute()
        Miss.insert(dataset="users", key=CARD_NUMBERS[1], outcome="failed", reasons=[CARD_NUMBERS[2]]).execute()
    secrets = {"REDIS_URL": f"redis://:{password}@127.0.0.1:1/0", "FLOWER_BASIC_AUTH": f"ann:{password}"}
    groups = ("fetch", "failed", "runs", "why", "tail", "wait", "users show", "config", "keys", "schedule run", "psql")
    told = "".join(complete(shell, f"celeryctl {group} ", **secrets) for group in groups)
    assert run_id[:8] in told
    sweep = Sweep(CARD_NUMBERS)
    sweep.text("completion", told)
    sweep.assert_clean()
    assert not [secret for secret in (password, KEY, database) if secret in told]
