"""Upgrades while work goes on: what a migration may change, what it waits for, and who works with which tables."""

import json
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from cluster.kit import process, rows, run, settings, sources, value, worker
from playhouse.migrations import Runner
from test_database import MIGRATIONS
from waiting import eventually

from celeryctl.cli import app
from celeryctl.errors import SchemaError
from celeryctl.local.postgres import Postgres
from celeryctl.storage import database as db
from celeryctl.storage import schema
from celeryctl.storage.locks import Patience

pytestmark = pytest.mark.integration

PATIENCE = Patience(pause=0.1)
# What statements of an older version rely on, each with what a migration must not do to it.
RELIED_ON = {
    "columns keep their names and types": """
        SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a JOIN pg_class c
        ON c.oid = a.attrelid WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'S') AND a.attnum > 0
        AND NOT a.attisdropped""",
    "tables are not written anew": """
        SELECT c.relname, pg_relation_filenode(c.oid) FROM pg_class c
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'""",
    "unique keys stay": """
        SELECT indrelid::regclass::text, regexp_replace(pg_get_indexdef(indexrelid), 'INDEX \\S+', 'INDEX')
        FROM pg_index i JOIN pg_class c ON c.oid = indexrelid
        WHERE c.relnamespace = 'public'::regnamespace AND indisunique""",
    "functions and triggers stay": """
        SELECT 'trigger', tgname, tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal
        UNION ALL SELECT 'function', proname, pg_get_function_arguments(oid) FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace""",
}
# What an older version would run into when it writes a table that it knows.
IN_THE_WAY = """
SELECT c.relname, 'column ' || a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
  AND a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' AND c.relname = ANY (%(tables)s)
UNION ALL SELECT conrelid::regclass::text, conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
WHERE contype <> 'n' AND conrelid::regclass::text = ANY (%(tables)s)
UNION ALL SELECT indrelid::regclass::text, indexrelid::regclass::text FROM pg_index
WHERE indisunique AND indrelid::regclass::text = ANY (%(tables)s)
"""
# Nothing that an older version writes gets in the way of these; say here why.
HARMLESS = {
    # `misses` may hold one more outcome than before.
    ("0002_watching", "misses", "misses_outcome_check CHECK ((outcome = ANY (ARRAY['rejected'::text, 'failed'::text, "
     "'none'::text, 'gone'::text])))"),
    # A column that only the version that made it fills.
    ("0002_watching", "misses", "misses_user_id_fkey FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE"),
}  # fmt: skip
FILLED = """
INSERT INTO users (external_id, name, username, email) SELECT n, 'n', 'u', 'e' FROM generate_series(1, 20) AS n;
INSERT INTO addresses (user_id, street_number, street_name, city, state, country, postal_code)
SELECT id, '1', 's', 'c', 's', 'c', 'p' FROM users WHERE id <= 10;
INSERT INTO runs (id, dataset, trigger, page_size, batch_size, cursor, planned, expected)
VALUES ('00000000-0000-4000-8000-000000000001', 'addresses', 'person', 10, 10, 20, 10, 10);
INSERT INTO batches (run_id, lo, hi, due) VALUES ('00000000-0000-4000-8000-000000000001', 10, 20, now());
INSERT INTO misses (dataset, key, outcome, reasons) VALUES ('addresses', '3', 'rejected', '{x}');
"""


@pytest.fixture
def bare(empty_database: str) -> str:
    """The URL of a database without tables; the models point at it."""
    schema.create_database(empty_database)
    db.configure(empty_database)
    return empty_database


def up(target: str) -> None:
    """Bring the tables to where a version was whose last migration that is."""
    with db.session():
        Runner(db.database, str(schema.MIGRATIONS), table_name=schema.HISTORY).up(target)


def state(tables: list[str]) -> tuple[dict[str, set[tuple[Any, ...]]], set[tuple[Any, ...]]]:
    relied = {what: set(rows(query)) for what, query in RELIED_ON.items()}
    with db.session():
        found = db.database.execute_sql(IN_THE_WAY, {"tables": tables}).fetchall()
    return relied, set(found)


def test_no_migration_takes_away_or_forbids_what_an_older_version_does(bare: str) -> None:
    up(MIGRATIONS[0])
    with db.session():
        db.database.execute_sql(FILLED)
    for name in MIGRATIONS[1:]:
        tables = [table for (table,) in rows("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'")]
        relied, before = state(tables)
        up(name)
        still, after = state(tables)
        assert {what: gone for what, found in relied.items() if (gone := found - still[what])} == {}, name
        assert {(name, *one) for one in after - before} - HARMLESS == set()
    assert schema.pending([]) == []


@pytest.mark.slow
def test_a_run_that_was_open_before_all_migrations_is_ended_by_a_worker_after_them(
    bare: str, redis_url: str, tmp_path: Path
) -> None:
    up(MIGRATIONS[0])
    with db.session():
        db.database.execute_sql(FILLED)
    with sources(20) as api:
        variables = settings(bare, redis_url, tmp_path, api=api)
        refused = run(variables, tmp_path, "worker")
        assert (refused.returncode, refused.stderr.splitlines()[-1].split()[-2:]) == (1, ["celeryctl", "init-db"])
        assert run(variables, tmp_path, "init-db").returncode == 0
        with worker(tmp_path / "log", variables):
            eventually(lambda: value("SELECT status FROM runs") == "succeeded")
    assert rows("SELECT created, rejected FROM runs") == [(10, 0)]
    assert value("SELECT count(DISTINCT user_id) FROM addresses") == 20
    assert rows("SELECT absent, quarantined FROM datasets WHERE name = 'addresses'") == [(0, 1)]


@pytest.fixture
def later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a migration that a later version brings: a column in each table that a fetch writes."""
    folder = tmp_path / "migrations"
    folder.mkdir()
    for path in schema.MIGRATIONS.glob("*.py"):
        (folder / path.name).write_bytes(path.read_bytes())
    changes = "; ".join(f"ALTER TABLE {table} ADD later text" for table in ("users", "runs", "batches", "misses"))
    (folder / "9999_later.py").write_text(f"def up(migrator, db):\n    db.execute_sql({changes!r})\n")
    monkeypatch.setattr(schema, "MIGRATIONS", folder)
    return "9999_later"


@pytest.mark.slow
def test_tables_are_changed_while_a_worker_of_the_version_before_fetches(
    bare: str, redis_url: str, tmp_path: Path, later: str
) -> None:
    up(MIGRATIONS[-1])
    with sources(300, latency=0.1) as api:
        variables = settings(bare, redis_url, tmp_path, api=api, BATCH_SIZE="10", FETCH_THREADS="1")
        fetch = process(["celeryctl", "fetch", "all", "--wait"], tmp_path / "fetch.log", variables)
        with worker(tmp_path / "log", variables), fetch as client:
            eventually(lambda: value("SELECT count(*) FROM addresses") > 0)
            assert schema.migrate([], patience=PATIENCE) == [later]
            assert value("SELECT count(*) FROM runs WHERE status = 'running'") > 0
            assert client.ended(60) == 0
    assert rows("SELECT status, created, requests > 0 FROM runs") == [("succeeded", 300, True)] * 3
    assert value("SELECT count(*) FROM credit_cards") == 300


def test_a_migration_lets_others_pass_while_somebody_holds_a_table(bare: str, later: str) -> None:
    up(MIGRATIONS[-1])
    changing = threading.Thread(target=lambda: schema.migrate([], patience=PATIENCE), daemon=True)
    with closing(psycopg2.connect(bare)) as long, closing(psycopg2.connect(bare)) as other:
        long.cursor().execute("SELECT FROM users")  # and the transaction stays open
        changing.start()
        other.autocommit = True
        cursor = other.cursor()
        waits = "SELECT 1 FROM pg_locks WHERE relation = 'users'::regclass AND NOT granted"
        eventually(lambda: cursor.execute(waits) or cursor.fetchone())
        cursor.execute("SET statement_timeout = '20s'")
        cursor.execute("INSERT INTO users (external_id, name, username, email) VALUES (1, 'n', 'u', 'e')")
        assert changing.is_alive()
        long.rollback()
    changing.join(60)
    assert schema.pending([]) == []


def test_a_table_that_is_held_for_long_is_told_with_how_to_find_the_holder(bare: str, later: str) -> None:
    up(MIGRATIONS[-1])
    with closing(psycopg2.connect(bare)) as holder:
        holder.cursor().execute("SELECT FROM batches")
        with pytest.raises(SchemaError, match="in use") as caught:
            schema.migrate([], patience=Patience(wait="10ms", pause=0.1, tries=2))
    assert "pg_stat_activity" in caught.value.fix
    assert schema.pending([]) == [later]
    assert value("SHOW lock_timeout") == "1min"


def test_a_check_before_a_deployment_knows_every_state(
    bare: str, server_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def check(url: str) -> tuple[int, list[str], list[str]]:
        monkeypatch.setenv("DATABASE_URL", url)
        code = app.run(["init-db", "--check", "--json"])
        found = json.loads(capsys.readouterr().out or "{}")
        return code, found.get("pending", []), found.get("newer", [])

    assert check(bare) == (1, MIGRATIONS, [])
    up(MIGRATIONS[2])
    assert check(bare) == (1, MIGRATIONS[3:], [])
    up(MIGRATIONS[-1])
    assert check(bare) == (0, [], [])
    with db.session():
        db.database.execute_sql(f"INSERT INTO {schema.HISTORY} (name, applied) VALUES ('9999_later', now())")
    assert check(bare) == (0, [], ["9999_later"])
    schema.require([])
    there = psycopg2.extensions.parse_dsn(bare)
    url = "postgresql://{user}:{password}@{host}:{port}/{dbname}"
    for wrong in ({"port": "1"}, {"password": "wrong"}):
        assert check(url.format(**{**there, **wrong}))[0] == 69
    assert check(url.format(**{**there, "dbname": "not_there"})) == (1, ["create the database"], [])
    monkeypatch.setenv("CELERYCTL_HOME", str(server_home))
    assert check("") == (1, ["create the database"], [])
    Postgres(server_home).ensure()
    assert check("") == (1, MIGRATIONS, [])
