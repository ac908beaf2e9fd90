"""Log lines on stderr, as text or as JSON, in which neither a password nor a card number can be read."""

import json
import logging
import re
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

from celeryctl.masks import HIDDEN as HIDDEN
from celeryctl.masks import UUID
from celeryctl.masks import mask as mask

Format = Literal["text", "json"]

# What moves a cursor, ends a line, turns the direction of writing, cannot be seen, or cannot be written at all.
CONTROL = re.compile(
    r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
    r"|[\U000e0000-\U000e007f]"
)


def one_line(text: str) -> str:
    """The text with line breaks and other control characters written out: a source's words must not move the cursor."""
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def steering_none(text: str) -> str:
    """The same for a text of several lines."""
    return text if text.isprintable() else "\n".join(map(one_line, text.split("\n")))


def as_json(document: object, **how: Any) -> str:
    """JSON that may be shown on a terminal: no control character stands in it as itself."""
    text = json.dumps(document, ensure_ascii=False, **how)
    return CONTROL.sub(lambda found: found[0] if found[0] == "\n" else json.dumps(found[0])[1:-1], text)


_FACTS: ContextVar[tuple[tuple[str, object], ...]] = ContextVar("facts", default=())


@contextmanager
def about(**facts: object) -> Iterator[None]:
    """Every line that is logged in this block, also in a thread with a copy of its context, tells these facts."""
    token = _FACTS.set((*_FACTS.get(), *facts.items()))
    try:
        yield
    finally:
        _FACTS.reset(token)


def _fact(value: object) -> object:
    """As JSON has it: a number where it is one, without what is to be masked."""
    text = mask(str(value))
    return value if isinstance(value, int | float) and text == str(value) else text


def _word(value: object) -> str:
    """As one word of a line of text; of ids as much as the commands show."""
    text = str(_fact(value))
    return text[:8] if re.fullmatch(UUID, text) else "_".join(one_line(text).split())


class TextFormatter(logging.Formatter):
    """``2026-01-31T12:00:00.000Z INFO    logger: message fact=value``; a traceback follows on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        # Masked before control characters are written out: they may stand between the digits of a number.
        message, *traceback = map(mask, [record.getMessage().rstrip(), *_traceback(self, record)])
        facts = "".join(f" {name}={_word(value)}" for name, value in dict(_FACTS.get()).items())
        line = f"{_time(record)} {record.levelname:<7} {record.name}: {one_line(message)}{facts}"
        return "\n".join([line, *map(steering_none, traceback)])


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time, level, logger, message, host, process, pid, what it is about, any traceback."""

    host = socket.gethostname()

    def format(self, record: logging.LogRecord) -> str:
        document = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": mask(record.getMessage().rstrip()),
            "host": self.host,
            "process": record.processName,
            "pid": record.process,
            **{name: _fact(value) for name, value in _FACTS.get()},
        }
        for traceback in _traceback(self, record):
            document["traceback"] = mask(traceback)
        return as_json(document)


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> list[str]:
    return [formatter.formatException(record.exc_info)] if record.exc_info and record.exc_info[0] else []


class Masked:
    """A stream that hands on text masked, line by line; a part of a line that is flushed by itself.

    All else is the stream's own, its ``buffer`` too.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream, self._rest = stream, ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        lines, end, self._rest = (self._rest + text).rpartition("\n")
        self.stream.write(mask(lines) + end)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        self.write("".join(lines))

    def flush(self) -> None:
        rest, self._rest = self._rest, ""
        self.stream.write(mask(rest))
        self.stream.flush()


def mask_streams() -> Callable[[], None]:
    """From now on also mask what others print in this process, and what ends it unforeseen. Returns what undoes it."""
    before: Any = sys.stdout, sys.stderr
    now: Any = [one if isinstance(one, Masked) else Masked(one) for one in before]
    sys.stdout, sys.stderr = now

    def undo() -> None:
        for one in now:
            one.flush()
        sys.stdout, sys.stderr = before

    return undo


class _Handler(logging.StreamHandler[TextIO]):
    """Ours, so that configuring a second time replaces nothing else. Writes to what stderr is at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        err: Any = sys.stderr
        self.stream = err.stream if isinstance(err, Masked) else err
        super().emit(record)


def configure(level: int | str, format: Format = "text") -> None:  # noqa: A002 - the setting's own word
    """Send the log lines of all libraries from this level on to stderr; a second call replaces the first."""
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _Handler)]:
        root.removeHandler(handler)
    ours = _Handler()
    ours.setFormatter(JsonFormatter() if format == "json" else TextFormatter())
    root.addHandler(ours)
    root.setLevel(level)
