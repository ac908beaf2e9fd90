"""PostgreSQL over TLS: what DATABASE_URL says of it reaches libpq untouched, wherever a connection is made."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from checks.kit import look
from cli.commandline import Said, assert_refused
from cluster.kit import run, settings, sources, worker
from relay import own_address, relay
from servers import KEY
from tlskit import BINARIES, HOST, KEY_PASSWORD, TlsServer, tls_server

from celeryctl.local import shell
from celeryctl.pipeline.context import Context
from celeryctl.storage import database as db
from celeryctl.storage import schema

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not (BINARIES / "postgres").exists(), reason="needs Debian's PostgreSQL 15: one that knows TLS"),
]

NAME = "tls_test"
HIDDEN = "SELECT bool_and(ssl AND client_dn IS NOT NULL), count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) "
HIDDEN += "WHERE application_name = 'celeryctl'"


@pytest.fixture(scope="module")
def server() -> Iterator[TlsServer]:
    """A server with all tables in a database."""
    with tls_server() as found:
        schema.create_database(found.url(NAME))
        db.configure(found.url(NAME))
        schema.migrate([])
        db.close()
        yield found


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    db.close()


def said(url: str, folder: Path, *words: str) -> Said:
    done = run(settings(url, "redis://127.0.0.1:1/0", folder), folder, *words)
    return Said(done.returncode, done.stdout, done.stderr)


def test_a_command_works_over_tls_with_a_certificate_of_its_own(server: TlsServer, tmp_path: Path) -> None:
    done = said(server.url(NAME), tmp_path, "seed", "3", "-q")
    assert done.code == 0, done.err
    assert said(server.url(NAME), tmp_path, "init-db", "--check").code == 0


def test_a_key_that_is_encrypted_is_opened_and_its_password_is_not_told(server: TlsServer, tmp_path: Path) -> None:
    more = {"sslcert": server.locked_certificate, "sslkey": server.locked}
    assert said(server.url(NAME, sslpassword=KEY_PASSWORD, **more), tmp_path, "users", "list").code == 0
    wrong = said(server.url(NAME, sslpassword="wrong-secret", **more), tmp_path, "users", "list")
    assert_refused(wrong, 69, "could not load private key file")
    shown = said(server.url(NAME, sslpassword=KEY_PASSWORD, **more), tmp_path, "config", "show")
    assert_tells_no_secret(server, wrong, shown)


def assert_tells_no_secret(server: TlsServer, *told: Said) -> None:
    text = "".join(one.out + one.err for one in told)
    assert not [one for one in (server.password, KEY_PASSWORD, "wrong-secret") if one in text], text


@pytest.mark.parametrize("words", [["users", "list"], ["init-db"], ["seed"]], ids=" ".join)
@pytest.mark.parametrize("wrong", ["authority", "host", "certificate"])
def test_what_cannot_be_trusted_is_not_talked_to(
    server: TlsServer, wrong: str, words: list[str], tmp_path: Path
) -> None:
    url, why = {
        "authority": (server.url(NAME, sslrootcert=server.foreign), "certificate verify failed"),
        "host": (server.url(NAME, host="other.example"), f'for "{HOST}" does not match host name "other.example"'),
        "certificate": (server.url(NAME, sslcert="/none", sslkey="/none"), "requires a valid client certificate"),
    }[wrong]
    refused = said(url, tmp_path, *words)
    assert_refused(refused, 69, why, "celeryctl config show")
    assert_tells_no_secret(server, refused)


@pytest.mark.parametrize("mode", ["require", "verify-full"])
def test_a_server_without_tls_is_not_talked_to_where_that_is_asked_for(
    server: TlsServer, postgres_server: str, mode: str, tmp_path: Path
) -> None:
    url = f"{postgres_server}?sslmode={mode}&sslrootcert={server.trusted['sslrootcert']}"
    refused = said(url, tmp_path, "users", "list")
    assert_refused(refused, 69, "server does not support SSL, but SSL was required")


@pytest.mark.slow
def test_a_worker_keeps_to_tls(server: TlsServer, redis_url: str, tmp_path: Path) -> None:
    with sources() as api:
        variables = settings(server.url(NAME), redis_url, tmp_path, api=api)
        with worker(tmp_path / "worker.log", variables):
            done = run(variables, tmp_path, "fetch", "all", "--wait", "--refresh", "--timeout", "60s")
            assert done.returncode == 0, done.stderr
            db.configure(server.url(NAME))
            with db.session():
                hidden, connections = db.database.execute_sql(HIDDEN).fetchone()
    assert (hidden, connections >= 2) == (True, True)


def test_psql_keeps_to_tls(server: TlsServer, capfd: pytest.CaptureFixture[str]) -> None:
    def psql(url: str) -> int:
        context = Context.read({"DATABASE_URL": url, "CARD_ENCRYPTION_KEYS": KEY})
        return shell.psql(context, ["-XAtc", "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"])

    assert psql(server.url(NAME)) == 0
    assert capfd.readouterr().out == "t\n"
    assert psql(server.url(NAME, sslrootcert=server.foreign)) == 2
    assert "certificate verify failed" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("parameters", "state", "told"),
    [
        ({}, "ok", "TLSv1.3, verify-full"),
        ({"sslmode": "require", "sslrootcert": None}, "warning", f"TLSv1.3, but whether {HOST} is who it says"),
    ],
)
def test_doctor_says_how_the_connection_is_protected(
    server: TlsServer, parameters: dict[str, str | None], state: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARD_ENCRYPTION_KEYS", KEY)
    with relay(own_address(), ("127.0.0.1", server.port)) as way:  # what is on this machine needs no protection
        url = server.url(NAME, hostaddr=way.server_address[0], **parameters)
        monkeypatch.setenv("DATABASE_URL", url.replace(f":{server.port}/", f":{way.port}/"))
        found = look("encryption")
        db.close()
    assert (found.state, told in found.why) == (state, True), found
