"""The Celery app: configured from the settings, with the tasks of every data set."""

from functools import cached_property
from typing import Any

from celery import Celery

from celeryctl.cluster import signals, tasks
from celeryctl.cluster.deadletters import DeadLetters
from celeryctl.cluster.lifesign import LifeSign, servers_answer
from celeryctl.cluster.queues import address
from celeryctl.cluster.turning import Turning
from celeryctl.pipeline.context import Context
from celeryctl.pipeline.engine import Pipeline
from celeryctl.settings import Settings, tls

VISIBILITY = 120  # seconds; the ledger's leases answer sooner, this is a second net
GRACE = 10  # seconds that running batches have when a worker is asked twice to stop

CONFIGURATION: dict[str, Any] = {
    "accept_content": ["json"],
    "task_serializer": "json",
    "enable_utc": True,
    "timezone": "UTC",
    "task_ignore_result": True,  # the ledger answers what a result backend would
    "task_acks_late": True,
    "task_reject_on_worker_lost": True,
    "task_send_sent_event": True,
    "task_track_started": True,
    "worker_send_task_events": True,
    "worker_prefetch_multiplier": 1,
    # KiB, three times what work takes: 101 MiB at most in 360 batches of 10,000, 159 MiB with answers of 16 MiB.
    "worker_max_memory_per_child": 300 * 1024,
    "worker_hijack_root_logger": False,
    "worker_enable_prefetch_count_reduction": False,  # Redis has none; it is only told of
    "worker_soft_shutdown_timeout": GRACE,
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "broker_channel_error_retry": True,
    "broker_transport_options": {
        "visibility_timeout": VISIBILITY,
        "socket_timeout": 5,
        "socket_connect_timeout": 5,
        "health_check_interval": 10,
    },
    "worker_consumer": "celeryctl.cluster.guard:Consumer",
    "beat_scheduler": "celeryctl.cluster.beat:LedgerScheduler",
}


class App(Celery):  # type: ignore[misc]
    """Celery's app, with what its tasks work with."""

    control_cls = "celeryctl.cluster.remote:Control"

    def __init__(self, context: Context) -> None:
        super().__init__("celeryctl", broker=address(context.settings))
        self.context = context
        self.dead_letters = DeadLetters()
        file = context.settings.heartbeat_file
        self.life_sign = LifeSign(file, lambda: servers_answer(context.settings)) if file else None
        self.steps["consumer"].add(Turning)

    @cached_property
    def pipeline(self) -> Pipeline:
        """Made when it is first needed: Flower and Celery's own commands have neither the database nor the keys."""
        return self.context.pipeline()


def create_app(context: Context | None = None) -> App:
    """Make the app of this process. Raises BrokerUnreachableError where no broker is known."""
    context = context or Context.read()
    if context.settings.database_url:
        context.connect()
    app = App(context)
    app.conf.update(CONFIGURATION)
    # Celery itself reads it from the URL, Flower here.
    app.conf.broker_use_ssl = tls(address(context.settings)) or None
    app.conf.worker_concurrency = context.settings.worker_concurrency
    app.conf.beat_schedule = _schedule(context.settings)
    tasks.register(app)
    signals.connect(app)
    return app


def _schedule(settings: Settings) -> dict[str, dict[str, Any]]:
    """One entry for every data set, as Celery's own tools show it."""
    return {
        name: {"task": tasks.name_of(name), "schedule": source.every.total_seconds()}
        for name, source in settings.sources.items()
    }
