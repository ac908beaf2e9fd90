"""What every command begins with: settings, data sets, the keys for card numbers."""

from collections.abc import Callable
from pathlib import Path

import pytest
from servers import KEY

from celeryctl.errors import DatabaseUnreachableError, DatasetError, SettingsError
from celeryctl.pipeline.context import Context

pytestmark = pytest.mark.unit

OTHER = "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXoxMjM0NTY="
DATABASE = "postgresql://127.0.0.1:1/nowhere"
Read = Callable[..., Context]


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Read:
    def make(**variables: str) -> Context:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)
        return Context.read()

    return make


def test_settings_of_every_data_set_are_read(read: Read) -> None:
    context = read(ADDRESSES_URL="http://h/a", FETCH_USERS_INTERVAL="7")
    assert set(context.settings.sources) == set(context.datasets) == {"users", "addresses", "credit_cards"}
    assert context.settings.sources["addresses"].url == "http://h/a"
    assert context.settings.sources["users"].every.total_seconds() == 7


def test_folders_with_data_sets_are_sought_from_the_homes_project(
    read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from celeryctl.datasets.scaffold import write

    write("loyalty", tmp_path / "sets")
    (tmp_path / "below").mkdir()
    monkeypatch.setenv("CELERYCTL_DATASETS", " sets , ")
    monkeypatch.chdir(tmp_path / "below")
    assert "loyalty" in Context.read().datasets


def test_data_sets_that_do_not_load_are_an_error(read: Read) -> None:
    with pytest.raises(DatasetError, match="nowhere_at_all"):
        read(CELERYCTL_DATASETS="nowhere_at_all")


def test_without_a_database_nothing_is_connected(read: Read) -> None:
    with pytest.raises(DatabaseUnreachableError, match="there is no database"):
        read().connect()


def test_keys_of_the_settings_come_first(read: Read) -> None:
    sealed = read(CARD_ENCRYPTION_KEYS=f"{KEY},{OTHER}").keyring().seal("x", "place")
    assert read(CARD_ENCRYPTION_KEYS=KEY).keyring().open(sealed, "place") == "x"


def test_a_database_of_ones_own_needs_a_key_of_ones_own(read: Read, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="CARD_ENCRYPTION_KEYS is not set"):
        read(DATABASE_URL=DATABASE).pipeline()
    assert not (tmp_path / ".celeryctl").exists()
    assert repr(read(DATABASE_URL=DATABASE).keyring()) == "Keyring(empty)"
    assert read(DATABASE_URL=DATABASE, CARD_ENCRYPTION_KEYS=KEY).keyring(create=True)


def test_a_wrong_key_is_refused_without_showing_it(read: Read) -> None:
    with pytest.raises(SettingsError) as caught:
        read(CARD_ENCRYPTION_KEYS="c2hvcnQ=")
    assert "CARD_ENCRYPTION_KEYS" in caught.value.what
    assert "c2hvcnQ=" not in str(caught.value)


@pytest.mark.parametrize("only", ["DATABASE_URL", "REDIS_URL"])
def test_half_a_cluster_is_refused(read: Read, only: str) -> None:
    urls = {"DATABASE_URL": DATABASE, "REDIS_URL": "redis://127.0.0.1:1"}
    context = read(**{only: urls[only]})
    with pytest.raises(SettingsError) as caught:
        context.settings.require_both("worker")
    assert f"only {only} is set" in caught.value.why
    read(**urls).settings.require_both("worker")


def test_another_database_may_be_put_in(read: Read) -> None:
    context = read()
    assert str(context.at(DATABASE).settings.database_url) == DATABASE
    assert context.settings.database_url is None
