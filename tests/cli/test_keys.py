"""Keys for card numbers on the command line: made, looked at, changed; shown only where somebody has to set one."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from servers import KEY
from waiting import eventually

from celeryctl.home import create, lock, write_private
from celeryctl.local.generate import CARD_NUMBERS
from celeryctl.local.postgres import Postgres
from celeryctl.settings import home_keys, new_key
from celeryctl.storage import heartbeat
from celeryctl.storage.cipher import Keyring
from celeryctl.storage.database import database as db
from celeryctl.storage.database import session

from .commandline import Run, assert_refused

pytestmark = pytest.mark.integration

ROTATE = [sys.executable, "-m", "celeryctl", "keys", "rotate"]
OURS = "SELECT count(*) FROM credit_cards WHERE card_number LIKE %s"


def states(run: Run) -> list[tuple[str, str, int]]:
    said = run("keys", "status", "--json")
    assert said.code == 0, said
    return [(one["id"], one["use"], one["values"]["credit_cards"]) for one in json.loads(said.out)["keys"]]


def sealed_with(key_id: str) -> int:
    with session():
        return int(db.execute_sql(OURS, (f"v1.{key_id}.%",)).fetchone()[0])


def nothing_is_under_way() -> bool:
    others = """SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
      AND backend_type = 'client backend' AND state <> 'idle'"""
    with session():
        return not db.execute_sql(others).fetchone()[0]


@pytest.mark.usefixtures("source")
def test_every_number_comes_to_the_first_key_and_the_older_one_may_go(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("fetch", "all", "--sync").code == 0
    (old,) = Keyring([KEY]).ids
    assert states(run) == [(old, "encrypts", 10)]
    said = run("keys", "new")
    key = said.out.strip()
    (new,) = Keyring([key]).ids
    assert new in said.err
    assert key not in said.err
    assert states(run) == [(old, "encrypts", 10)]
    monkeypatch.setenv("CARD_ENCRYPTION_KEYS", f"{key},{KEY}")
    assert states(run) == [(new, "encrypts", 0), (old, "decrypts", 10)]
    assert "Next: celeryctl keys rotate" in run("keys", "status").out
    assert json.loads(run("keys", "rotate", "--json").out)["rotated"] == 10
    monkeypatch.setenv("CARD_ENCRYPTION_KEYS", key)
    assert states(run) == [(new, "encrypts", 10)]
    assert json.loads(run("users", "show", "1", "--json").out)["credit_cards"][0]["card_number"].startswith("**** ")
    said = run("keys", "rotate").out
    assert said.startswith("0 values of postgresql://")
    assert said.endswith(" encrypted anew; all are encrypted with the first key\n")


@pytest.mark.usefixtures("source")
def test_a_key_that_is_missing_ends_it_before_anything_is_changed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("fetch", "all", "--sync").code == 0
    (old,) = Keyring([KEY]).ids
    monkeypatch.setenv("CARD_ENCRYPTION_KEYS", str(new_key()))
    assert_refused(run("keys", "rotate"), 2, "a key is missing", old, "add it to CARD_ENCRYPTION_KEYS")
    assert [use for _, use, _ in states(run)] == ["encrypts", "missing"]
    assert sealed_with(old) == 10


@pytest.mark.usefixtures("source")
@pytest.mark.parametrize("command", ["fetch all --refresh --sync", "seed 20", "failed --retry --all"])
def test_with_a_wrong_key_nothing_is_begun(run: Run, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    assert run("fetch", "all", "--sync").code == 0
    monkeypatch.setenv("CARD_ENCRYPTION_KEYS", str(new_key()))
    assert_refused(run(*command.split()), 2, "a key is missing", "add it to CARD_ENCRYPTION_KEYS")
    (old,) = Keyring([KEY]).ids
    assert sealed_with(old) == 10
    assert len(json.loads(run("runs", "--json").out)["runs"]) == 3
    assert "card number: ****\n" in run("users", "show", "1").out


@pytest.mark.shows_numbers("a value that cannot be opened is any text")
@pytest.mark.usefixtures("source")
@pytest.mark.parametrize("damaged", ["v1.", "v1.00000000.xx", "v1.0000000.xx", "v2.00000000.xx", "x"])
@pytest.mark.parametrize("end", ["min", "max"])
def test_one_damaged_value_stops_nothing(run: Run, damaged: str, end: str) -> None:
    assert run("fetch", "all", "--sync").code == 0
    with session():
        db.execute_sql(
            f"UPDATE credit_cards SET card_number = %s WHERE id = (SELECT {end}(id) FROM credit_cards)", (damaged,)
        )
    assert run("fetch", "users", "--sync").code == 0
    assert sealed_with(Keyring([KEY]).ids[0]) == 9


@pytest.mark.shows_numbers("a value that cannot be opened is any text")
@pytest.mark.usefixtures("source")
def test_what_is_left_is_told(run: Run) -> None:
    assert run("fetch", "all", "--sync").code == 0
    with session():
        db.execute_sql("UPDATE credit_cards SET card_number = 'plain' WHERE user_id = (SELECT min(id) FROM users)")
    assert [(use, count) for _, use, count in states(run)] == [("encrypts", 9), ("foreign", 1)]
    assert "Next: celeryctl keys rotate" in run("keys", "status").out
    said = run("keys", "rotate")
    assert said.code == 3
    assert "1 are not encrypted with the first key" in said.out


@pytest.mark.shows_numbers("one of them is in the clear, and is revealed")
@pytest.mark.usefixtures("source")
def test_numbers_in_the_clear_are_encrypted(run: Run) -> None:
    assert run("fetch", "all", "--sync").code == 0
    with session():
        db.execute_sql("UPDATE credit_cards SET card_number = %s WHERE user_id = 1", (CARD_NUMBERS[0],))
    assert [(use, count) for _, use, count in states(run)] == [("encrypts", 9), ("foreign", 1)]
    said = json.loads(run("keys", "rotate", "--json").out)
    assert (said["rotated"], said["left"]) == (1, 0)
    shown = json.loads(run("users", "show", "1", "--json", "--reveal", "--yes").out)
    assert shown["credit_cards"][0]["card_number"] == CARD_NUMBERS[0]


def test_a_worker_that_encrypts_with_another_key_is_named(run: Run, database: str) -> None:
    heartbeat.beat(database, name="first@host", active=0, concurrency=1, rss=1, key_id="01234567")
    assert_refused(run("keys", "rotate"), 1, "first@host with 01234567", "restart them")


@pytest.mark.usefixtures("database")
def test_nothing_there_is_nothing_to_do(run: Run) -> None:
    assert states(run) == [(Keyring([KEY]).ids[0], "encrypts", 0)]
    assert run("keys", "rotate").code == 0


@pytest.mark.slow
def test_killed_in_the_midst_it_goes_on_with_the_rest(run: Run, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("seed", "20000", "-q").code == 0
    key = str(new_key())
    monkeypatch.setenv("CARD_ENCRYPTION_KEYS", f"{key},{KEY}")
    (new,) = Keyring([key]).ids
    with subprocess.Popen(ROTATE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as rotating:
        eventually(lambda: sealed_with(new) > 0, within=60)
        rotating.send_signal(signal.SIGKILL)
    eventually(nothing_is_under_way, within=60)  # what it sent last may still be under way
    before = sealed_with(new)
    assert 0 < before < 20_000
    done = run("keys", "rotate", "--json")
    said = json.loads(done.out)
    assert (said["rotated"], said["left"]) == (20_000 - before, 0)
    assert states(run) == [(new, "encrypts", 20_000), (Keyring([KEY]).ids[0], "decrypts", 0)]


def test_the_first_key_of_a_database_of_ones_own_is_to_be_set(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1:1/nowhere")
    said = run("keys", "new")
    assert said.code == 0
    assert len(Keyring([said.out.strip()]).ids) == 1
    assert "Set it as CARD_ENCRYPTION_KEYS" in said.err
    assert not Path(".celeryctl").exists()


def test_in_a_home_it_stands_before_the_older_ones(run: Run) -> None:
    first = run("keys", "new")
    assert (first.code, first.out) == (0, "")
    (old,) = home_keys(Path(".celeryctl"), create=False)
    second = run("keys", "new")
    keys = home_keys(Path(".celeryctl"), create=False)
    assert keys[1:] == (old,)
    assert Keyring(keys).ids[0] in second.err
    assert "keys rotate" in second.err
    assert not any(str(key) in first.err + second.err for key in keys)


def test_while_up_runs_there_none_is_made(run: Run) -> None:
    home = create(Path(".celeryctl"))
    with lock(home / "up.lock"):
        write_private(home / "up.json", json.dumps({"pid": os.getpid(), "settings": {}, "processes": []}))
        assert_refused(run("keys", "new"), 1, "up is running here", "celeryctl down")
    assert home_keys(home, create=False) == ()


def test_beside_data_none_is_made_while_its_key_is_gone_or_somebody_uses_them(
    run: Run, server_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELERYCTL_HOME", str(server_home))
    server = Postgres(server_home)
    server.ensure()
    assert_refused(run("keys", "new"), 2, "there is no card key beside the data", "restore")
    assert home_keys(server_home, create=False) == ()
    home_keys(server_home, create=True)
    with lock(server.users, shared=True):
        assert_refused(run("keys", "new"), 1, "another command uses the database")
    assert run("keys", "new").code == 0
    assert len(home_keys(server_home, create=False)) == 2
