import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faultserver import FaultServer
from servers import KEY

from celeryctl.storage import counters
from celeryctl.storage.database import database as models
from celeryctl.storage.database import session
from celeryctl.storage.user import User

from .commandline import Run

pytestmark = pytest.mark.integration

Named = Callable[[str, str], None]


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> Named:
    """Name these servers, and sources that refuse every connection."""

    def name(database_url: str, redis_url: str, source: str = "http://127.0.0.1:9") -> None:
        urls = {f"{one}_URL": f"{source}/{one}" for one in ("USERS", "ADDRESSES", "CREDIT_CARDS")}
        own = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "CARD_ENCRYPTION_KEYS": KEY}
        for variable, value in {**urls, **own, "ALLOW_PRIVATE_SOURCES": "1"}.items():
            monkeypatch.setenv(variable, value)

    return name


def states(out: str) -> dict[str, str]:
    return {check["name"]: check["state"] for check in json.loads(out)["checks"]}


def test_with_everything_away_each_check_has_a_verdict(run: Run, named: Named, tmp_path: Path) -> None:
    named("postgresql://me:s3cret@127.0.0.1:1/db", "redis://:s3cret@127.0.0.1:1/0")
    said = run("doctor", "--json")
    found = states(said.out)
    assert said.code == 69
    assert {found[name] for name in ("database", "broker", "source of users")} == {"unreachable"}
    assert {found[name] for name in ("settings", "home", ".env", "disk space")} == {"ok"}
    assert {found[name] for name in ("tables", "workers", "beat", "messages", "memory policy")} == {"skipped"}
    told = run("doctor")
    assert (told.code, told.err) == (69, "")
    assert "s3cret" not in said.out + said.err + told.out
    assert list(tmp_path.iterdir()) == []


def test_in_an_empty_folder_it_names_up_and_makes_nothing(run: Run, named: Named, tmp_path: Path) -> None:
    named("", "")
    said = run("doctor", "--fix")
    assert said.code == 69
    assert "fix: celeryctl up" in said.out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_servers_that_keep_silent_are_not_waited_for(run: Run, named: Named) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        named(f"postgresql://me@127.0.0.1:{port}/db", f"redis://127.0.0.1:{port}/0", f"http://127.0.0.1:{port}")
        found = states(run("doctor", "--json").out)
    assert {found[name] for name in ("database", "broker", "source of users")} == {"unreachable"}


def test_a_wrong_setting_is_a_finding_and_the_rest_is_looked_at(
    run: Run, named: Named, database: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    named(database, redis_url)
    monkeypatch.setenv("BATCH_SIZE", "many")
    said = run("doctor", "--json")
    found = states(said.out)
    assert said.code == 1
    assert (found["settings"], found["database"], found["home"], found["disk space"]) == (
        "failed",
        "skipped",
        "ok",
        "ok",
    )


def test_with_servers_that_answer_only_what_is_missing_is_told(
    run: Run, named: Named, source: FaultServer, database: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)
    said = run("doctor", "--json")
    found = states(said.out)
    assert {name: state for name, state in found.items() if state != "ok"} == {
        "workers": "unreachable", "consuming": "skipped", "beat": "failed",
    }  # fmt: skip
    assert said.code == 69


def test_fix_mends_what_is_safe_and_says_what_it_did(
    run: Run, named: Named, database: str, redis_url: str, tmp_path: Path
) -> None:
    named(database, redis_url)
    (tmp_path / ".env").write_text("LOG_LEVEL=ERROR\n")
    (tmp_path / ".env").chmod(0o644)
    with session():
        models.execute_sql("INSERT INTO counts VALUES ('users', 99, 9)")
    assert "Next: celeryctl doctor --fix" in run("doctor").out
    said = run("doctor", "--fix", "-q")
    assert f"done: chmod 600 {tmp_path / '.env'}" in said.out
    assert "done: counted anew: users" in said.out
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600
    assert counters.drift([User]) == []
    found = json.loads(run("doctor", "--fix", "--json").out)["checks"]
    assert not any(check["fixed"] for check in found)


def test_help_names_the_exit_codes(run: Run) -> None:
    told: Any = run("doctor", "--help").out
    assert "Exit code: 0" in told
    assert "--fix" in told
