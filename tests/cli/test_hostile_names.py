"""Names of tables and columns and values that would be SQL, were any of it put together from text."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from faultserver import FaultServer, Reply
from servers import KEY

from celeryctl.local import generate
from celeryctl.storage.cipher import Keyring
from celeryctl.storage.database import database, session

from .commandline import Run, assert_refused

pytestmark = pytest.mark.integration

OTHER_KEY = "T3RoZXJPdGhlck90aGVyT3RoZXJPdGhlck90aGVyMDE="
EVIL = "a\"; drop table users -- 'é{0}"
VAULT = "v$1 \\ {ault"
LOOT = "l{least}\"oot'; --"
DECLARED = """
from datetime import timedelta
import msgspec, peewee
from celeryctl import Dataset, Row, Source, User
from celeryctl.storage.row import EncryptedField, Record

class Evil({base}):
    {key}
    plain = peewee.TextField(column_name="c\\"o{{l}}; --")
    sealed = EncryptedField(column_name="s'e {{1}} \\\\ é", null=True)

    class Meta:
        table_name = {table!r}
        indexes = {indexes}

class Received(msgspec.Struct):
    id: int
    text: str

DATASET = Dataset(name={name!r}, help="Evil.", model=Evil, record=Received, every=timedelta(hours=1), {source},
    to_row=lambda one: dict(plain=one.text, sealed=one.text, {more}))
"""
PER_USER = DECLARED.format(
    base="Row", key="user = peewee.ForeignKeyField(User, backref='+', unique=True, on_delete='CASCADE')",
    table=EVIL, name="evil", source="per='users', source=Source.draw('{url}/evil', size='size', most=100)", more="",
    indexes=(),
)  # fmt: skip
LISTING = DECLARED.format(
    base="Record", key='''number = peewee.BigIntegerField(unique=True, column_name='n"{least}; --')''',
    table=LOOT, name="loot", source="key=('number',), source=Source.listing('{url}/loot', page='_page', size='_limit')",
    more="number=one.id", indexes=(),
)  # fmt: skip
SEVERAL = DECLARED.format(
    base="Row", key="user = peewee.ForeignKeyField(User, backref='+', on_delete='CASCADE')", table=VAULT, name="vault",
    source="key=('user', 'plain'), per='users', source=Source.draw('{url}/evil', size='size', most=100)", more="",
    indexes="((('user', 'plain'), True),)",
)  # fmt: skip
WELL = ("tables", "counters", "card numbers")
REFUSED = "\0'; DROP TABLE users"
NAMES = ("evil", "loot", "vault")
TEXTS = [
    "'; DROP TABLE users; --", '"; DROP TABLE users; --', "%s %(name)s %", "{} {0} {table}", "\\.", "\\N", "\\",
    "a\tb", "a\nb\r\n\\.\n", "$$; DROP TABLE users; $$", "\b\f\v\x01", "日本 🎉 e\u0301 \u2028",
]  # fmt: skip


@pytest.fixture
def evil(empty_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultServer]:
    """Three such data sets, of which two hang on users; their source gives every text in turn."""
    with FaultServer() as server:
        texts = [{"id": number, "text": text} for number, text in enumerate([*TEXTS, REFUSED], 1)]
        users = [generate.user(number, 0) for number in range(1, len(texts) + 1)]
        monkeypatch.setenv("USERS_URL", server.answer("/users", lambda asked: Reply.json(
            users if asked.query.get("_page", "1") == "1" else [])))  # fmt: skip
        url = server.answer("/evil", lambda asked: Reply.json(texts)).removesuffix("/evil")
        server.answer("/loot", lambda asked: Reply.json(texts if asked.query.get("_page", "1") == "1" else []))
        folder = tmp_path / "sets"
        folder.mkdir()
        for name, text in (("evil", PER_USER), ("loot", LISTING), ("vault", SEVERAL)):
            (folder / f"{name}.py").write_text(text.replace("{url}", url))
        for name, value in (("DATABASE_URL", empty_database), ("CARD_ENCRYPTION_KEYS", KEY),
                            ("CELERYCTL_DATASETS", str(folder)), ("ALLOW_PRIVATE_SOURCES", "1")):  # fmt: skip
            monkeypatch.setenv(name, value)
        yield server


def stored(table: str) -> list[tuple[str, str, int]]:
    """Text, sealed text and key of every row."""
    with session():
        text, sealed, key = '"c""o{l}; --"', '"s\'e {1} \\ é"', '"n""{least}; --"' if table == LOOT else "user_id"
        name = table.replace('"', '""')
        return list(database.execute_sql(f'SELECT {text}, {sealed}, {key} FROM "{name}" ORDER BY id').fetchall())


def assert_all_there(ring: Keyring) -> None:
    for table in (EVIL, LOOT, VAULT):
        rows = [(plain, sealed, (key, plain) if table == VAULT else (key,)) for plain, sealed, key in stored(table)]
        assert [plain for plain, *_ in rows] == TEXTS
        assert [ring.open(sealed, "|".join(map(str, (table, *key)))) for _, sealed, key in rows] == TEXTS


def test_names_and_values_are_never_taken_for_sql(run: Run, evil: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run("init-db")
    assert done.code == 0, done.err
    assert run("fetch", "users", "--sync").code == 0
    for _ in range(2):
        for name in NAMES:
            assert run("fetch", name, "--sync", "--refresh").code == 3  # one was refused
        assert_all_there(Keyring([KEY]))
    assert run("fetch", "loot", "--sync").code == 3
    stats = json.loads(run("stats", "--json").out)
    assert {one["rows"] for one in stats["datasets"] if one["name"] in NAMES} == {len(TEXTS)}
    shown = json.loads(run("users", "show", "3", "--reveal", "--yes", "--json").out)
    for name in ("evil", "vault"):
        assert [(one["plain"], one["sealed"]) for one in shown[name]] == [(TEXTS[2], TEXTS[2])]
    monkeypatch.setenv("CARD_ENCRYPTION_KEYS", f"{OTHER_KEY},{KEY}")
    assert run("keys", "rotate").code == 0
    assert_all_there(Keyring([OTHER_KEY]))
    assert [run(*words).code for words in (("why", "3"), ("init-db", "--check"))] == [0, 0]
    checks = json.loads(run("doctor", "--json").out)["checks"]
    assert {one["name"]: one["state"] for one in checks if one["name"] in WELL} == dict.fromkeys(WELL, "ok")


def test_what_the_driver_would_take_for_a_parameter_is_refused(run: Run, evil: FaultServer, tmp_path: Path) -> None:
    with (tmp_path / "sets" / "loot.py").open("a") as file:
        file.write("\nfrom dataclasses import replace\nEvil._meta.table_name = '%s'\nDATASET = replace(DATASET)\n")
    assert_refused(run("init-db"), 2, "a data set does not load", "hold no %")
