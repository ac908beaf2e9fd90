"""The pipeline: opens runs and works through their batches, the same in a worker, under --sync and in a test."""

import logging
import os
import socket
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from functools import cached_property, partial
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Protocol

from celeryctl import http
from celeryctl.dataset import Dataset, Datasets
from celeryctl.errors import AnswerError, CeleryctlError, RefusedError, SourceUnreachableError, UnreachableError
from celeryctl.pipeline import journal
from celeryctl.pipeline.code import code_of
from celeryctl.pipeline.fetch import assign, chunks, fetch_users
from celeryctl.pipeline.lanes import Lanes
from celeryctl.pipeline.lease import Lease, LostError
from celeryctl.pipeline.page import Get
from celeryctl.pipeline.paging import Map, fetch_listing
from celeryctl.pipeline.works import work_of
from celeryctl.storage import batches, plan, readings, runs, sources
from celeryctl.storage.cipher import Keyring
from celeryctl.storage.database import session
from celeryctl.storage.feed import current
from celeryctl.storage.ledger import Run
from celeryctl.storage.misses import Missed
from celeryctl.storage.outcomes import Outcome
from celeryctl.storage.rows import Rows

if TYPE_CHECKING:
    from celeryctl.settings import Settings

SPLIT_AFTER = 2  # claims that nobody finished: the third hands the batch on in pieces
POLL = 0.2  # seconds between two looks at batches in other hands


class Fetch(Protocol):
    """Brings the records of a claimed batch. Raises SourceError, SourceUnreachableError, LostError."""

    def __call__(self, dataset: Dataset, claim: batches.Claim, lease: Lease, meter: http.Meter) -> Outcome: ...


def _metered(outcome: Outcome, meter: http.Meter) -> Outcome:
    return replace(outcome, requests=meter.requests, retries=meter.retries, timings=meter.ended)


class Pipeline:
    """Everything that working through batches needs: settings, data sets, source, keys. Holds no connection itself."""

    def __init__(
        self, settings: "Settings", datasets: Datasets, *, keyring: Keyring, fetch: Fetch | None = None
    ) -> None:
        self.settings = settings
        self.datasets = datasets
        self.keyring = keyring
        self.fetch = fetch or self.fetch_from_source
        self._lanes = Lanes(settings.fetch_threads)
        # At once: later a file may hold another version than the one that was loaded.
        self._codes = {name: code_of(one) for name, one in datasets.items() if readings.kept(one.model, one.key)}
        self.works = {name: work_of(dataset, settings) for name, dataset in datasets.items()}

    def open(self, order: runs.Order) -> runs.Opened | None:
        """Open or join a run; see `runs.open_run`."""
        return runs.open_run(order, self.works)

    def work(self, claim: batches.Claim, *, failures: int = logging.WARNING) -> list[int]:
        """Do one claimed batch to its end. Returns the batches to announce next. Logs ``failures`` at that level.

        Raises UnreachableError, logged, when the database is away: then nothing was written.
        """
        with journal.about(claim):
            try:
                return self._work(claim, failures)
            except CeleryctlError as exc:
                journal.again(exc, failures)
                raise

    def _work(self, claim: batches.Claim, failures: int) -> list[int]:
        if claim.attempts > SPLIT_AFTER and (pieces := self._break_up(claim)) is not None:
            return pieces
        meter = http.Meter()
        try:
            return self._do(claim, meter)
        except LostError:
            journal.left()
            return []
        except RefusedError as exc:
            # One of its rows is not to the database's taste: it is found by splitting.
            batches.put_back(claim, counted=True)
            journal.again(exc, failures)
            return [claim.id]
        except SourceUnreachableError as exc:
            return self._give_up(claim, meter, exc, failures)
        except UnreachableError:
            with suppress(UnreachableError):
                batches.put_back(claim, counted=False)
            raise
        except CeleryctlError as exc:
            return self._give_up(claim, meter, exc, failures)

    def _do(self, claim: batches.Claim, meter: http.Meter) -> list[int]:
        dataset, began = self.datasets[claim.run.dataset], monotonic()
        with Lease(claim) as lease:
            outcome = self._complete(self.fetch(dataset, claim, lease, meter), meter)
            lease.check()
            following = batches.finish(claim, outcome, self.works, self.keyring) or []
        journal.finished(outcome, monotonic() - began)
        return following

    def _complete(self, outcome: Outcome, meter: http.Meter) -> Outcome:
        limited = [replace(missed, most_attempts=self.settings.max_attempts) for missed in outcome.missed]
        return replace(_metered(outcome, meter), missed=limited)

    def _give_up(self, claim: batches.Claim, meter: http.Meter, error: CeleryctlError, level: int) -> list[int]:
        if isinstance(error, AnswerError):
            meter.count_useless()
        following = batches.fail(claim, self.works, _metered(Outcome(), meter), error)
        journal.given_up(error, level)
        return following

    def _break_up(self, claim: batches.Claim) -> list[int] | None:
        """Split a batch whose holders died; park what stands alone. None: try once more as it is."""
        splittable = claim.run.bound is not None or not self.works[claim.run.dataset].listing
        if splittable and claim.hi > claim.lo:
            pieces = batches.split(claim)
            journal.split(claim, ours=bool(pieces))
            return pieces
        if claim.attempts <= self.settings.max_attempts:
            return None
        key = f"page {claim.lo}" if self.works[claim.run.dataset].listing else str(claim.lo)
        reason = f"not done after {claim.attempts - 1} attempts: its worker died, or the database refused it"
        lost = Outcome(missed=[Missed(key, "failed", (reason,))], ended=not splittable)
        following = batches.finish(claim, lost, self.works, self.keyring)
        journal.given_up(reason, ours=following is not None)
        return following or []

    def drain(self, run_id: uuid.UUID, progress: Callable[[Run], None]) -> Run:
        """Work through a run here, batch by batch, until it is over. Batches in other hands are waited for."""
        while True:
            claim = batches.claim_next(run_id, holder=f"{os.getpid()}@{socket.gethostname()}")
            if claim:
                self.work(claim, failures=logging.INFO)  # whoever asked is told by the run itself
            run = current(run_id)
            progress(run)
            if run.status != "running":
                return run
            if not claim:
                sleep(POLL)

    def fetch_from_source(self, dataset: Dataset, claim: batches.Claim, lease: Lease, meter: http.Meter) -> Outcome:
        """Ask the data set's own source, several requests at a time where a batch takes several."""
        dataset = replace(dataset, source=replace(dataset.source, url=self.settings.sources[dataset.name].url))
        began = monotonic()

        def get(url: str, *, absent_ok: bool = False) -> http.Answer:
            lease.check()
            return self.client.get(url, source=dataset.name, meter=meter, absent_ok=absent_ok)

        def run(function: Callable[[Any], Any], over: Iterable[Any]) -> Iterable[Any]:
            return self._lanes.run(dataset.name, meter, function, over)

        if dataset.source.kind == "listing":
            outcome = self._fetch_listing(dataset, claim, get, run)
        else:
            outcome = self._fetch_users(dataset, claim, get, run)
        self._lanes.learn(dataset.name, meter)
        if meter.requests:
            sources.answered(dataset.name, latency=meter.latency, took=monotonic() - began)
        return outcome

    def _fetch_listing(self, dataset: Dataset, claim: batches.Claim, get: Get, run: Map) -> Outcome:
        code = self._codes.get(dataset.name)
        with session():
            known = readings.recall(claim, dataset.model, dataset.key) if code else None
        return fetch_listing(dataset, claim, get, run, code=code, known=known)

    def _fetch_users(self, dataset: Dataset, claim: batches.Claim, get: Get, run: Map) -> Outcome:
        with session():
            users = plan.wanting(claim.run, self.works[dataset.name], claim.lo, claim.hi)
        rows, missed = Rows(dataset.model, dataset.key), list[Missed]()
        for found in run(partial(fetch_users, dataset, get=get), chunks(dataset, users)):
            assign(found, rows, missed)
        return Outcome(rows, missed)

    def prepare(self) -> None:
        """Load what the first batch would load: whole libraries. Nothing is opened."""
        http.Client.from_settings(self.settings, http.RateBudget.from_settings(self.settings)).close()

    @cached_property
    def client(self) -> http.Client:
        """The HTTP client, made in the process that uses it: a worker forks before it works."""
        return http.Client.from_settings(self.settings, http.RateBudget.from_settings(self.settings))
