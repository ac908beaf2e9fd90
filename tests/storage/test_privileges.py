"""Nobody but their owner changes the audit and the history of migrations, however `init-db` ends."""

import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
from cli.rolekit import Roles, ask, roles
from conftest import named
from psycopg2 import sql

from celeryctl.errors import CeleryctlError
from celeryctl.storage import database as db
from celeryctl.storage import privileges, schema
from celeryctl.storage.row import Row

pytestmark = pytest.mark.integration

FORGING = ["DELETE FROM reveals", "UPDATE reveals SET who = 'nobody'", "TRUNCATE reveals",
           "INSERT INTO reveals (user_id, who, host, role) VALUES (1, 'x', 'x', 'another')",
           "CREATE TRIGGER t AFTER INSERT ON reveals FOR EACH ROW EXECUTE FUNCTION tell_run()",
           "DELETE FROM celeryctl_migrations", "UPDATE celeryctl_migrations SET name = 'x'"]  # fmt: skip
ADDING = "INSERT INTO reveals (user_id, who, host) VALUES (1, 'x', 'x')"
DECLARATION = """
import peewee
from celeryctl import Row

class Medals(Row):
    tier = peewee.TextField()
"""
RAISES = """
def up(migrator, db):
    raise ValueError("a mistake of its author's")
"""


@pytest.fixture
def made(postgres_server: str) -> Iterator[Roles]:
    """An empty database with its roles; the models live there as its owner sees them."""
    with roles(postgres_server, named(postgres_server, f"test_{uuid.uuid4().hex[:12]}")) as found:
        found.apply()
        for login in ("migrate", "work", "stranger"):
            found.login(login)
        db.configure(found.url("migrate"))
        yield found


@pytest.fixture
def medals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Row]]:
    """A data set whose author ships a migration that raises."""
    (tmp_path / "medals_declared.py").write_text(DECLARATION)
    (tmp_path / "medals_migrations").mkdir()
    (tmp_path / "medals_migrations" / "0001_mistake.py").write_text(RAISES)
    monkeypatch.syspath_prepend(str(tmp_path))
    import medals_declared

    yield medals_declared.Medals
    del sys.modules["medals_declared"]


def assert_it_only_adds(made: Roles, login: str) -> None:
    for statement in FORGING:
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            ask(made.url(login), statement)
    ask(made.url(login), ADDING)
    assert privileges.excess() == []


def interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Migrate, and be gone before anything is narrowed, as after a kill."""
    with monkeypatch.context() as patch:
        patch.setattr(privileges, "narrow", lambda: None)
        schema.migrate([])
    assert [(one.table, one.role == "PUBLIC") for one in privileges.excess()] == [
        ("celeryctl_migrations", False), ("reveals", False)]  # fmt: skip


def test_the_next_init_db_narrows_what_an_interrupted_one_left(made: Roles, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt(monkeypatch)
    assert schema.migrate([]) == []
    assert_it_only_adds(made, "work")


def test_the_script_narrows_what_an_interrupted_init_db_left(made: Roles, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt(monkeypatch)
    made.apply()
    assert_it_only_adds(made, "work")


def test_a_data_sets_migration_that_raises_leaves_nothing_open(made: Roles, medals: type[Row]) -> None:
    # The table is there already, else its migrations count as made.
    ask(made.url("migrate"), "CREATE TABLE medals (id bigint, tier text)")
    schema.migrate([])
    ask(made.administrator, f"GRANT ALL ON reveals TO {made.prefix}_writer")
    with pytest.raises((CeleryctlError, ValueError), match="mistake"):
        schema.migrate([medals])
    assert ask(made.administrator, "SELECT count(*) FROM celeryctl_migrations_medals") == [(0,)]
    assert_it_only_adds(made, "work")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        ask(made.url("work"), "INSERT INTO celeryctl_migrations_medals (name) VALUES ('0001_mistake')")


def test_our_own_tables_are_narrowed_before_a_data_sets_migrations_begin(
    made: Roles, medals: type[Row], tmp_path: Path
) -> None:
    ask(made.url("migrate"), "CREATE TABLE medals (id bigint, tier text)")
    look = "SELECT has_table_privilege(%s, 'reveals', 'DELETE')"
    mistake = f"""
def up(migrator, db):
    held = db.execute_sql({look!r}, ({made.prefix + "_writer"!r},)).fetchone()[0]
    assert not held, "open"
"""
    (tmp_path / "medals_migrations" / "0001_mistake.py").write_text(mistake)
    schema.migrate([medals])


def test_what_everybody_was_granted_is_narrowed_too(made: Roles) -> None:
    schema.migrate([])
    ask(made.administrator, f"GRANT {made.prefix}_reader TO {made.prefix}_stranger; "
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC")  # fmt: skip
    schema.migrate([])
    assert_it_only_adds(made, "stranger")


def test_who_may_add_to_certain_columns_still_may(made: Roles) -> None:
    schema.migrate([])
    ask(made.administrator, f"GRANT {made.prefix}_reader TO {made.prefix}_stranger; "
        f"GRANT UPDATE, DELETE ON reveals TO {made.prefix}_stranger; "
        f"GRANT INSERT (user_id, who, host) ON reveals TO {made.prefix}_stranger")  # fmt: skip
    schema.migrate([])
    assert_it_only_adds(made, "stranger")


def test_rights_on_columns_and_those_that_were_passed_on_are_narrowed_too(made: Roles) -> None:
    schema.migrate([])
    ask(made.administrator, f"GRANT INSERT (role), UPDATE (who) ON reveals TO {made.prefix}_work; "
        f"GRANT DELETE ON reveals TO {made.prefix}_work WITH GRANT OPTION")  # fmt: skip
    ask(made.url("work"), f"GRANT DELETE ON reveals TO {made.prefix}_stranger")
    assert [one.rights for one in privileges.excess()] == [["DELETE"], ["DELETE", "INSERT", "UPDATE"]]
    schema.migrate([])
    assert_it_only_adds(made, "work")


def test_who_may_not_take_it_away_is_not_stopped_by_it(made: Roles) -> None:
    schema.migrate([])
    database = psycopg2.extensions.parse_dsn(made.administrator)["dbname"]
    ask(made.administrator, f"GRANT DELETE ON reveals TO {made.prefix}_work; "
        f"GRANT CONNECT ON DATABASE {database} TO {made.prefix}_stranger; "
        f"GRANT USAGE ON SCHEMA public TO {made.prefix}_stranger; "
        f"GRANT SELECT ON celeryctl_migrations TO {made.prefix}_stranger")  # fmt: skip
    db.configure(made.url("stranger"))
    assert schema.migrate([]) == []
    assert [one.rights for one in privileges.excess()] == [["DELETE"]]


def test_a_role_may_have_any_name(made: Roles) -> None:
    schema.migrate([])
    odd = sql.Identifier(f"{made.prefix} O'dd $$ \\x %s \"")
    ask(made.administrator, sql.SQL("CREATE ROLE {0}; GRANT ALL ON reveals TO {0}").format(odd))
    schema.migrate([])
    assert privileges.excess() == []


def test_a_table_of_another_application_keeps_its_rights(made: Roles) -> None:
    ask(made.administrator, "CREATE TABLE reveals (x int); GRANT ALL ON reveals TO PUBLIC; CREATE TABLE users (x int)")
    db.configure(made.administrator)
    with pytest.raises(CeleryctlError, match="not celeryctl's"):
        schema.migrate([])
    assert ask(made.administrator, "SELECT has_table_privilege('public', 'reveals', 'DELETE')") == [(True,)]
