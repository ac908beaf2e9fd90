"""`up`: starts broker, database, schema, workers and beat in this home, follows them, and ends them."""

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import psutil

from celeryctl import services
from celeryctl.cluster import overview
from celeryctl.cluster.app import create_app
from celeryctl.cluster.publish import announce
from celeryctl.cluster.signals import reconcile_once
from celeryctl.home import create, lock, running
from celeryctl.local import choose
from celeryctl.local.choose import Choice, Wish
from celeryctl.local.crew import Crew
from celeryctl.local.follow import Follower, Teller
from celeryctl.local.interrupt import AskedToEndError, Interrupt
from celeryctl.local.logfiles import Rotation, rotate
from celeryctl.local.ports import require_free, require_metrics_ports
from celeryctl.local.restarts import Restarts
from celeryctl.local.servers import Servers
from celeryctl.local.state import State, shared, sweep
from celeryctl.pipeline import orders
from celeryctl.pipeline.context import Context
from celeryctl.storage import runs
from celeryctl.storage.ledger import Run

if TYPE_CHECKING:
    from celeryctl.cluster.app import App

RECONCILE = 2.0  # seconds between two reconciliations where no beat does it
INTERRUPTED = 130


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What `up` was asked for. ``users`` is how many the local sources have."""

    workers: int = 1
    once: bool = False
    flower: bool = False
    sources: Wish = "auto"
    users: int = 10


def up(context: Context, wanted: Wanted, teller: Teller) -> int:
    """Run the cluster of this home until somebody asks it to end. Returns the exit code."""
    choose.check(context, wanted.sources)
    if wanted.flower:
        context.settings.require_flower_auth()
    context.require_key()
    home = create(context.settings.home)
    with lock(home / "up.lock", wait=False) as mine:
        if not mine:
            teller.already(running(home) or {})
            return 0
        if wanted.flower:
            # Here, because Flower finds out so late that all may be at work by then.
            host, port = context.settings.flower_host, context.settings.flower_port
            require_free(host, port, whose="Flower", variable="FLOWER_PORT")
        require_metrics_ports(context.settings, wanted.workers)
        with Interrupt() as interrupt:
            teller.starting(home, sweep(home))
            # Read again: the settings may have come from an `up` that has ended since.
            return Up(Context.read(), wanted, teller, interrupt).run()


class Up:
    """One `up`, from its start to its end. Made only by who holds the home's `up.lock`."""

    def __init__(self, context: Context, wanted: Wanted, teller: Teller, interrupt: Interrupt) -> None:
        self._context, self._wanted = context, wanted
        self._teller, self._interrupt = teller, interrupt
        self._state = State(context.settings.home)
        self._servers = Servers(context)
        self._crew = Crew(context, interrupt, changed=self._state.processes)
        self._restarts = Restarts(teller.restarting)
        self._ready = False
        self._rotation = Rotation(partial(rotate, context.settings.home))

    def run(self) -> int:
        """Start everything, and end everything that was started, whatever happens in between."""
        try:
            self._state.write()
            with ThreadPoolExecutor(3) as pool:
                choice = self._start_servers(pool)
            return self._work(choice)
        except AskedToEndError:
            return INTERRUPTED if self._wanted.once else 0
        finally:
            self._stop()

    def _start_servers(self, pool: ThreadPoolExecutor) -> Choice:
        """Broker, database and the decision about the sources, all at the same time; then the tables."""
        wait = self._interrupt.result
        broker = pool.submit(self._servers.start_broker)
        database = pool.submit(self._servers.start_database)
        choice = wait(pool.submit(choose.choose, self._context, self._wanted.sources))
        local = self._crew.serve_sources(self._wanted.users) if choice.kind == "local" else {}
        wait(database)
        url = wait(pool.submit(self._servers.prepare, local=bool(local)))
        urls = {"DATABASE_URL": url, "REDIS_URL": wait(broker)}
        # Written before anybody is started who has to find it.
        self._state.write(sources=choice.kind, settings={**shared(self._context), **local, **urls})
        self._context = Context.read(local)
        services.use(self._context)
        return choice

    def _work(self, choice: Choice) -> int:
        self._crew.start_workers(self._wanted.workers)
        app = create_app(self._context)
        follower = Follower(self._context, self._teller, self._interrupt, check=self._check)
        order = orders.order(self._context.datasets, orders.ALL, trigger="up")
        first = _open(app, order)
        if not self._wanted.once:
            # Only now: beat would open runs of its own for what is due.
            self._crew.start_beat()
        if self._wanted.flower:
            self._crew.start_flower()
        self._teller.placed(self._context, choice, self._crew.names)
        follower.until(self._crew.are_working)
        # In this order: who waits for the one, in another process, shows the other.
        self._teller.ready(time.time() - psutil.Process().create_time())
        self._state.write(ready=True)
        self._ready = True
        if self._wanted.once:
            return self._round(app, follower, first, order.followers)
        while True:
            follower.look()

    def _check(self) -> None:
        """Start again what ends once all has been at work; before, and in a round that is waited for, raise."""
        self._rotation.look()
        if self._ready and not self._wanted.once:
            self._restarts.look([*self._servers.kept(), *self._crew.kept()])
        else:
            self._crew.check()
            self._servers.check()

    def _round(self, app: "App", follower: Follower, first: uuid.UUID, followers: tuple[str, ...]) -> int:
        """Wait until the run and those that follow it have ended, then show where things stand."""
        ended = orders.see_through(first, followers, lambda run_id: self._finish(app, follower, run_id))
        follower.tell()
        self._teller.stats(overview.collect())
        return orders.exit_code(ended)

    def _finish(self, app: "App", follower: Follower, run_id: uuid.UUID) -> Run:
        reconciled = time.monotonic()
        while (run := follower.run(run_id)) is None or run.status == "running":
            follower.look()
            if time.monotonic() - reconciled > RECONCILE:
                reconciled = time.monotonic()
                reconcile_once(app)
        return run

    def _stop(self) -> None:
        # The terminal may be gone, and that must not keep anything alive.
        with suppress(OSError):
            self._teller.stopping()
        asked = min(self._interrupt.count, 1)
        try:
            self._crew.stop(hurry=lambda: self._interrupt.count > asked)
        finally:
            try:
                self._servers.stop()
            finally:
                self._state.remove()
        with suppress(OSError):
            self._teller.stopped()


def _open(app: "App", order: runs.Order) -> uuid.UUID:
    """Open the first run, or join what a predecessor has left, and announce its batches."""
    opened = orders.begin(app.pipeline, order)
    announce(app, opened.batches)
    return opened.run.id
