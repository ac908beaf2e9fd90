"""Holding a batch while its work goes on."""

from collections.abc import Callable

import pytest
from waiting import eventually

from celeryctl.pipeline.engine import Pipeline
from celeryctl.pipeline.lease import Lease, LostError
from celeryctl.storage import batches, runs
from celeryctl.storage.database import session
from celeryctl.storage.ledger import Batch

from .kit import add_users

pytestmark = pytest.mark.integration


@pytest.fixture
def claim(make: Callable[..., Pipeline], monkeypatch: pytest.MonkeyPatch) -> batches.Claim:
    monkeypatch.setattr(batches, "LEASE", 0.15)
    add_users(1)
    opened = make().open(runs.Order(dataset="addresses", trigger="test"))
    found = batches.claim(opened.batches[0])
    assert found is not None
    return found


def due() -> object:
    with session():
        return Batch.get().due


def lost(lease: Lease) -> bool:
    try:
        lease.check()
    except LostError:
        return True
    return False


def test_a_lease_is_renewed_until_the_work_is_done(claim: batches.Claim) -> None:
    before = due()
    with Lease(claim) as lease:
        assert eventually(lambda: due() > before)
        lease.check()
    after = due()
    assert not lease._thread.is_alive()
    assert due() == after


def test_a_batch_that_somebody_else_holds_is_lost(claim: batches.Claim) -> None:
    with Lease(claim) as lease:
        with session():
            Batch.update(token=Batch.token + 1).execute()
        assert eventually(lambda: lost(lease))


def test_a_batch_that_is_gone_is_lost(claim: batches.Claim) -> None:
    with Lease(claim) as lease:
        with session():
            Batch.delete().execute()
        assert eventually(lambda: lost(lease))
