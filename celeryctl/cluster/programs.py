"""Celery's own programs with our settings: this process becomes them, so that signals and exit codes are theirs."""

import logging
import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from prometheus_client import CollectorRegistry

from celeryctl.cluster import lifesign
from celeryctl.cluster.exposition import listen
from celeryctl.cluster.queues import address, check, lets_anybody_in
from celeryctl.cluster.rights import Program
from celeryctl.datasets import further
from celeryctl.errors import CeleryctlError, HomeError
from celeryctl.home import create, translated
from celeryctl.pipeline import keys
from celeryctl.pipeline.context import Context
from celeryctl.settings import Settings, without_secrets
from celeryctl.storage import schema
from celeryctl.storage.database import close

logger = logging.getLogger(__name__)

# What Flower shows of tasks: which batch it is says more than the message's own id.
COLUMNS = "name,args,state,received,runtime,retries,worker,uuid"
SAVING = "10000"  # milliseconds between two writings of what Flower has seen: a kill costs no more of it
# Gossip and mingle let a worker that reconnects to Redis consume nothing (an old complaint about Celery).
QUIET = ("--without-gossip", "--without-mingle")


def become_worker(arguments: Sequence[str], context: Context) -> NoReturn:
    """Become `celery worker`; what was typed comes last, so that it wins."""
    # Of queues that were typed nobody but the worker knows the names, once it has read all its options.
    elsewhere = any(argument.startswith(("-Q", "--queues")) for argument in arguments)
    _ready("worker", context, unless="BRPOP" if elsewhere else "")
    if port := context.settings.metrics_port:
        # Here, because with --detach nobody would read what the worker itself says of a port that is taken.
        listen(context.settings.metrics_host, port, CollectorRegistry()).server_close()
    options = [*QUIET, *_log_level(arguments, context.settings), *arguments]
    _become("worker", options, banner=context.settings.log_format == "text")


def become_beat(arguments: Sequence[str], context: Context) -> NoReturn:
    """Become `celery beat`, whose memory is the database: no schedule file, no pid file."""
    _ready("beat", context)
    options = [*_log_level(arguments, context.settings), *arguments]
    _become("beat", options, banner=context.settings.log_format == "text")


def become_flower(arguments: Sequence[str], context: Context) -> NoReturn:
    """Become Flower, on loopback unless there is a password. Logs what is ignored."""
    settings = context.settings
    settings.require_flower_auth()
    if find_spec("flower") is None:
        raise CeleryctlError("Flower is not installed", why="it is an extra", fix="pip install 'celeryctl[flower]'")
    check(settings, "stats")
    without_secrets(os.environ, keep=("REDIS_URL",))
    if settings.flower_basic_auth:
        # On the command line every user of the machine could read it.
        os.environ["FLOWER_BASIC_AUTH"] = str(settings.flower_basic_auth)
    if os.environ.pop("FLOWER_UNAUTHENTICATED_API", None) and not settings.flower_basic_auth:
        logger.warning(
            "FLOWER_UNAUTHENTICATED_API is ignored: any web page could then stop workers; set FLOWER_BASIC_AUTH"
        )
    # Flower would run a flowerconfig.py of this folder, whoever has put it there.
    conf = [] if os.environ.get("FLOWER_CONF") else [f"--conf={os.devnull}"]
    # No logging of Tornado's: it would set a level of its own.
    where = [f"--address={settings.flower_host}", f"--port={settings.flower_port}", "--logging=none"]
    _remember(settings.home)
    os.environ.setdefault("FLOWER_TASKS_COLUMNS", COLUMNS)
    _become("flower", [*where, *conf, *arguments], app="celeryctl.cluster.viewer")


def _remember(home: Path) -> None:
    """Let Flower keep what it has seen in the home, unless its own variables or options say otherwise."""
    os.umask(0o077)
    try:
        folder = create(home) / "flower"
        with translated(folder):
            folder.mkdir(mode=0o700, exist_ok=True)
    except HomeError as exc:
        logger.warning("Flower forgets the tasks when it ends: %s", exc)
        return
    for name, value in (("PERSISTENT", "1"), ("DB", str(folder / "state")), ("STATE_SAVE_INTERVAL", SAVING)):
        os.environ.setdefault(f"FLOWER_{name}", value)


def _ready(program: Program, context: Context, *, unless: str = "") -> None:
    """Refuse to start what could not work: half a cluster, no broker, tables that are behind, a wrong key."""
    context.settings.require_both(program)
    if context.settings.heartbeat_file:
        lifesign.touch(context.settings.heartbeat_file)
    context.connect()
    check(context.settings, program, unless=unless)
    if lets_anybody_in(address(context.settings)):
        logger.warning(
            "the broker lets publish who has no password, and who may do so controls the workers: see doctor"
        )
    schema.require(further(context.datasets))
    context.keyring(create=True)
    if program == "worker":
        keys.require(context)
    close()


def _log_level(arguments: Sequence[str], settings: Settings) -> list[str]:
    given = any(argument.startswith(("-l", "--loglevel")) for argument in arguments)
    return [] if given else [f"--loglevel={settings.log_level}"]


def _become(program: str, arguments: Sequence[str], *, app: str = "celeryctl.celery", banner: bool = True) -> NoReturn:
    """Without ``banner`` nothing is said but lines of the log."""
    # -P: `python -m` would put this folder first on sys.path, and what lies there may be anybody's.
    quiet = [] if banner else ["--quiet"]
    command = [sys.executable, "-P", "-m", "celeryctl.cluster", "-A", app, *quiet, program, *arguments]
    # The same for when Celery starts the worker anew upon SIGHUP: it knows the words behind -P -m only.
    os.environ["PYTHONSAFEPATH"] = "1"
    os.execv(sys.executable, command)  # noqa: S606 - becoming Celery is the purpose
