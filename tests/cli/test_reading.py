import io
import json
import os
import pwd
import socket
from pathlib import Path

import psycopg2
import pytest
from servers import KEY

from celeryctl.local.generate import CARD_NUMBERS
from celeryctl.settings import new_key
from celeryctl.storage.database import database as db
from celeryctl.storage.database import session

from .commandline import Run, assert_refused

pytestmark = pytest.mark.integration

USER = {"id", "external_id", "name", "username", "email", "phone", "website", "company_name", "company_catchphrase",
        "company_bs", "created_at", "updated_at", "addresses", "credit_cards", "schema"}  # fmt: skip
STATS = {"schema", "total_users", "total_addresses", "total_credit_cards", "users_with_addresses",
         "users_with_credit_cards", "users_with_both", "coverage_stats", "at", "datasets", "queues", "workers",
         "sources", "problems", "database", "beats", "runs", "throughput"}  # fmt: skip
AWAY = "postgresql://me:s3cret@127.0.0.1:1/db"
READING = [["stats"], ["users", "list"], ["users", "show", "1"], ["dataset", "list"], ["dataset", "check"],
           ["config", "show"], ["init-db", "--check"], ["fetch", "all", "--dry-run"]]  # fmt: skip


@pytest.fixture
def seeded(run: Run, database: str) -> str:
    assert run("seed", "3").code == 0
    return database


def test_stats_json_has_the_documented_keys(run: Run, seeded: str) -> None:
    found = json.loads(run("stats", "--json").out)
    assert set(found) == STATS
    assert (found["schema"], found["total_users"], found["users_with_both"]) == (1, 3, 3)
    assert found["coverage_stats"] == {
        "address_coverage_percent": 100, "credit_card_coverage_percent": 100, "full_coverage_percent": 100,
    }  # fmt: skip
    assert set(found["datasets"][0]) >= {"name", "rows", "missing", "stale", "quarantined", "last_run", "next_due"}
    assert (found["queues"], len(found["problems"])) == (None, 1)


def test_stats_exits_0_and_says_so_when_everything_is_away(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", AWAY)
    monkeypatch.setenv("REDIS_URL", "redis://:s3cret@127.0.0.1:1")
    monkeypatch.setenv("CARD_ENCRYPTION_KEYS", KEY)
    said = run("stats", "--json")
    found = json.loads(said.out)
    assert (said.code, found["datasets"], found["queues"], found["total_users"]) == (0, None, None, None)
    assert len(found["problems"]) == 2
    told = run("stats")
    assert (told.code, told.out.count("not reachable")) == (0, 6)
    assert "s3cret" not in said.out + said.err + told.out + told.err


@pytest.mark.parametrize("arguments", READING, ids=" ".join)
def test_reading_commands_create_nothing(run: Run, arguments: list[str], tmp_path: Path) -> None:
    said = run(*arguments)
    known = {"stats": 0, "dataset": 0, "config": 0, "init-db": 1}  # the last one tells what is to be done
    assert said.code == known.get(arguments[0], 69)
    assert list(tmp_path.iterdir()) == []


def test_users_are_listed_in_order_and_by_the_page(run: Run, seeded: str) -> None:
    found = json.loads(run("users", "list", "--limit", "1", "--offset", "1", "--json").out)
    assert [user["id"] for user in found["users"]] == [2]
    assert "Ervin Howell" in run("users", "list").out


REVEALED = "SELECT user_id, who, host FROM reveals ORDER BY id"


@pytest.mark.shows_numbers("they are revealed")
def test_cards_are_revealed_to_who_says_yes_and_that_is_kept(
    run: Run, seeded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    me = (pwd.getpwuid(os.getuid()).pw_name, socket.gethostname())
    shown = json.loads(run("users", "show", "2", "--reveal", "--yes", "--json").out)
    assert shown["credit_cards"][0]["card_number"] in CARD_NUMBERS
    assert kept() == [(2, *me)]
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    refused = run("users", "show", "2", "--reveal")
    assert (refused.code, refused.out.strip()) == (1, "")
    assert "say y, or add --yes" in refused.err
    assert_refused(run("users", "show", "99", "--reveal", "--yes"), 1, "there is no user 99")
    assert len(kept()) == 1
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    said = run("users", "show", "3", "--external", "--reveal")
    assert "Show the card numbers of user 3 in the clear?" in said.err
    assert any(number in said.out for number in CARD_NUMBERS)
    assert len(kept()) == 2


def test_without_the_key_nothing_is_revealed(run: Run, seeded: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARD_ENCRYPTION_KEYS", str(new_key()))
    assert_refused(run("users", "show", "2", "--reveal", "--yes"), 1, "cannot be decrypted")
    assert len(kept()) == 1  # somebody has tried to


def kept() -> list[tuple[object, ...]]:
    with session():
        return list(db.execute_sql(REVEALED).fetchall())


def test_a_user_is_shown_with_masked_cards(run: Run, seeded: str) -> None:
    with psycopg2.connect(seeded) as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE users SET external_id = 77 WHERE id = 2")
    connection.close()
    for words in (["2"], ["77", "--external"]):
        found = json.loads(run("users", "show", *words, "--json").out)
        assert set(found) == USER
        assert (found["id"], len(found["addresses"]), len(found["credit_cards"])) == (2, 1, 1)
        number = found["credit_cards"][0]["card_number"]
        assert "*" in number
        assert sum(character.isdigit() for character in number) == 4
        told = run("users", "show", *words).out
        assert "Ervin Howell" in told
        assert number in told


@pytest.mark.parametrize("words", [["99"], ["99", "--external"], [str(2**63)], [str(2**70), "--external"]])
def test_a_missing_user_is_an_error(run: Run, database: str, words: list[str]) -> None:
    assert_refused(run("users", "show", *words), 1, "there is no user", "celeryctl users list")


def test_an_offset_beyond_everything_lists_nobody(run: Run, seeded: str) -> None:
    assert_refused(run("users", "list", "--offset", str(2**63)), 2, "--offset")
    said = run("users", "list", "--offset", str(2**63 - 1), "--json")
    assert (said.code, json.loads(said.out)["users"]) == (0, [])


def test_seeding_is_repeatable_and_another_seed_gives_others(run: Run, seeded: str) -> None:
    again = json.loads(run("seed", "3", "--json").out)["runs"]
    assert [one["dataset"] for one in again] == ["users", "addresses", "credit_cards"]
    assert (again[0]["created"], again[0]["updated"], again[0]["unchanged"]) == (0, 0, 3)
    run("seed", "12")
    before = json.loads(run("users", "list", "--json").out)["users"]
    other = json.loads(run("seed", "12", "--seed", "5", "--json").out)["runs"][0]
    assert other["created"] == 0
    after = json.loads(run("users", "list", "--json").out)["users"]
    assert [one["id"] for one in after] == [one["id"] for one in before]
    assert all(new["name"] != old["name"] for new, old in zip(after[10:], before[10:], strict=True))


def test_init_db_creates_the_database_and_check_tells_when_it_is_behind(
    run: Run, empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setenv("DATABASE_URL", empty_database)
    monkeypatch.setenv("CARD_ENCRYPTION_KEYS", KEY)
    missing = run("init-db", "--check")
    assert (missing.code, missing.out) == (1, "to be done: create the database\n")
    done = run("init-db")
    assert (done.code, done.out.splitlines()[0]) == (0, "done: database created")
    again = run("init-db")
    assert (again.code, again.out, again.err) == (0, "", "The tables are up to date.\n")
    assert run("init-db", "--check").code == 0
    assert json.loads(run("init-db", "--check", "--json").out) == {"schema": 1, "pending": [], "newer": []}
    with psycopg2.connect(empty_database) as connection, connection.cursor() as cursor:
        cursor.execute("DROP SCHEMA public CASCADE")
        cursor.execute("CREATE SCHEMA public")
    connection.close()
    behind = run("init-db", "--check")
    assert (behind.code, behind.out[:12]) == (1, "to be done: ")


def test_a_new_data_set_is_written_checked_and_listed(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    said = run("dataset", "new", "loyalty")
    path = Path(said.out.strip())
    assert (said.code, path) == (0, Path("datasets/loyalty.py"))
    before = path.read_text()
    assert_refused(run("dataset", "new", "loyalty"), 2, "there already")
    assert path.read_text() == before
    monkeypatch.setenv("CELERYCTL_DATASETS", str(tmp_path / "datasets"))
    listed = json.loads(run("dataset", "list", "--json").out)["datasets"]
    assert [one["name"] for one in listed] == ["users", "addresses", "credit_cards", "loyalty"]
    assert "loyalty" in run("dataset", "list").out
    assert run("dataset", "check", str(path)).code == 0
    checked = json.loads(run("dataset", "check", str(path), "--json").out)["checked"]
    assert [line.split(":")[0] for line in checked] == ["users", "addresses", "credit_cards", "loyalty"]


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--host", "192.0.2.1"], 69, "192.0.2.1"),
        (["--rate-limit", "often"], 2, "often"),
        (["--rate-limit", "0/s"], 2, "0/s"),
    ],
    ids=["a host that is not ours", "no rate", "a rate of nothing"],
)  # fmt: skip
def test_the_api_says_why_it_cannot_serve(run: Run, words: list[str], code: int, told: str) -> None:
    assert_refused(run("api", "--port", "0", *words), code, told)


def test_the_api_does_not_take_a_port_that_is_in_use(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert_refused(run("api", "--port", port), 69, port)
