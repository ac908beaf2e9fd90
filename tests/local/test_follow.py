import signal
import uuid
from datetime import datetime
from typing import Any

import pytest
from servers import KEY

from celeryctl.errors import CeleryctlError, UnreachableError
from celeryctl.local import seed
from celeryctl.local.follow import Follower
from celeryctl.local.interrupt import AskedToEndError, Interrupt
from celeryctl.pipeline.context import Context
from celeryctl.storage import database as db
from celeryctl.storage.ledger import Run

pytestmark = pytest.mark.integration

AWAY = "postgresql://me@127.0.0.1:1/none"


class Notes:
    """A teller that writes down what it is told."""

    def __init__(self) -> None:
        self.ended: list[tuple[str, bool]] = []
        self.gone: list[bool] = []
        self.seen: list[object] = []

    def finished(self, run: Run, due: datetime | None) -> None:
        self.ended.append((run.dataset, due is not None))

    def progress(self, run: Run) -> None:
        self.seen.append(run.id)

    def away(self, error: UnreachableError | None) -> None:
        self.gone.append(error is not None)

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} is not told of here")


@pytest.fixture
def context(database_url: str) -> Context:
    found = Context.read({"DATABASE_URL": database_url, "CARD_ENCRYPTION_KEYS": KEY})
    found.connect()
    return found


def follower(context: Context, notes: Notes, interrupt: Interrupt | None = None, check: Any = lambda: None) -> Follower:
    return Follower(context, notes, interrupt or Interrupt(), check=check)


def sow(context: Context) -> list[Run]:
    return seed.sow(context, count=2, seed=0, progress=lambda run: None)


def test_every_run_that_ends_is_told_of_once_and_earlier_ones_are_not(context: Context) -> None:
    sow(context)
    notes = Notes()
    following = follower(context, notes)
    following.tell()
    assert notes.ended == []
    ended = sow(context)
    following.tell()
    following.tell()
    assert sorted(notes.ended) == [("addresses", True), ("credit_cards", True), ("users", True)]
    found = following.run(ended[0].id)
    assert found is not None
    assert found.status == "succeeded"


def test_a_database_that_goes_and_comes_back_is_told_of_once_each(context: Context, database_url: str) -> None:
    notes = Notes()
    following = follower(context, notes)
    following.tell()
    db.configure(AWAY)
    for _ in range(2):
        following.tell()
        assert following.run(uuid.uuid4()) is None
    assert notes.gone == [True]
    db.configure(database_url)
    sow(context)
    for _ in range(2):
        following.tell()
    assert notes.gone == [True, False]
    assert len(notes.ended) == 3


def test_a_child_that_has_ended_ends_the_waiting(context: Context) -> None:
    def check() -> None:
        raise CeleryctlError("beat has ended")

    with pytest.raises(CeleryctlError, match="beat has ended"):
        follower(context, Notes(), check=check).until(lambda: False)


def test_a_signal_ends_the_waiting(context: Context) -> None:
    with Interrupt() as interrupt, pytest.raises(AskedToEndError):
        follower(context, Notes(), interrupt).until(lambda: bool(signal.raise_signal(signal.SIGTERM)))
