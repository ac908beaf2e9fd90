"""What the tests of the command line start with."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from faultserver import FaultServer, Reply
from leakcheck import note
from servers import KEY

from celeryctl.cli import app
from celeryctl.local import generate

from .commandline import Run, Said


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Run:
    """Runs a command line in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")

    def run(*arguments: str) -> Said:
        capfdbinary.readouterr()
        code = app.run(arguments)
        out, err = (text.decode() for text in capfdbinary.readouterr())
        note(out, err)
        return Said(code, out, err)

    return run


@pytest.fixture
def database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The test database, set in the environment."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("CARD_ENCRYPTION_KEYS", KEY)
    return database_url


@pytest.fixture
def source(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultServer]:
    """Three sources on loopback: ten users, and as many records as are asked for."""
    with FaultServer() as server:
        monkeypatch.setenv("ALLOW_PRIVATE_SOURCES", "1")
        monkeypatch.setenv("HTTP_MAX_TRIES", "1")
        users = [generate.user(number, 0) for number in range(1, 11)]
        monkeypatch.setenv("USERS_URL", server.answer("/users", lambda asked: Reply.json(
            users if asked.query.get("_page", "1") == "1" else [])))  # fmt: skip
        for name, make in (("ADDRESSES", generate.address), ("CREDIT_CARDS", generate.card)):
            monkeypatch.setenv(f"{name}_URL", server.answer(f"/{name}", lambda asked, make=make: Reply.json(
                [make(number, 0) for number in range(1, int(asked.query.get("size", 1)) + 1)])))  # fmt: skip
        yield server
