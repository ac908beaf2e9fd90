"""A copy of the whole database, and what is restored from it: with the card key, without it, with roles."""

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from cli.rolekit import ask, roles
from cluster.kit import run, settings, sources, worker
from conftest import named
from servers import KEY
from waiting import eventually

from celeryctl.local.postgres import Postgres
from celeryctl.storage import database as db
from celeryctl.storage import privileges, schema

from .embedded import connected

pytestmark = pytest.mark.integration

RESTORE = ("pg_restore", "--no-owner", "--no-acl", "--single-transaction")
# A run that a worker which is gone had in hand when the copy was made.
OPEN = """
DELETE FROM addresses WHERE user_id > 5;
INSERT INTO runs (id, dataset, trigger, page_size, batch_size, cursor, planned, expected)
VALUES ('00000000-0000-4000-8000-000000000001', 'addresses', 'person', 10, 10, 12, 7, 7);
INSERT INTO batches (run_id, lo, hi, due, token, attempts, holder)
VALUES ('00000000-0000-4000-8000-000000000001', 5, 12, now(), nextval('tokens'), 1, 'gone@elsewhere');
"""
ENDED = "SELECT status, created FROM runs WHERE trigger = 'person'"
ROWS = "SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM addresses), (SELECT count(*) FROM credit_cards)"


def shown(variables: dict[str, str], folder: Path, *words: str) -> Any:
    done = run(variables, folder, *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def assert_left_alone(url: str, home: dict[str, str], key: str, folder: Path) -> None:
    """Without the key nothing is begun, it is named, and nothing is changed; nor by a second restoring."""
    states = shown(home, folder, "keys", "status")["keys"]
    assert [(one["id"], one["use"]) for one in states] == [(key, "missing")]
    for words in (["fetch", "all", "--sync"], ["seed", "20"]):
        refused = run(home, folder, *words)
        assert (refused.returncode, "the card key of this home is gone" in refused.stderr) == (2, True)
    again = run(home, folder, *RESTORE, "copy")
    assert (again.returncode, "already exists" in again.stderr) == (1, True)
    assert ask(url, ROWS) == [(12, 5, 12)]


@pytest.mark.slow
def test_what_is_restored_works_with_its_key_and_is_left_alone_without(
    database_url: str, redis_url: str, server_home: Path, tmp_path: Path
) -> None:
    variables = settings(database_url, redis_url, tmp_path)
    assert run(variables, tmp_path, "seed", "12").returncode == 0
    ask(database_url, OPEN)
    before = shown(variables, tmp_path, "users", "show", "3")
    (key,) = shown(variables, tmp_path, "keys", "status")["keys"]
    copied = run(variables, tmp_path, "pg_dump", "-Fc", "-f", "copy")
    assert (copied.returncode, copied.stderr) == (0, "")
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o600

    # Into a home with nothing in it, neither a server nor a key.
    home = settings("", "", tmp_path, CELERYCTL_HOME=str(server_home), CARD_ENCRYPTION_KEYS="")
    restored = run(home, tmp_path, *RESTORE, "copy")
    assert (restored.returncode, restored.stderr) == (0, "")
    url = Postgres(server_home).ensure()
    with connected(url):  # so that no command stops the server when it ends
        assert_left_alone(url, home, key["id"], tmp_path)
        (server_home / "card.key").write_text(f"{KEY}\n")
        (server_home / "card.key").chmod(0o600)
        assert shown(home, tmp_path, "users", "show", "3") == before
        with sources(12) as api:
            variables = settings(url, redis_url, tmp_path, api=api)
            with worker(tmp_path / "log", variables):
                eventually(lambda: ask(url, ENDED) == [("succeeded", 7)])
        assert ask(url, ROWS) == [(12, 12, 12)]


def test_roles_are_given_anew_to_what_was_restored_without_owners_and_rights(
    postgres_server: str, tmp_path: Path
) -> None:
    source, target = (named(postgres_server, f"test_{uuid.uuid4().hex[:12]}") for _ in range(2))
    with roles(postgres_server, source) as old, roles(postgres_server, target) as new:
        old.apply()
        old.login("migrate")
        db.configure(old.url("migrate"))
        schema.migrate([])
        for url, words in ((source, ("pg_dump", "-Fc", "-f", "copy")), (target, (*RESTORE, "copy"))):
            done = run(settings(url, "", tmp_path), tmp_path, *words)
            assert (done.returncode, done.stderr) == (0, "")
        new.apply()
        for login in ("migrate", "work", "look"):
            new.login(login)
            db.configure(new.url(login))
            assert privileges.rights([]).lacks == []
            assert privileges.excess() == []
            assert schema.migrate([]) == []
        db.close()
