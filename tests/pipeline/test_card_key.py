"""The home's own key: made once, and never a second one beside numbers that only the first can read."""

from pathlib import Path

import pytest

from celeryctl.errors import SettingsError
from celeryctl.local import seed
from celeryctl.pipeline.context import Context

pytestmark = pytest.mark.integration


@pytest.fixture
def context(database_url: str) -> Context:
    """A context whose database nobody has named, as the embedded one."""
    found = Context.read().at(database_url)
    found.connect()
    return found


def test_it_is_made_once_and_only_to_write(context: Context, tmp_path: Path) -> None:
    assert repr(context.keyring()) == "Keyring(empty)"
    assert not (tmp_path / ".celeryctl").exists()
    sealed = context.keyring(create=True).seal("x", "place")
    assert context.keyring(create=True).open(sealed, "place") == "x"
    assert context.keyring().open(sealed, "place") == "x"
    assert (tmp_path / ".celeryctl" / "card.key").stat().st_mode & 0o777 == 0o600


def test_one_that_is_gone_is_not_replaced_while_its_numbers_are_there(context: Context, tmp_path: Path) -> None:
    key = tmp_path / ".celeryctl" / "card.key"
    context.keyring(create=True)
    key.unlink()
    context.keyring(create=True)  # nothing was encrypted with it
    seed.sow(context, count=1, seed=0, progress=lambda run: None)
    key.unlink()
    with pytest.raises(SettingsError, match="the card key of this home is gone") as caught:
        context.keyring(create=True)
    assert "DELETE FROM credit_cards" in caught.value.fix
    assert "down" not in caught.value.fix  # it would delete what was just restored
    assert not key.exists()
