"""What `fetch`, `run-tasks` and `seed` share: opening runs, following them, telling what came of them."""

import time
import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from celeryctl import logs
from celeryctl.cli import options
from celeryctl.cli.interruption import Interruption
from celeryctl.errors import BrokerUnreachableError, UsageError
from celeryctl.local import access
from celeryctl.pipeline import orders
from celeryctl.pipeline.context import Context
from celeryctl.pipeline.engine import Pipeline
from celeryctl.settings import parse_duration
from celeryctl.storage import runs
from celeryctl.storage.ledger import Run
from celeryctl.views import runs as views
from celeryctl.views.progress import Progress

if TYPE_CHECKING:
    from celeryctl.cluster.app import App


@dataclass(frozen=True, slots=True)
class Request:
    """A fetch as it was typed. ``timeout`` is a duration like ``5m``."""

    dataset: str
    refresh: bool = False
    limit: int | None = None
    timeout: str | None = None
    json: bool = False


def check(modes: Sequence[str], *, timeout: str | None, dry_run: bool) -> None:
    """Refuse options that contradict each other."""
    if len(modes) > 1:
        raise UsageError(
            "only one of --sync, --wait and --detach", why=f"there are {len(modes)}", fix="celeryctl help fetch"
        )
    if timeout is not None and (dry_run or modes not in ([], ["wait"])):
        raise UsageError("--timeout goes with --wait only", why="nothing else waits", fix="celeryctl help fetch")


def run(mode: str, request: Request, context: Context) -> list[Run]:
    """Fetch in this mode and print what came of it."""
    if mode != "sync":
        context.settings.require_both(f"fetch --{mode}")
        return _queue(request, context, follow=mode == "wait")
    order = _order(request, context)
    with access.to_write(_with_budget(context)) as here:
        return report(work_here(here.pipeline(), order), request)


def _with_budget(context: Context) -> Context:
    """Needing no broker, --sync counts requests for itself alone where there is none."""
    from celeryctl.cluster import queues

    try:
        if context.settings.redis_url:
            queues.check(context.settings)
    except BrokerUnreachableError:
        options.notices().print("The broker does not answer: rate limits are kept within this process")
        return context.without_broker()
    return context


def _order(request: Request, context: Context) -> runs.Order:
    """What is asked for. Made before any server starts: an unknown data set creates nothing."""
    return orders.order(
        context.datasets, request.dataset, trigger="command", refresh=request.refresh, limit=request.limit
    )


def work_here(pipeline: Pipeline, order: runs.Order) -> list[Run]:
    """Do the order's runs in this process. An interrupt cancels those that it opened; what is stored stays."""
    opened = orders.place(pipeline, order)
    limit = f"the batch under way, whose requests take {pipeline.settings.http_total_timeout:g} s each at most"
    with Progress(options.notices()) as progress, Interruption(limit) as interruption, ExitStack() as later:
        later.callback(logs.mask_streams())  # a data set's own code may print its records
        show = interruption.after(progress.show)
        try:
            return orders.see_through(opened.run.id, order.followers, lambda run_id: pipeline.drain(run_id, show))
        except KeyboardInterrupt:
            if not opened.joined:
                runs.cancel_all(opened.run.id)
                options.notices().print("Cancelled; what was stored until now stays")
            raise


def _queue(request: Request, context: Context, *, follow: bool) -> list[Run]:
    from celeryctl.cluster import wait
    from celeryctl.cluster.app import create_app
    from celeryctl.cluster.publish import announce
    from celeryctl.cluster.queues import check as check_broker

    order = _order(request, context)
    deadline = time.monotonic() + parse_duration(request.timeout).total_seconds() if request.timeout else None
    app = create_app(context)
    check_broker(context.settings, "beat")  # who gives orders needs what beat does
    if follow:
        wait.require_worker()
    opened = orders.place(app.pipeline, order)
    announce(app, opened.batches)
    if not follow:
        return report([opened.run], request)
    return report(_follow(app, opened, order, deadline=deadline), request)


def _follow(app: "App", opened: runs.Opened, order: runs.Order, *, deadline: float | None) -> list[Run]:
    """The runs, once workers have done them. Whoever interrupts the waiting is told that they go on."""
    from celeryctl.cluster import wait

    following = opened.run.id

    def finish(run_id: uuid.UUID) -> Run:
        nonlocal following
        following = run_id
        return wait.wait(app, run_id, progress.show, deadline=deadline)

    try:
        with Progress(options.notices()) as progress:
            return orders.see_through(opened.run.id, order.followers, finish)
    except KeyboardInterrupt:
        options.notices().print(f"The run goes on. Follow it: celeryctl tail {str(following)[:8]}", soft_wrap=True)
        raise


def report(ended: list[Run], request: Request) -> list[Run]:
    """Print the runs."""
    if request.json:
        options.print_json({"runs": [views.as_json(run) for run in ended]})
    else:
        options.console().print(views.summary(ended))
    return ended


def show_intents(request: Request, context: Context) -> None:
    """Print what the fetch would ask for."""
    order = _order(request, context)
    with access.to_read(context) as here:
        intents = orders.intend(here.settings, here.datasets, order)
    if request.json:
        options.print_json({"dry_run": [views.intent_as_json(intent) for intent in intents]})
    else:
        options.console().print(views.intents(intents))
