from pathlib import Path

import pytest
from servers import KEY

from celeryctl.errors import DatabaseUnreachableError, SchemaError
from celeryctl.local import access
from celeryctl.local.access import LOCAL
from celeryctl.local.postgres import Postgres
from celeryctl.local.postmaster import Postmaster
from celeryctl.pipeline.context import Context
from celeryctl.services import UserService
from celeryctl.storage import schema
from celeryctl.storage.database import close

from .embedded import ask

pytestmark = pytest.mark.integration


def at(home: Path) -> Context:
    return Context.read({"CELERYCTL_HOME": str(home)})


def named(url: str) -> Context:
    return Context.read({"DATABASE_URL": url, "CARD_ENCRYPTION_KEYS": KEY})


def test_reading_creates_nothing(tmp_path: Path) -> None:
    home = tmp_path / "none" / ".celeryctl"
    with pytest.raises(DatabaseUnreachableError, match="no database here yet"), access.to_read(at(home)):
        pass
    assert access.check(at(home)) == (["create the database"], [])
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_writing_creates_and_migrates_and_stops_it_again(server_home: Path) -> None:
    with access.to_write(at(server_home)) as here:
        assert ask(str(here.settings.database_url), "SELECT count(*) FROM users") == "0"
    assert not Postmaster(server_home).alive
    with access.to_read(at(server_home)):
        assert UserService.get_all_users() == []
    assert access.check(at(server_home)) == ([], [])
    assert access.initialize(at(server_home)) == []
    assert not Postmaster(server_home).alive


def test_a_command_that_fails_leaves_no_server(home: Path) -> None:
    with pytest.raises(ZeroDivisionError), access.to_write(at(home)):
        raise ZeroDivisionError
    assert not Postmaster(home).alive


@pytest.mark.slow
def test_where_only_local_sources_have_run_their_data_are_read(server_home: Path) -> None:
    server = Postgres(server_home)
    url = server.ensure().rpartition("/")[0] + f"/{LOCAL}"
    with pytest.raises(SchemaError, match="no tables here yet"), access.to_read(at(server_home)):
        pass
    server.ensure()
    url = server.url(LOCAL)
    schema.create_database(url)
    at(server_home).at(url).connect()
    schema.migrate([])
    close()
    with access.to_read(at(server_home)) as here:
        assert str(here.settings.database_url).endswith(f"/{LOCAL}")
        assert UserService.get_all_users() == []
    with access.to_write(at(server_home)) as here:
        assert str(here.settings.database_url).endswith("/celeryctl")
    with access.to_read(at(server_home)) as here:
        assert str(here.settings.database_url).endswith("/celeryctl")


def test_a_database_of_ones_own_is_not_migrated_by_the_way(empty_database: str) -> None:
    schema.create_database(empty_database)
    with pytest.raises(SchemaError), access.to_write(named(empty_database)):
        pass
    assert access.check(named(empty_database))[0]
    assert access.initialize(named(empty_database))
    assert access.check(named(empty_database)) == ([], [])
    with access.to_write(named(empty_database)) as here:
        assert str(here.settings.database_url) == empty_database


def test_a_database_that_is_missing_is_made_by_init_alone(empty_database: str) -> None:
    with pytest.raises(DatabaseUnreachableError), access.to_write(named(empty_database)):
        pass
    assert access.initialize(named(empty_database))[0] == "database created"
