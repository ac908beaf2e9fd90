"""What the tests share: one PostgreSQL and one Valkey for the session, a clean database and broker for every test."""

import logging
import os
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import closing

import psycopg2
import pytest
import redis
from hypothesis import HealthCheck, settings
from leakcheck import pytest_runtest_makereport, pytest_runtest_teardown  # noqa: F401 - hooks
from psycopg2 import sql
from psycopg2.extensions import make_dsn, parse_dsn
from servers import postgres_server, server_home, valkey_server  # noqa: F401 - fixtures

from celeryctl import logs, services
from celeryctl.storage import database as db
from celeryctl.storage import schema

# How long an example takes depends on what else runs at that moment: it tells nothing of what is tested.
settings.register_profile("timeless", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("timeless")

SERVERS = {"postgres_server", "valkey_server"}
CLEAN = """TRUNCATE users, runs, misses, workers, sources, beats, rates, readings, dead_letters, reveals, totals
  RESTART IDENTITY CASCADE;
DELETE FROM datasets; DELETE FROM counts;
DELETE FROM pg_statistic USING pg_class WHERE pg_class.oid = starelid AND relnamespace = 'public'::regnamespace"""
# The last: what the server has learnt of rows outlives them, also of numbers that a test wrote in the clear.


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where other servers are named, what starts its own need not run once more."""
    told = "run only what uses the servers that TEST_DATABASE_URL and TEST_REDIS_URL may name"
    parser.addoption("--named-servers", action="store_true", help=told)


@pytest.hookimpl(trylast=True)  # after they were shuffled
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--named-servers"):
        others = [item for item in items if SERVERS.isdisjoint(getattr(item, "fixturenames", ()))]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]
    if (workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))) <= len(items):
        items[:] = spread(items, workers)


def limit(item: pytest.Item) -> float:
    """Seconds that a test may take, where it has a limit of its own."""
    found = item.get_closest_marker("timeout")
    return float(found.args[0]) if found else 0.0


def spread(items: list[pytest.Item], workers: int) -> list[pytest.Item]:
    """Let every worker begin with one of the tests that may take longest: in the end all would wait for these.

    With ``--dist worksteal`` each gets a piece of the list, all of one size, and takes over from others later.
    """
    longest = sorted(items, key=limit, reverse=True)[:workers]
    others = [item for item in items if item not in longest]
    found: list[pytest.Item] = []
    for left in range(workers, 0, -1):
        share = (len(others) + left) // left - 1
        found += [longest[workers - left], *others[:share]]
        del others[:share]
    return found


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> Iterator[None]:
    """Nothing of the person who runs the tests gets in: no settings, no colours, no home above.

    Nor does anything of one test get into the next: a command that runs in this process sets up logging.
    """
    for name in list(os.environ):
        if name.endswith(("_URL", "_INTERVAL", "_MAX_AGE", "_AUTHORIZATION", "_RATE_LIMIT")) and "TEST_" not in name:
            monkeypatch.delenv(name)
    for name in ("CELERYCTL_HOME", "CELERYCTL_DATASETS", "CARD_ENCRYPTION_KEYS", "LOG_LEVEL", "LOG_FORMAT", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("_TYPER_FORCE_DISABLE_TERMINAL", "1")
    monkeypatch.setenv("CELERYCTL_HOME", f"{tmp_path}/.celeryctl")
    services.use(None)
    root = logging.getLogger()
    level = root.level
    yield
    for handler in [one for one in root.handlers if type(one).__module__ == logs.__name__]:
        root.removeHandler(handler)
    root.setLevel(level)


def named(server: str, name: str) -> str:
    """The server's URL with another database."""
    parts = {**parse_dsn(server), "dbname": name}
    host = f"{parts['host']}:{parts['port']}"
    return f"postgresql://{parts.get('user', 'postgres')}:{parts.get('password', '')}@{host}/{name}"


def drop(server: str, name: str) -> None:
    """Drop a database, whoever is connected."""
    with closing(psycopg2.connect(make_dsn(server))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def migrated(postgres_server: str) -> Iterator[str]:  # noqa: F811 - a fixture
    """The URL of a database with all tables, for the session."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    url = named(postgres_server, name)
    schema.create_database(url)
    db.configure(url)
    schema.migrate([])
    yield url
    db.close()
    drop(postgres_server, name)


@pytest.fixture
def database_url(migrated: str) -> Iterator[str]:
    """The URL of a database with empty tables; the models point at it."""
    db.configure(migrated)
    with db.session():
        db.database.execute_sql(CLEAN)
    yield migrated
    db.close()


@pytest.fixture
def empty_database(postgres_server: str) -> Iterator[str]:  # noqa: F811 - a fixture
    """The URL of a database that does not exist yet and is dropped afterwards."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    yield named(postgres_server, name)
    db.close()
    drop(postgres_server, name)


@pytest.fixture
def redis_url(valkey_server: str) -> str:  # noqa: F811 - a fixture
    """The URL of an empty broker."""
    with closing(redis.Redis.from_url(valkey_server)) as client:
        client.flushdb()
    return valkey_server


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show how long recovery took from every fault, what a Prometheus was asked, where card numbers were looked for."""
    passed = terminalreporter.getreports("passed")
    times = [(one.nodeid, *value) for one in passed for name, value in one.user_properties if name == "recovery"]
    if times:
        terminalreporter.section("seconds until recovered, and within what")
    for node, seconds, bound in sorted(times):
        terminalreporter.write_line(f"{seconds:6.1f} {bound:4g}  {node}")
    asked = [pair for one in passed for name, pairs in one.user_properties if name == "prometheus" for pair in pairs]
    if asked:
        terminalreporter.section("what a Prometheus was asked, and how many values it had")
    for query, values in asked:
        terminalreporter.write_line(f"{query:50} {len(values):4}  {', '.join(values[:4])}")
    looked = Counter[str]()
    for name, places in [one for report in passed for one in report.user_properties]:
        looked.update(dict(places) if name == "looked" else {})
    if looked:
        terminalreporter.section("bytes looked through for card numbers, and where")
    for place, size in looked.items():
        terminalreporter.write_line(f"{size:12,}  {place}")
