"""Whether `up` takes its records from the live sources or from those that it serves itself."""

import queue
import threading
import time
from dataclasses import dataclass, replace
from typing import Literal

from celeryctl import http
from celeryctl.dataset import Source
from celeryctl.datasets import BUILT_IN
from celeryctl.errors import CeleryctlError, SourceUnreachableError, UsageError
from celeryctl.pipeline.context import Context

Wish = Literal["auto", "live", "local"]
WITHIN = 3.0  # seconds for all sources together


@dataclass(frozen=True, slots=True)
class Choice:
    """What was decided; ``silent`` tells which live sources gave no answer."""

    kind: Literal["live", "local"]
    silent: tuple[str, ...] = ()


def check(context: Context, wish: Wish) -> None:
    """Raise UsageError for local sources with a database that somebody has named."""
    if wish == "local" and context.settings.environment.own("DATABASE_URL"):
        raise UsageError(
            "--sources local does not go with DATABASE_URL",
            why="made-up records never share a database with live ones",
            fix="celeryctl up --sources live, or unset DATABASE_URL",
        )


def choose(context: Context, wish: Wish) -> Choice:
    """Decide once, for as long as `up` runs.

    Raises SourceUnreachableError where `auto` may not fall back: the database is not ours alone.
    """
    if wish != "auto":
        return Choice(wish)
    environment = context.settings.environment
    named = environment.own("DATABASE_URL")
    # Whoever names a source wants that one, also when it is away at the moment.
    if not named and any(environment.own(context.datasets[name].variable + "_URL") for name in BUILT_IN):
        return Choice("live")
    silent = _ask_all(context)
    if silent and named:
        raise SourceUnreachableError(
            "not every source answers, and DATABASE_URL is set: nothing local takes their place",
            why="; ".join(silent),
            fix="celeryctl up --sources live (starts all the same)",
        )
    return Choice("local", silent) if silent else Choice("live")


def _ask_all(context: Context) -> tuple[str, ...]:
    """Ask every built-in source for one record, all at the same time. What is wrong with those that do not answer."""
    answers: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
    client = _client(context)
    for name in BUILT_IN:
        # Daemons: looking up a name can take longer than anybody wants to wait, and cannot be broken off.
        threading.Thread(target=_ask, args=(client, context, name, answers), daemon=True).start()
    reasons = dict.fromkeys(BUILT_IN, f"no answer within {WITHIN:g} s")
    deadline = time.monotonic() + WITHIN
    for _ in BUILT_IN:
        try:
            name, reason = answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            break
        reasons[name] = reason
    client.close()
    return tuple(f"{name}: {reason}" for name, reason in reasons.items() if reason)


def _client(context: Context) -> http.Client:
    return http.Client(
        sources=context.settings.sources,
        connect_timeout=WITHIN / 2,
        read_timeout=WITHIN,
        total_timeout=WITHIN,
        max_tries=3,
        max_bytes=context.settings.http_max_bytes,
        allow_private=context.settings.allow_private_sources,
        pause=0.2,
    )


def _ask(client: http.Client, context: Context, name: str, answers: "queue.SimpleQueue[tuple[str, str]]") -> None:
    url = _one_record(context.datasets[name].source, context.settings.sources[name].url)
    try:
        client.get(url, source=name, meter=http.Meter())
    except CeleryctlError as exc:
        answers.put((name, exc.why or str(exc)))
    else:
        answers.put((name, ""))


def _one_record(source: Source, url: str) -> str:
    parameters = {name: 1 for name in (source.page, source.size) if name and source.kind == "listing"}
    return replace(source, url=url).with_query(**parameters) if parameters else url
