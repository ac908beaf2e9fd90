"""Whatever happens to messages and workers, the ledger converges: one row a user, runs closed, counters exact."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from celeryctl.datasets.addresses import Address
from celeryctl.errors import SourceUnreachableError
from celeryctl.storage import batches, plan, reconciliation, runs, totals
from celeryctl.storage.cipher import Keyring
from celeryctl.storage.database import database, session
from celeryctl.storage.ledger import Batch, Run
from celeryctl.storage.outcomes import Outcome
from celeryctl.storage.rows import Rows
from celeryctl.storage.user import User
from celeryctl.storage.work import Work

pytestmark = pytest.mark.integration

PLACE = dict.fromkeys(("street_number", "street_name", "city", "state", "country", "postal_code"), "x")
WORKS = {
    "users": Work(name="users", model=User, listing=True, page_size=3, batch_size=3),
    "addresses": Work(
        name="addresses", model=Address, listing=False, page_size=2, batch_size=4, max_age=timedelta(days=1)
    ),
}
RING = Keyring([])
ASKED: dict[str, Any] = {"requests": 1, "timings": [("ok", 0.02)]}
picks = st.integers(min_value=0, max_value=1000)


class Cluster(RuleBasedStateMachine):
    """Messages on their way, workers that hold batches, and a source that has ever more users."""

    def __init__(self) -> None:
        super().__init__()
        self.source, self.version = 5, 0
        self.messages: list[int] = []
        self.held: list[batches.Claim] = []
        with session():
            database.execute_sql("TRUNCATE users, runs, misses, totals RESTART IDENTITY CASCADE")

    def open(self, name: str, **more: object) -> None:
        opened = runs.open_run(runs.Order(dataset=name, trigger="test", **more), WORKS)
        self.messages += opened.batches if opened else []

    def take(self, batch_id: int) -> None:
        if claim := batches.claim(batch_id):
            self.held.append(claim)

    def outcome(self, claim: batches.Claim) -> Outcome:
        if claim.run.dataset == "users":
            first, last = (claim.lo - 1) * 3 + 1, min(claim.hi * 3, self.source)
            same = {"name": f"version {self.version}", "username": "u", "email": "e"}
            rows = [{"external_id": number, **same} for number in range(first, last + 1)]
            return Outcome(Rows(User, ("external_id",), rows), bound=-(-self.source // 3), **ASKED)
        with session():
            users = plan.wanting(claim.run, WORKS["addresses"], claim.lo, claim.hi)
        rows = [{"user": user_id, **PLACE} for user_id, _ in users]
        return Outcome(Rows(Address, ("user",), rows), **ASKED)

    def finish(self, claim: batches.Claim) -> list[int]:
        return batches.finish(claim, self.outcome(claim), WORKS, RING) or []

    @initialize()
    def begin(self) -> None:
        self.open("users", followers=("addresses",))

    @rule(kind=st.sampled_from(["users", "addresses", "all", "refresh"]), more=st.integers(min_value=0, max_value=7))
    def tick(self, kind: str, more: int) -> None:
        self.source, self.version = min(self.source + more, 40), self.version + 1
        if kind == "all":
            self.open("users", followers=("addresses",))
        else:
            self.open("addresses" if kind == "refresh" else kind, refresh=kind == "refresh")

    @rule(fate=st.sampled_from(["arrives", "arrives", "arrives and comes again", "is lost"]), pick=picks)
    def message(self, fate: str, pick: int) -> None:
        if not self.messages:
            self.time_passes(10, reconcile=True)
        if self.messages:
            batch_id = self.messages.pop(pick % len(self.messages))
            if fate != "is lost":
                self.take(batch_id)
            if fate == "arrives and comes again":
                self.messages.append(batch_id)

    @rule(
        fate=st.sampled_from(
            ["finishes", "finishes", "finishes twice", "dies before", "dies after", "freezes", "splits", "source fails"]
        ),
        pick=picks,
    )
    def worker(self, fate: str, pick: int) -> None:
        if not self.held:
            self.message("arrives", pick)
        if not self.held:
            return
        claim = self.held.pop(pick % len(self.held))
        if fate in ("finishes", "finishes twice"):
            self.messages += self.finish(claim)
        if fate == "finishes twice":
            assert batches.finish(claim, self.outcome(claim), WORKS, RING) is None
        if fate == "dies after":
            self.finish(claim)
        if fate == "freezes":
            self.thaw(claim)
        if (
            fate == "splits"
            and claim.hi > claim.lo
            and (claim.run.dataset == "addresses" or claim.run.bound is not None)
        ):
            self.messages += batches.split(claim)
        if fate == "source fails":
            self.messages += batches.fail(claim, WORKS, Outcome(**ASKED), SourceUnreachableError("down"))

    def thaw(self, frozen: batches.Claim) -> None:
        """While a worker is frozen its lease ends and another takes the batch; when it thaws it is too late."""
        self.time_passes(10, reconcile=True)
        other = batches.claim(frozen.id)
        if other is not None:
            assert not batches.renew(frozen)
            assert batches.finish(frozen, self.outcome(frozen), WORKS, RING) is None
            self.held.append(other)

    @rule(seconds=st.sampled_from([1, 4, 10]), reconcile=st.booleans())
    def time_passes(self, seconds: int, reconcile: bool) -> None:
        with session():
            database.execute_sql("UPDATE batches SET due = due - %s * interval '1 second'", (seconds,))
        if reconcile:
            reconciliation.reconcile(self.messages.append, lambda: len(self.messages))

    @rule(pick=picks)
    def cancel(self, pick: int) -> None:
        with session():
            run = Run.select().where(Run.status == "running").first()
        if run and pick % 5 == 0:
            runs.cancel(run.id)

    @invariant()
    def running_means_an_open_batch(self) -> None:
        with session():
            open_runs = {batch.run_id for batch in Batch.select()}
            for run in Run.select():
                assert (run.status == "running") == (run.id in open_runs) or run.status == "cancelled"

    @invariant()
    def counters_are_exact(self) -> None:
        with session():
            for name, work in WORKS.items():
                created = sum(run.created for run in Run.select().where(Run.dataset == name))
                assert created == work.model.select().count()

    @invariant()
    def totals_are_those_of_all_runs(self) -> None:
        with session():
            found = totals.read()
            for name in WORKS:
                ours, known = list(Run.select().where(Run.dataset == name)), found.get(name, totals.Totals())
                counted = {outcome: sum(getattr(run, outcome) for run in ours) for outcome in totals.ROWS}
                assert known.counts("rows", totals.ROWS) == counted
                asked = sum(run.requests for run in ours)
                assert known.counts("requests", totals.REQUESTS) == {**dict.fromkeys(totals.REQUESTS, 0), "ok": asked}
                assert known.buckets("request_seconds", totals.REQUEST_SECONDS)[-1] == ("+Inf", asked)
                ended = sum(run.status not in ("running", "cancelled") for run in ours)
                assert known.buckets("run_seconds", totals.RUN_SECONDS)[-1] == ("+Inf", ended)

    def teardown(self) -> None:
        self.held.clear()
        for _ in range(3):
            self.open("users", followers=("addresses",))
            for _ in range(200):
                with session():
                    if not Run.select().where(Run.status == "running").exists():
                        break
                self.messages.clear()
                self.time_passes(10, reconcile=True)
                for batch_id in self.messages.copy():
                    self.take(batch_id)
                while self.held:
                    self.messages += self.finish(self.held.pop())
        with session():
            assert not Run.select().where(Run.status == "running").exists()
            assert not Batch.select().exists()
            assert User.select().where(User.name == f"version {self.version}").count() == self.source
            assert User.select().count() == self.source
            assert Address.select().count() == self.source
            assert Address.select(Address.user).distinct().count() == self.source


def explore(examples: int, steps: int) -> None:
    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much]
    run_state_machine_as_test(
        Cluster,
        settings=settings(max_examples=examples, stateful_step_count=steps, suppress_health_check=checks),
    )


def test_the_ledger_converges(database_url: str) -> None:
    explore(examples=6, steps=20)
    with session():
        assert not Batch.select().exists()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_ledger_converges_over_long_histories(database_url: str) -> None:
    explore(examples=80, steps=50)
    with session():
        assert not Batch.select().exists()
