"""The pool and the schema: connections that heal, errors that tell no secret, migrations that are safe."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import peewee
import psycopg2
import pytest
from playhouse.pool import PooledPostgresqlDatabase
from storage.ledgerkit import while_held
from waiting import eventually

from celeryctl import User
from celeryctl.datasets.addresses import Address
from celeryctl.datasets.credit_cards import CreditCard
from celeryctl.errors import CeleryctlError, DatabaseUnreachableError, RefusedError, SchemaError
from celeryctl.local.generate import CARD_NUMBERS
from celeryctl.local.postgres import Postgres
from celeryctl.storage import database as db
from celeryctl.storage import schema
from celeryctl.storage.ledger import Batch, Miss, Run, SourceState, Worker
from celeryctl.storage.locks import Patience
from celeryctl.storage.row import Row

pytestmark = pytest.mark.integration
MIGRATIONS = [
    "0001_tables",
    "0002_watching",
    "0003_readings",
    "0004_letters",
    "0005_payloads",
    "0006_cooldowns",
    "0007_sealing",
    "0008_reveals",
    "0009_totals",
]
MODELS = (User, Address, CreditCard, Run, Batch, Miss, Worker, SourceState)
TABLES = "SELECT array_agg(oid || relname ORDER BY oid) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
TYPES = """
SELECT table_name::text, column_name::text, data_type::text FROM information_schema.columns
WHERE table_schema = 'public' AND NOT starts_with(table_name, 'celeryctl_migrations') AND ({})
"""
PID = "SELECT pg_backend_pid()"


def sql(statement: str, *parameters: object) -> list[tuple[object, ...]]:
    with db.session():
        cursor = db.database.execute_sql(statement, parameters or None)
        return list(cursor.fetchall()) if cursor.description else []


def outside(url: str, statement: str, *parameters: object) -> list[tuple[object, ...]]:
    """Run a statement beside the pool."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(statement, parameters or None)
        return list(cursor.fetchall()) if cursor.description else []


def changed(url: str, **parts: str) -> str:
    return psycopg2.extensions.make_dsn(url, **parts)


# The pool


def test_a_connection_is_given_back_and_used_again(database_url: str) -> None:
    assert len({sql(PID)[0] for _ in range(5)}) == 1
    with db.session():
        outer = db.database.execute_sql(PID).fetchone()
        assert sql(PID) == [outer]
    with pytest.raises(ValueError, match="x"), db.transaction():
        raise ValueError("x")
    assert sql(PID) == [outer]


def test_a_transaction_is_kept_whole_or_not_at_all(database_url: str) -> None:
    def both() -> None:
        with db.transaction():
            for _ in range(2):
                User.create(external_id=1, name="n", username="u", email="e")

    with pytest.raises(RefusedError):
        both()
    assert sql("SELECT count(*) FROM users") == [(0,)]


def test_closing_leaves_no_connection_behind(database_url: str) -> None:
    (pid,) = sql(PID)[0]
    db.close()
    assert eventually(lambda: outside(database_url, "SELECT FROM pg_stat_activity WHERE pid = %s", pid) == [])
    assert sql("SELECT 1") == [(1,)]


def test_the_pool_heals_after_its_connections_were_ended(database_url: str) -> None:
    (pid,) = sql(PID)[0]
    assert outside(database_url, "SELECT pg_terminate_backend(%s, 10000)", pid) == [(True,)]
    assert sql(PID)[0] != (pid,)


def test_a_connection_that_ends_within_a_transaction_is_told_and_the_next_one_works(database_url: str) -> None:
    def cut_off() -> None:
        with db.transaction():
            (pid,) = db.database.execute_sql(PID).fetchone()
            outside(database_url, "SELECT pg_terminate_backend(%s, 10000)", pid)
            db.database.execute_sql("SELECT 1")

    with pytest.raises(DatabaseUnreachableError):
        cut_off()
    assert sql("SELECT 1") == [(1,)]


def test_a_pool_that_is_used_up_says_so() -> None:
    error = db.translate(db.MaxConnectionsExceeded())
    assert isinstance(error, DatabaseUnreachableError)
    assert "DATABASE_POOL_SIZE" in error.fix


@pytest.mark.slow
def test_the_pool_heals_after_the_server_was_restarted(server_home: Path) -> None:
    server = Postgres(server_home)
    url = server.ensure()
    db.configure(url)
    try:
        assert sql("SELECT 1") == [(1,)]
        server.stop()
        with pytest.raises(DatabaseUnreachableError):
            sql("SELECT 1")
        port = psycopg2.extensions.parse_dsn(url)["port"]
        again = server.ensure()
        if psycopg2.extensions.parse_dsn(again)["port"] != port:
            db.configure(again)
        assert sql("SELECT 1") == [(1,)]
    finally:
        db.close()


def test_a_fork_that_forgets_the_pool_gets_its_own_rows_and_leaves_its_parent_the_connection(database_url: str) -> None:
    with db.session():
        (parent,) = db.database.execute_sql(PID).fetchone()
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            _in_the_child(writing)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            mine = [db.database.execute_sql("SELECT %s", (n,)).fetchone()[0] for n in range(200)]
            theirs = pipe.read().split()
        assert os.waitpid(child, 0)[1] == 0
        assert mine == list(range(200))
        assert db.database.execute_sql(PID).fetchone() == (parent,)
    assert theirs[1:] == [str(1000 + n) for n in range(200)]
    assert theirs[0] != str(parent)


def _in_the_child(pipe: int) -> None:
    """Ask beside the parent, report, and end without running what pytest does at the end."""
    code = 1
    try:
        db.forget()
        rows = [sql(PID)[0][0], *(sql("SELECT %s", 1000 + n)[0][0] for n in range(200))]
        os.write(pipe, " ".join(map(str, rows)).encode())
        db.close()
        code = 0
    finally:
        os._exit(code)


def test_every_session_has_its_time_outs_and_speaks_of_utc(database_url: str) -> None:
    names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "TimeZone")
    found = [sql("SELECT current_setting(%s)", name)[0][0] for name in names]
    assert found == ["5min", "1min", "1min", "UTC"]
    assert sql("SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()") == [("celeryctl",)]


def test_a_url_overrides_a_time_out(database_url: str) -> None:
    db.configure(f"{database_url}?options=-c%20statement_timeout%3D50ms&application_name=mine")
    assert sql("SHOW statement_timeout") == [("50ms",)]
    assert sql("SHOW lock_timeout") == [("1min",)]
    with pytest.raises(CeleryctlError, match="statement timeout"):
        sql("SELECT pg_sleep(20)")


def test_what_only_the_former_url_asked_for_is_forgotten(database_url: str) -> None:
    db.configure(f"{database_url}?sslmode=verify-full&sslrootcert=/none&hostaddr=127.0.0.9&application_name=former")
    db.configure(database_url)
    assert sql("SELECT current_setting('application_name')") == [("celeryctl",)]
    db.configure("postgresql://me@127.0.0.1:1/db")
    assert "password" not in db.database.connect_params


@pytest.mark.slow
def test_a_server_that_accepts_and_keeps_silent_is_not_waited_for_for_long() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://me:s3cret@127.0.0.1:{silent.getsockname()[1]}/db"
        db.configure(url)
        for use in (lambda: sql("SELECT 1"), lambda: db.connect_once(url), lambda: schema.create_database(url)):
            with pytest.raises(DatabaseUnreachableError, match="timeout expired") as caught:
                use()
            assert "s3cret" not in str(caught.value)
    db.close()


# Errors


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ({"port": "1"}, "refused"),
        ({"password": "wrong-secret"}, "password"),
        ({"dbname": "not_there"}, "does not exist"),
        ({"host": "/nowhere"}, "No such file"),
    ],
)
def test_a_database_that_cannot_be_reached_is_told_without_its_password(
    postgres_server: str, parts: dict[str, str], why: str
) -> None:
    url = changed(postgres_server, **parts)
    db.configure(url)
    password = psycopg2.extensions.parse_dsn(url).get("password") or "-"
    for use in (lambda: sql("SELECT 1"), lambda: db.connect_once(url)):
        with pytest.raises(DatabaseUnreachableError, match=why) as caught:
            use()
        assert password not in str(caught.value) + caught.value.fix
        assert caught.value.exit_code == 69
    db.close()


@pytest.mark.shows_numbers("the statement that is refused holds one")
@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO credit_cards (user_id, card_number, card_type, expiry_date) VALUES (7, %s, 'x', 'x')",
        "INSERT INTO credit_cards (user_id, card_number, card_type) VALUES (1, %s, 'x')",
        "INSERT INTO misses (dataset, key, outcome, reasons) VALUES ('x', %s, 'other', '{}')",
        "INSERT INTO misses (dataset, key, outcome, reasons) SELECT 'x', %s, 'none', '{}' FROM generate_series(1, 2)",
        "SELECT %s::text::bigint",
        "SELECT %s::text::timestamptz",
    ],
    ids=["no such user", "not null", "check", "twice", "number", "time"],
)
def test_what_the_database_refuses_is_told_without_the_rows_values(database_url: str, statement: str) -> None:
    with pytest.raises(RefusedError) as caught:
        sql(statement, CARD_NUMBERS[0])
    assert CARD_NUMBERS[0] not in str(caught.value)
    assert caught.value.why


@pytest.mark.parametrize("code", ["40P01", "40001", "55P03", "57014", "25006", "53100", "57P01", "58030"])
def test_what_passes_by_itself_is_not_blamed_on_a_row(database_url: str, code: str) -> None:
    with pytest.raises(DatabaseUnreachableError):
        sql(f"DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '{code}'; END $$")


def test_missing_tables_and_columns_are_told_with_the_command_that_makes_them(database_url: str) -> None:
    for statement in ("SELECT * FROM nothing", "SELECT nothing FROM users"):
        with pytest.raises(SchemaError) as caught:
            sql(statement)
        assert caught.value.fix == "celeryctl init-db"


# The database


def test_a_database_is_created_where_it_is_missing(empty_database: str) -> None:
    assert schema.create_database(empty_database)
    assert not schema.create_database(empty_database)
    assert outside(empty_database, "SELECT 1") == [(1,)]


def test_of_several_that_create_a_database_at_once_none_fails(empty_database: str) -> None:
    done: list[object] = []
    barrier = threading.Barrier(4)

    def work() -> None:
        barrier.wait(30)
        try:
            done.append(schema.create_database(empty_database))
        except CeleryctlError as error:
            done.append(error)

    _together(work, 4)
    assert sorted(done, key=str) == [False, False, False, True]


def test_a_database_is_not_created_where_the_server_refuses(postgres_server: str, empty_database: str) -> None:
    with pytest.raises(DatabaseUnreachableError):
        schema.create_database(changed(empty_database, password="wr0ng"))
    name = psycopg2.extensions.parse_dsn(empty_database)["dbname"]
    assert outside(postgres_server, "SELECT FROM pg_database WHERE datname = %s", name) == []


def _together(work: object, count: int) -> None:
    threads = [threading.Thread(target=work) for _ in range(count)]  # type: ignore[arg-type]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# Migrations


@pytest.fixture
def bare(empty_database: str) -> str:
    """The URL of a database without tables; the models point at it."""
    schema.create_database(empty_database)
    db.configure(empty_database)
    return empty_database


MIGRATE = """
import sys
from celeryctl.storage import database as db, schema
db.configure(sys.argv[1])
sys.stdin.read()
print(schema.migrate([]))
"""


def test_several_processes_may_migrate_at_once(bare: str) -> None:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen([sys.executable, "-c", MIGRATE, bare], **pipes) for _ in range(3)]  # type: ignore[call-overload]
    for process in processes:
        process.stdin.close()
        process.stdin = None
    answers = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], answers
    assert sorted(out.strip() for out, _ in answers) == [
        str(MIGRATIONS),
        "[]",
        "[]",
    ]
    schema.require([])


def test_asking_what_is_pending_changes_nothing(bare: str) -> None:
    assert schema.pending([]) == MIGRATIONS
    with pytest.raises(SchemaError, match="0001_tables") as caught:
        schema.require([])
    assert caught.value.fix == "celeryctl init-db"
    assert sql(TABLES) == [(None,)]


def test_migrating_again_does_nothing(bare: str) -> None:
    assert schema.migrate([]) == MIGRATIONS
    before = sql(TABLES)
    assert schema.migrate([]) == []
    assert sql(TABLES) == before


def test_tables_of_another_application_are_left_alone(bare: str) -> None:
    sql("CREATE TABLE addresses (id serial PRIMARY KEY, city text)")
    sql("INSERT INTO addresses (city) VALUES ('Ghent')")
    before = sql(TABLES)
    with pytest.raises(SchemaError, match="not celeryctl's: addresses"):
        schema.migrate([])
    assert sql(TABLES) == before
    assert sql("SELECT city FROM addresses") == [("Ghent",)]


DECLARATION = """
import peewee
from celeryctl import Row, User

class Loyalty(Row):
    user = peewee.ForeignKeyField(User, backref="loyalty", unique=True, on_delete="CASCADE")
    tier = peewee.TextField()
"""
CHANGE = """
def up(migrator, db):
    db.execute_sql("ALTER TABLE loyalty ADD COLUMN points bigint")
"""


@pytest.fixture
def further(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Row]]:
    """A model in a file of somebody else's."""
    (tmp_path / "loyalty_declared.py").write_text(DECLARATION)
    monkeypatch.syspath_prepend(str(tmp_path))
    import loyalty_declared

    yield loyalty_declared.Loyalty
    del sys.modules["loyalty_declared"]


def ship(folder: Path) -> None:
    (folder / "loyalty_migrations").mkdir()
    (folder / "loyalty_migrations" / "0001_points.py").write_text(CHANGE)


def columns(table: str) -> list[object]:
    found = sql("SELECT column_name::text FROM information_schema.columns WHERE table_name = %s ORDER BY 1", table)
    return [name for (name,) in found]


def test_the_table_of_a_further_data_set_is_created_with_its_indexes(bare: str, further: type[Row]) -> None:
    assert schema.pending([further]) == [*MIGRATIONS, "create loyalty"]
    assert schema.migrate([further]) == [*MIGRATIONS, "create loyalty"]
    assert schema.migrate([further]) == []
    assert columns("loyalty") == ["created_at", "fetched_at", "id", "tier", "updated_at", "user_id"]
    assert _keys_without_index() == []


def test_the_table_of_a_further_data_set_is_created_while_users_are_written(bare: str, further: type[Row]) -> None:
    schema.migrate([])
    insert = "INSERT INTO users (external_id, name, username, email) VALUES (1, 'n', 'u', 'e')"
    patience = Patience(wait="50ms", pause=0.05, tries=600)
    assert while_held(bare, insert, lambda: schema.migrate([further], patience=patience)) == ["create loyalty"]
    assert schema.pending([further]) == []


def test_a_data_sets_own_migrations_are_applied_to_a_table_that_was_there(
    bare: str, further: type[Row], tmp_path: Path
) -> None:
    schema.migrate([further])
    ship(tmp_path)
    assert schema.pending([further]) == ["0001_points"]
    assert schema.migrate([further]) == ["0001_points"]
    assert "points" in columns("loyalty")
    assert schema.pending([further]) == []


def test_a_new_table_has_its_own_migrations_already(bare: str, further: type[Row], tmp_path: Path) -> None:
    ship(tmp_path)
    schema.migrate([further])
    assert "points" not in columns("loyalty")
    assert schema.pending([further]) == []
    assert schema.migrate([further]) == []


# The tables


def _keys_without_index() -> list[tuple[object, ...]]:
    return sql("""
        SELECT c.conrelid::regclass::text, c.conname FROM pg_constraint c
        WHERE c.contype = 'f' AND c.connamespace = 'public'::regnamespace AND NOT EXISTS (
          SELECT FROM pg_index i WHERE i.indrelid = c.conrelid AND i.indkey[0] = c.conkey[1])""")


def test_every_foreign_key_has_an_index(database_url: str) -> None:
    assert _keys_without_index() == []
    assert sql("SELECT count(*) >= 4 FROM pg_constraint WHERE contype = 'f'") == [(True,)]


def test_ids_are_wide_and_times_have_a_zone(database_url: str) -> None:
    ids = sql(TYPES.format("column_name IN ('id', 'external_id', 'user_id')"))
    assert {row for row in ids if row[2] != "bigint"} == {("runs", "id", "uuid")}
    assert len(ids) >= 8
    times = sql(TYPES.format("right(column_name, 3) = '_at' OR starts_with(data_type, 'timestamp')"))
    assert {kind for *_, kind in times} == {"timestamp with time zone"}
    assert len(times) >= 15


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_a_model_and_its_table_agree(database_url: str, model: type[peewee.Model]) -> None:
    table = model._meta.table_name
    described = sql(
        "SELECT column_name, is_nullable = 'YES' FROM information_schema.columns WHERE table_name = %s", table
    )
    assert dict(described) == {field.column_name: field.null for field in model._meta.sorted_fields}
    with db.session():
        model.select().first()


def test_text_columns_have_no_length(database_url: str) -> None:
    assert sql(TYPES.format("starts_with(data_type, 'character')")) == []


@pytest.mark.shows_numbers("its row is not a real one: the column holds any text")
def test_deleting_a_user_deletes_what_hangs_on_it(database_url: str) -> None:
    for number in (1, 2):
        user = User.create(external_id=number, name="n", username="u", email="e")
        Address.create(user=user, **dict.fromkeys(("street_number", "street_name", "city", "state"), "x"),
                       country="x", postal_code="x")  # fmt: skip
        CreditCard.create(user=user, card_number="x", card_type="x", expiry_date="x")
    sql("DELETE FROM users WHERE external_id = 1")
    counts = [sql(f"SELECT count(*) FROM {table}")[0] for table in ("users", "addresses", "credit_cards")]
    assert counts == [(1,), (1,), (1,)]


def test_the_models_share_one_pool() -> None:
    assert {model._meta.database for model in MODELS} == {db.database}
    assert isinstance(db.database, PooledPostgresqlDatabase)
