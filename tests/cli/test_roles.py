"""The roles of deploy/roles.sql: each may do what it is for, and nothing else; who lacks a right is told which."""

import json
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from cluster.kit import process, settings, sources, worker
from cluster.kit import run as outside
from conftest import named
from faultserver import FaultServer
from psycopg2 import sql
from psycopg2.extras import wait_select
from servers import KEY
from waiting import eventually

from celeryctl.cli import app
from celeryctl.datasets.scaffold import write
from celeryctl.storage import database as db
from celeryctl.storage import privileges, schema, server

from .commandline import Run, assert_refused
from .rolekit import Roles, ask, roles

pytestmark = pytest.mark.integration

OTHER_KEY = "T3RoZXJPdGhlck90aGVyT3RoZXJPdGhlck90aGVyMDE="
OWNERS = """
SELECT DISTINCT pg_get_userbyid(owner) FROM (
  SELECT relowner AS owner FROM pg_class WHERE relnamespace = 'public'::regnamespace
  UNION SELECT proowner FROM pg_proc WHERE pronamespace = 'public'::regnamespace) AS o
"""
RIGHTS = """
SELECT relname::text, relacl::text, (SELECT array_agg(attacl::text) FROM pg_attribute WHERE attrelid = c.oid)
FROM pg_class c WHERE relnamespace = 'public'::regnamespace ORDER BY 1
"""
EVERY_TABLE = """
SELECT oid::regclass::text FROM pg_class c WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'S')
AND relname <> 'celeryctl_migrations' AND NOT EXISTS (
  SELECT FROM pg_depend d WHERE d.objid = c.oid AND c.relkind = 'S' AND d.deptype IN ('a', 'i'))
"""
IN_A_WORKER = """
SELECT set_config(name, 'on', false) FROM pg_settings WHERE name IN ('debug_parallel_query', 'force_parallel_mode');
SELECT pg_sleep(60)
"""
KINDS = """
SELECT count(*) FILTER (WHERE backend_type = 'client backend'), count(*) FILTER (WHERE backend_type = 'parallel worker')
FROM pg_stat_activity WHERE datid IS NOT NULL
"""
ERRORS = "SELECT error FROM runs WHERE status = 'failed'"
DENIED = "permission denied for table credit_cards"
LOOKING = ["stats", "users list", "users show 1", "runs", "why 1", "failed", "schedule", "keys status", "init-db",
           "init-db --check", "prune --older-than 1d --dry-run"]  # fmt: skip
WORKING = ["seed -q", "fetch all --sync", "prune --older-than 1d", "schedule pause users", "keys rotate",
           "users show 1 --reveal --yes"]  # fmt: skip
FORBIDDEN = {
    "work": [
        "CREATE TABLE public.mine (x int)",
        "CREATE SCHEMA mine",
        "CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "ALTER TABLE users ADD mine int",
        "ALTER TABLE users DISABLE TRIGGER ALL",
        "DROP TABLE misses",
        "TRUNCATE users CASCADE",
        "UPDATE reveals SET who = 'nobody'",
        "DELETE FROM reveals",
        "INSERT INTO reveals (user_id, who, host, role) VALUES (1, 'x', 'x', 'another')",
        "INSERT INTO reveals (user_id, who, host, at) VALUES (1, 'x', 'x', now() - interval '1 year')",
        "DELETE FROM celeryctl_migrations",
        "UPDATE celeryctl_migrations SET name = 'x'",
        "SELECT count_table('users')",
    ],
    "look": [
        "INSERT INTO users (external_id, name, username, email) VALUES (-1, 'n', 'u', 'e')",
        "UPDATE users SET name = 'x'",
        "DELETE FROM runs",
        "INSERT INTO reveals (user_id, who, host) VALUES (1, 'x', 'x')",
        "SELECT nextval('tokens')",
        "SELECT FROM users FOR UPDATE",
        "CREATE TEMPORARY TABLE mine (x int)",
        "CREATE TABLE public.mine (x int)",
    ],
}


@pytest.fixture(scope="module")
def made(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Roles]:
    """A database in which everything was done as deploy/roles.sql says: first the roles, then the tables, ten users."""
    folder = tmp_path_factory.mktemp("roles")
    with roles(postgres_server, named(postgres_server, f"test_{uuid.uuid4().hex[:12]}")) as found:
        found.apply()
        for login in ("migrate", "work", "look", "stranger"):
            found.login(login)
        for login, words in (("migrate", ["init-db"]), ("work", ["seed"])):
            done = outside(settings(found.url(login), "redis://127.0.0.1:1/0", folder), folder, *words)
            assert done.returncode == 0, done.stderr
        yield found


@pytest.fixture
def become(made: Roles, source: FaultServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Roles]:
    """The sources are there; `DATABASE_URL` is the reader's until somebody says otherwise."""
    monkeypatch.setenv("DATABASE_URL", made.url("look"))
    yield made
    db.close()


def test_everything_is_the_owners_and_it_may_migrate_again(
    run: Run, become: Roles, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ask(become.administrator, OWNERS) == [(f"{become.prefix}_owner",)]
    monkeypatch.setenv("DATABASE_URL", become.url("migrate"))
    assert run("init-db").err == "The tables are up to date.\n"


def test_the_script_may_run_again_and_gives_no_more_than_before(made: Roles) -> None:
    before = ask(made.administrator, RIGHTS)
    made.apply()
    assert ask(made.administrator, RIGHTS) == before


@pytest.mark.shows_numbers("it reveals those of a user")
def test_the_writer_does_all_the_work(run: Run, become: Roles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", become.url("work"))
    for words in ("fetch all --sync --refresh", "seed 12", "schedule pause users", "schedule resume users",
                  "failed --retry --all", "prune --older-than 1d", "users show 1 --reveal --yes"):  # fmt: skip
        assert run(*words.split()).code == 0, words
    monkeypatch.setenv("CARD_ENCRYPTION_KEYS", f"{OTHER_KEY},{KEY}")
    assert "12" in run("keys", "rotate").out
    monkeypatch.setenv("CARD_ENCRYPTION_KEYS", f"{KEY},{OTHER_KEY}")
    assert run("keys", "rotate").code == 0
    ask(become.url("work"), "INSERT INTO runs (id, dataset, trigger, page_size, batch_size) "
        "VALUES ('00000000-0000-0000-0000-00000000abcd', 'users', 'test', 1, 1)")  # fmt: skip
    assert run("cancel", "00000000").code == 0
    (seen,) = ask(become.administrator, "SELECT DISTINCT role FROM reveals")
    assert seen == (f"{become.prefix}_work",)


@pytest.mark.parametrize("words", LOOKING)
def test_the_reader_looks_at_everything(run: Run, become: Roles, words: str) -> None:
    said = run(*words.split())
    assert (said.code, "Error" in said.err) == (0, False), said.err


@pytest.mark.parametrize("words", WORKING)
def test_the_reader_changes_nothing_and_is_told_why(run: Run, become: Roles, words: str) -> None:
    before = ask(become.administrator, "SELECT (SELECT count(*) FROM runs), (SELECT count(*) FROM reveals)")
    said = run(*words.split())
    assert_refused(said, 1, "the database does not let us", "permission denied for table", "celeryctl doctor")
    assert ask(become.administrator, "SELECT (SELECT count(*) FROM runs), (SELECT count(*) FROM reveals)") == before


@pytest.mark.parametrize(("login", "statement"), [(who, one) for who, all_ in FORBIDDEN.items() for one in all_])
def test_what_a_role_is_not_for_is_refused(made: Roles, login: str, statement: str) -> None:
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        ask(made.url(login), statement)


def test_nobody_else_gets_in(run: Run, become: Roles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", become.url("stranger"))
    said = run("users", "list")
    assert_refused(said, 69, "permission denied for database")
    assert become.password not in said.err


@pytest.mark.parametrize(
    ("login", "told"), [("work", "may read and write"), ("look", "may read, and nothing else"), ("migrate", "may read")]
)
def test_doctor_says_what_one_may(
    run: Run, become: Roles, login: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", become.url(login))
    assert told in rights(run)["why"]


def rights(run: Run) -> dict[str, str]:
    checks = json.loads(run("doctor", "--json").out)["checks"]
    return next(one for one in checks if one["name"] == "rights")


def test_doctor_names_the_rights_that_are_missing(run: Run, become: Roles, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = f'"{become.prefix}_writer"'
    ask(become.administrator, f"REVOKE UPDATE ON readings FROM {writer}; REVOKE USAGE ON SEQUENCE tokens FROM {writer}")
    monkeypatch.setenv("DATABASE_URL", become.url("work"))
    try:
        found = rights(run)
    finally:
        become.apply()
    assert (found["state"], found["why"].partition("lacks ")[2]) == ("failed", "UPDATE on readings, USAGE on tokens")
    assert "deploy/roles.sql" in found["fix"]
    assert rights(run)["state"] == "ok"


def test_doctor_names_the_rights_that_are_too_many(run: Run, become: Roles, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = f"{become.prefix}_writer"
    ask(become.administrator, f"GRANT UPDATE, TRIGGER ON reveals TO {writer}; "
        "GRANT INSERT (name) ON celeryctl_migrations TO PUBLIC")  # fmt: skip
    found = rights(run)
    assert (found["state"], found["fix"].split("  ")[0]) == ("warning", "celeryctl init-db")
    assert found["why"] == (
        f"too much: PUBLIC may INSERT on celeryctl_migrations; {writer} may TRIGGER, UPDATE on reveals"
    )
    assert run("init-db").code == 0
    assert rights(run)["why"] == found["why"], "who is not the owner takes nothing away, and init-db does not fail"
    monkeypatch.setenv("DATABASE_URL", become.url("migrate"))
    assert run("init-db").err == "The tables are up to date.\n"
    assert rights(run)["state"] == "ok"


def test_workers_of_the_server_are_not_counted_as_connections(made: Roles) -> None:
    db.configure(made.administrator)
    with closing(psycopg2.connect(made.administrator)) as looking, looking.cursor() as cursor:
        looking.autocommit = True
        with closing(psycopg2.connect(made.administrator, async_=True)) as busy:
            wait_select(busy)
            busy.cursor().execute(IN_A_WORKER)

            def agreed() -> bool:
                cursor.execute(KINDS)
                clients, workers = cursor.fetchone() or (0, 0)
                return bool(workers) and server.connections()[1] == clients

            assert eventually(agreed)
            cursor.execute("SELECT pg_terminate_backend(%s)", (busy.info.backend_pid,))
    db.close()


def test_connections_are_counted_whoever_looks(made: Roles) -> None:
    db.configure(made.url("look"))
    with closing(psycopg2.connect(made.administrator)), closing(psycopg2.connect(made.url("work"))):
        assert eventually(lambda: server.connections()[1] >= 3)
    db.close()


def test_a_right_that_is_missing_loses_no_record(run: Run, become: Roles, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = f'"{become.prefix}_writer"'
    ask(become.administrator, f"DELETE FROM addresses; REVOKE INSERT ON addresses FROM {writer}")
    monkeypatch.setenv("DATABASE_URL", become.url("work"))
    said = run("fetch", "addresses", "--sync")
    assert said.code == 1
    assert "permission denied for table addresses" in said.err + said.out
    become.apply()
    assert run("fetch", "addresses", "--sync").code == 0
    (counts,) = ask(become.administrator, "SELECT (SELECT count(*) FROM addresses), (SELECT count(*) FROM users)")
    assert counts[0] == counts[1] >= 10


@pytest.fixture
def empty(postgres_server: str) -> Iterator[Roles]:
    """An empty database, for one test."""
    with roles(postgres_server, named(postgres_server, f"test_{uuid.uuid4().hex[:12]}")) as found:
        yield found


def test_what_an_administrator_made_is_handed_over_and_later_tables_get_their_rights(
    run: Run, empty: Roles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    db.configure(empty.administrator)
    schema.migrate([])
    ask(empty.administrator, "DROP TABLE reveals; DELETE FROM celeryctl_migrations WHERE name = '0008_reveals'")
    empty.apply()
    for login in ("migrate", "work"):
        empty.login(login)
    write("loyalty", tmp_path / "sets")
    monkeypatch.setenv("CELERYCTL_DATASETS", str(tmp_path / "sets"))
    monkeypatch.setenv("CARD_ENCRYPTION_KEYS", KEY)
    monkeypatch.setenv("DATABASE_URL", empty.url("migrate"))
    done = run("init-db")
    assert [line.split()[-1] for line in done.out.splitlines()] == ["0008_reveals", "loyalty"], done.err
    assert ask(empty.administrator, OWNERS) == [(f"{empty.prefix}_owner",)]
    monkeypatch.setenv("DATABASE_URL", empty.url("work"))
    assert rights(run)["why"].endswith("may read and write")
    ask(
        empty.url("work"),
        "INSERT INTO reveals (user_id, who, host) VALUES (1, 'x', 'x'); SELECT FROM loyalty FOR UPDATE",
    )
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        ask(empty.url("work"), "DELETE FROM reveals")


def test_what_others_have_in_the_database_stays_theirs(empty: Roles) -> None:
    empty.apply()
    for login in ("migrate", "stranger"):
        empty.login(login)
    ask(empty.administrator, f'CREATE TABLE theirs (x int); ALTER TABLE theirs OWNER TO "{empty.prefix}_stranger"')
    db.configure(empty.url("migrate"))
    schema.migrate([])
    empty.apply()
    owner = "SELECT pg_get_userbyid(relowner), relacl::text FROM pg_class WHERE relname = 'theirs'"
    assert ask(empty.administrator, owner) == [(f"{empty.prefix}_stranger", None)]


def test_an_administrator_need_not_be_superuser(empty: Roles) -> None:
    empty.login("admin", more="CREATEROLE")
    database = psycopg2.extensions.parse_dsn(empty.administrator)["dbname"]
    ask(empty.administrator, f'ALTER DATABASE "{database}" OWNER TO "{empty.prefix}_admin"')
    db.configure(empty.url("admin"))
    schema.migrate([])
    for _ in range(2):
        empty.apply(empty.url("admin"))
    assert ask(empty.administrator, OWNERS) == [(f"{empty.prefix}_owner",)]


NOT_THEIRS = "ALTER DATABASE {database} OWNER TO CURRENT_USER"
SCHEMA_NOT_THEIRS = """ALTER DATABASE {database} OWNER TO {admin};
ALTER SCHEMA public OWNER TO CURRENT_USER; GRANT CREATE ON SCHEMA public TO PUBLIC"""


@pytest.mark.parametrize(
    ("standing", "told"),
    [
        (NOT_THEIRS, ["everybody may still connect to test_", "_owner may not create tables in the schema public"]),
        (SCHEMA_NOT_THEIRS, ["nothing was changed: everybody may still create tables in the schema public\n"]),
    ],
)
def test_an_administrator_who_may_not_secure_it_is_told_and_nothing_is_changed(
    empty: Roles, standing: str, told: list[str]
) -> None:
    empty.login("admin", more="CREATEROLE")
    names = {"database": psycopg2.extensions.parse_dsn(empty.administrator)["dbname"], "admin": f"{empty.prefix}_admin"}
    ask(empty.administrator, sql.SQL(standing).format(**{key: sql.Identifier(name) for key, name in names.items()}))
    done = empty.try_to_apply(empty.url("admin"))
    assert done.returncode == 3, done.stderr
    for words in (*told, "HINT:  Run this as a superuser, or as the owner of the database and of the schema public."):
        assert words in done.stderr
    made = "SELECT rolname FROM pg_roles WHERE starts_with(rolname, %s)"
    assert ask(empty.administrator, made, empty.prefix) == [(names["admin"],)]


@pytest.mark.parametrize("whoever", ["postgres", "stranger"])
def test_what_somebody_else_made_later_is_handed_over_too(
    empty: Roles, tmp_path: Path, whoever: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty.apply()
    for login in ("migrate", "work", "stranger"):
        empty.login(login)
    write("loyalty", tmp_path / "sets")
    monkeypatch.setenv("CELERYCTL_DATASETS", str(tmp_path / "sets"))
    monkeypatch.setenv("CARD_ENCRYPTION_KEYS", KEY)
    monkeypatch.setenv("DATABASE_URL", empty.url("migrate"))
    assert app.run(["init-db", "-q"]) == 0
    # As if each had been made by a migration, or for a data set, that this role ran; all but the history tells of them.
    ask(empty.administrator, "CREATE TABLE celeryctl_migrations_loyalty (name text)")
    role = f"{empty.prefix}_{whoever}" if whoever == "stranger" else "CURRENT_USER"
    for (table,) in ask(empty.administrator, EVERY_TABLE):
        ask(
            empty.administrator,
            f"REVOKE ALL ON {table} FROM {empty.prefix}_writer; ALTER TABLE {table} OWNER TO {role}",
        )
    empty.apply()
    assert ask(empty.administrator, OWNERS) == [(f"{empty.prefix}_owner",)]
    db.configure(empty.url("work"))
    found = privileges.rights(["users", "addresses", "credit_cards", "loyalty"])
    assert (found.lacks, privileges.excess()) == ([], [])


@pytest.mark.slow
def test_worker_and_beat_need_no_more_than_the_writer_and_say_what_they_lack(
    empty: Roles, redis_url: str, tmp_path: Path
) -> None:
    empty.apply()
    for login in ("migrate", "work", "look"):
        empty.login(login)
    db.configure(empty.url("migrate"))
    schema.migrate([])
    ask(empty.administrator, f'REVOKE INSERT ON credit_cards FROM "{empty.prefix}_writer"')
    with sources() as api:
        intervals = dict.fromkeys((f"FETCH_{name}_INTERVAL" for name in ("USERS", "ADDRESSES", "CREDIT_CARDS")), "1")
        variables = settings(empty.url("work"), redis_url, tmp_path, api=api, **intervals)
        beat = process(["celeryctl", "beat"], tmp_path / "beat.log", variables)
        with worker(tmp_path / "worker.log", variables) as working, beat:
            eventually(lambda: count(empty, "addresses") == 10)
            eventually(lambda: DENIED in "".join(text for (text,) in ask(empty.url("look"), ERRORS)))
            working.assert_says(DENIED)
            assert (count(empty, "beats"), count(empty, "workers")) == (1, 1)
            empty.apply()
            eventually(lambda: count(empty, "credit_cards") == 10)
    assert (count(empty, "beats"), count(empty, "workers")) == (0, 0)


def count(made: Roles, table: str) -> int:
    return int(ask(made.url("look"), f"SELECT count(*) FROM {table}")[0][0])
