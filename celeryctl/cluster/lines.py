"""The log of a worker, of beat and of Flower: our lines, Celery's, and those of what it is made of."""

import logging
import os
import sys
import threading
from types import TracebackType

from billiard.util import LOGGER_NAME, get_logger
from celery.app import trace
from celery.apps import worker
from click import get_current_context
from click.core import ParameterSource

from celeryctl import logs
from celeryctl.settings import Settings

logger = logging.getLogger(__name__)

TALKERS = ("celery.worker.strategy", "celery.app.trace", LOGGER_NAME)


def configure(settings: Settings, level: int | None = None) -> None:
    """Log as the settings say. ``level`` is Celery's, which wins where somebody has typed it."""
    logs.configure(level if level is not None and _is_typed() else settings.log_level, settings.log_format)
    # A data set's own code may print its records.
    logs.mask_streams()
    logging.captureWarnings(True)
    # What would be bare words on stderr: why the pool replaces a process, and that a worker is asked to end.
    get_logger().propagate = True
    vars(worker)["safe_say"] = _say
    for talker in TALKERS:
        logging.getLogger(talker).addFilter(_demoted)
    sys.excepthook = _log_end
    threading.excepthook = lambda end: _log_end(end.exc_type, end.exc_value, end.exc_traceback)


def _is_typed() -> bool:
    context = get_current_context(silent=True)
    return context is not None and context.get_parameter_source("loglevel") is ParameterSource.COMMANDLINE


def _demoted(record: logging.LogRecord) -> bool:
    """Of every task Celery tells that it came and how it ended. Our line tells what became of its batch."""
    chatter = record.levelno == logging.INFO and (record.name == LOGGER_NAME or record.msg == trace.LOG_FAILURE)
    if chatter or record.msg in (trace.LOG_RECEIVED, trace.LOG_SUCCESS):
        record.levelno, record.levelname = logging.DEBUG, "DEBUG"
    return logging.getLogger(record.name).isEnabledFor(record.levelno)


def _say(message: str, *_: object) -> None:
    """Celery says it in a handler of signals, which may have interrupted who is just writing a line."""
    record = logger.makeRecord(worker.__name__, logging.INFO, __file__, 0, message, (), None)
    lines = [handler.format(record) + "\n" for handler in logging.getLogger().handlers]
    os.write(2, "".join(lines[:1]).encode())


def _log_end(kind: type[BaseException], error: BaseException | None, traceback: TracebackType | None) -> None:
    """Also what nobody has foreseen is a line of the log."""
    logger.critical("ended unexpectedly", exc_info=(kind, error or kind(), traceback))
