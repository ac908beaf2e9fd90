import socket
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from urllib.parse import urlencode, urlsplit

import psycopg2
import pytest
from relay import own_address, relay
from servers import KEY

from celeryctl.cli import app
from celeryctl.storage import schema, server
from celeryctl.storage.database import database, session

from .kit import look, mend

pytestmark = pytest.mark.integration

OTHER_KEY = "T3RoZXJPdGhlck90aGVyT3RoZXJPdGhlck90aGVyMDE="


@pytest.fixture
def named(database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The test database, as the one that settings name."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("CARD_ENCRYPTION_KEYS", KEY)
    return database_url


def sql(statement: str) -> None:
    with session():
        database.execute_sql(statement)


@pytest.mark.parametrize("name", ["database", "PostgreSQL version", "encryption", "tables", "rights", "counters",
                                  "card numbers", "connections", "database's clock"])  # fmt: skip
def test_a_new_database_is_well(named: str, name: str) -> None:
    found = look(name)
    assert found.state == "ok", found
    assert "postgres:****@" in found.why or name != "database"


@pytest.mark.parametrize("url", ["postgresql://me:s3cret@127.0.0.1:1/db", ""])
def test_a_database_that_is_away_is_unreachable(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("CARD_ENCRYPTION_KEYS", KEY)
    found = look("database")
    assert found.state == "unreachable"
    assert found.fix
    assert "s3cret" not in str(found)


def leading(url: str, host: str, **more: str) -> str:
    """The URL with another host, and nothing encrypted."""
    parts = urlsplit(url)
    asked = urlencode({"sslmode": "disable", **more})
    return parts._replace(netloc=parts.netloc.replace(str(parts.hostname), host), query=asked).geturl()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.0.1.example.com", "db.example"])
def test_what_can_be_read_on_the_way_to_a_database_elsewhere_is_told(
    named: str, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = urlsplit(named)
    with relay(own_address(), (str(parts.hostname), parts.port or 5432)) as way:
        url = leading(named, host, hostaddr=way.server_address[0])
        monkeypatch.setenv("DATABASE_URL", url.replace(f":{parts.port}/", f":{way.port}/"))
        found = look("encryption")
        database.close_all()
    assert (found.state, found.why) == ("warning", f"what goes to {host} can be read on the way")
    assert "sslmode=verify-full" in found.fix


def test_what_does_not_leave_the_machine_needs_no_encryption_whatever_its_name(
    named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = socket.gethostbyname(str(urlsplit(named).hostname))
    monkeypatch.setenv("DATABASE_URL", leading(named, "db.example", hostaddr=here))
    found = look("encryption")
    assert (found.state, found.why) == ("ok", "not needed: it is on this machine")


def test_a_socket_that_is_a_file_needs_no_encryption(named: str) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        assert server.is_local(ours.fileno())


def test_a_server_that_is_too_old_is_told(named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("celeryctl.checks.databases.OLDEST", 99)
    found = look("PostgreSQL version")
    assert found.state == "failed"
    assert "needs 99" in found.why


def test_missing_tables_are_made_in_a_database_that_is_there(
    named: str, empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema.create_database(empty_database)
    monkeypatch.setenv("DATABASE_URL", empty_database)
    found = look("tables")
    assert (found.state, found.fix) == ("failed", "celeryctl init-db")
    assert "0001_tables" in found.why
    assert "0001_tables" in mend("tables")
    assert look("tables").state == "ok"


def test_a_database_that_is_not_there_is_not_made(
    named: str, empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", empty_database)
    assert app.run(["doctor", "--fix"]) == 69
    assert look("database").state == "unreachable"


def test_the_tables_of_another_application_are_left_alone(
    named: str, empty_database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    schema.create_database(empty_database)
    with closing(psycopg2.connect(empty_database)) as stranger, stranger.cursor() as cursor:
        stranger.autocommit = True
        cursor.execute("CREATE TABLE users (anything text)")
        monkeypatch.setenv("DATABASE_URL", empty_database)
        monkeypatch.setenv("COLUMNS", "1000")
        app.run(["doctor", "--fix"])
        assert "not mended: the database already has tables that are not celeryctl's" in capsys.readouterr().out
        cursor.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        assert cursor.fetchone() == (1,)


def test_a_counter_that_is_wrong_is_counted_anew(named: str) -> None:
    sql("INSERT INTO counts VALUES ('users', 99, 7)")
    found = look("counters")
    assert (found.state, found.fix) == ("failed", "celeryctl doctor --fix")
    assert "users has 0 rows, its counter says 7" in found.why
    assert mend("counters") == "counted anew: users"
    assert look("counters").state == "ok"
    assert mend("counters") == ""


def test_stored_card_numbers_are_tried_with_the_keys_that_there_are(
    named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "none stored" in look("card numbers").why
    assert app.run(["seed", "3"]) == 0
    assert look("card numbers").why == "they can be read"
    monkeypatch.setenv("CARD_ENCRYPTION_KEYS", OTHER_KEY)
    found = look("card numbers")
    assert (found.state, found.fix) == ("failed", "add that key to CARD_ENCRYPTION_KEYS")
    assert "credit_cards" in found.why


@pytest.mark.parametrize(("processes", "state"), [(4, "ok"), (400, "warning")])
def test_more_workers_than_connections_is_told(named: str, processes: int, state: str) -> None:
    sql(f"INSERT INTO workers (name, seen_at, active, concurrency, rss) VALUES ('w', now(), 0, {processes}, 1)")
    found = look("connections")
    assert found.state == state
    assert f"{processes} worker processes may open {2 * processes}" in found.why


def test_connections_that_are_all_in_use_are_a_failure(named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("celeryctl.checks.databases.FULL", 0.001)
    assert look("connections").state == "failed"


@pytest.mark.parametrize(("seconds", "state"), [(0, "ok"), (5, "warning"), (-5, "warning"), (60, "failed")])
def test_a_clock_that_goes_wrong_is_told(
    named: str, seconds: float, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from celeryctl.storage import coverage

    read: Callable[[], object] = coverage.clock
    monkeypatch.setattr(coverage, "clock", lambda: read() - timedelta(seconds=seconds))  # type: ignore[operator]
    found = look("database's clock")
    assert found.state == state
    if state != "ok":
        assert f"{abs(seconds)} s {'ahead of' if seconds > 0 else 'behind'} the database's clock" in found.why


def test_the_clock_of_a_worker_is_told(named: str) -> None:
    sql(
        "INSERT INTO workers (name, seen_at, active, concurrency, rss, skew) VALUES "
        "('a@h', now(), 0, 1, 1, 0.1), ('b@h', now(), 0, 1, 1, -45), "
        "('gone@h', now() - interval '1 minute', 0, 1, 1, 99)"
    )
    found = look("workers' clocks")
    assert found.state == "failed"
    assert found.why.startswith("b@h is 45 s behind")


def beats(*active: bool) -> None:
    for number, one in enumerate(active):
        sql(f"INSERT INTO beats VALUES ('beat{number}@h', now(), {one})")


@pytest.mark.parametrize(
    ("active", "state", "why"),
    [
        ((True, False), "ok", "beat0@h is active, 1 stand by"),
        ((), "failed", "none is running"),
        ((False, False), "failed", "none of 2 is active"),
        ((True, True), "failed", "active are beat0@h, beat1@h"),
    ],
)
def test_exactly_one_beat_is_to_be_active(named: str, active: tuple[bool, ...], state: str, why: str) -> None:
    beats(*active)
    found = look("beat")
    assert found.state == state
    assert why in found.why


def test_a_beat_that_went_without_a_word_does_not_count(named: str) -> None:
    sql("INSERT INTO beats VALUES ('old@h', now() - interval '1 minute', true), ('new@h', now(), true)")
    assert look("beat").why == "new@h is active, 0 stand by"


def test_workers_are_alive_silent_or_none(named: str) -> None:
    found = look("workers")
    assert (found.state, found.fix) == ("unreachable", "celeryctl worker")
    sql("INSERT INTO workers (name, seen_at, active, concurrency, rss) VALUES ('a@h', now(), 0, 1, 1)")
    assert look("workers").why == "a@h alive"
    sql(
        "INSERT INTO workers (name, seen_at, active, concurrency, rss) "
        "VALUES ('b@h', now() - interval '1 minute', 0, 1, 1)"
    )
    found = look("workers")
    assert found.state == "warning"
    assert "b@h silent for 60 s" in found.why
