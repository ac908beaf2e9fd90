"""What a worker with METRICS_PORT serves: its own part of the metrics, from its main process."""

import os
import threading
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIServer

from celery import signals
from celery.worker import state
from celery.worker.request import Request
from prometheus_client import Gauge

from celeryctl.cluster import tasks
from celeryctl.cluster.exposition import listen, new_registry
from celeryctl.cluster.queues import QUEUE
from celeryctl.cluster.signals import memory
from celeryctl.cluster.taskmetrics import TaskMetrics
from celeryctl.errors import CeleryctlError

if TYPE_CHECKING:
    from celeryctl.cluster.app import App

SUCCEEDED = "task-succeeded"


class Counted(Request):  # type: ignore[misc]
    """A task in the hands of the main process, which alone hears of all that its processes do with it.

    It counts what it sends an event of, or would send where events are off. ``metrics`` are the worker's.
    """

    metrics: TaskMetrics

    def __init_subclass__(cls, **options: Any) -> None:
        """Celery makes a class of every task's, which tells of a success only where events are on."""
        super().__init_subclass__(**options)
        succeed = cls.on_success

        def on_success(self: Counted, outcome: tuple[bool, Any, float], **more: Any) -> None:
            succeed(self, outcome, **more)
            failed, _, runtime = outcome
            if not failed:
                self.count(SUCCEEDED, runtime=runtime)

        cls.on_success = on_success

    def send_event(self, type: str, **fields: Any) -> None:  # noqa: A002 - Celery's name
        if type != SUCCEEDED:
            self.count(type, requeue=fields.get("requeue", False))
        super().send_event(type, **fields)

    def count(self, kind: str, **more: Any) -> None:
        """Count it under the queue that it came from, if that is one of the worker's: a message says what it likes."""
        told = self.delivery_info["routing_key"]
        queue = next((name for name in self.app.amqp.queues.consume_from if name == told), QUEUE)
        self.metrics.count(kind, self.name, self.hostname, queue, **more)


class WorkerMetrics:
    """The metrics of the worker that this process is about to be. Raises SystemExit where its port is taken."""

    def __init__(self, app: "App", hostname: str) -> None:
        self._app, self._hostname = app, hostname
        self._names = tasks.names(app.context.datasets)
        self._registry = new_registry()
        self._tasks = TaskMetrics(self._registry, self._names)
        self._server = self._listen()
        # A child that outlives this process would keep the port.
        os.register_at_fork(after_in_child=self._server.socket.close)
        for name in self._names:
            app.tasks[name].Request = type("Request", (Counted,), {"metrics": self._tasks})
        signals.worker_ready.connect(self._serve, weak=False)
        signals.task_received.connect(self._received, weak=False)

    def _listen(self) -> WSGIServer:
        settings = self._app.context.settings
        try:
            return listen(settings.metrics_host, int(settings.metrics_port or 0), self._registry)
        except CeleryctlError as exc:
            # Celery logs what else is raised when a worker begins, and goes on.
            raise SystemExit(f"Error: {exc.what}\n  why: {exc.why}\n  fix: {exc.fix}") from None

    def _serve(self, **_: Any) -> None:
        for name in self._names:
            for queue in self._app.amqp.queues.consume_from:
                self._tasks.show(name, self._hostname, queue)
        self._gauge("celery_worker_up", "Whether the worker is up.").set(1)
        self._gauge("celery_worker_tasks_active", "Tasks that are being done.").set_function(
            lambda: len(state.active_requests)
        )
        self._gauge("celeryctl_worker_rss_bytes", "Memory of the worker and its processes.").set_function(memory)
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()

    def _received(self, request: Any, **_: Any) -> None:
        if isinstance(request, Counted):
            request.count("task-received")

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, ["hostname"], registry=self._registry).labels(self._hostname)
