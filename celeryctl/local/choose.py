"""Whether `up` takes its records from the live sources or from those that it serves itself."""

from concurrent.futures import Future, wait
from dataclasses import dataclass
from functools import partial
from typing import Literal

from celeryctl import threads
from celeryctl.datasets import BUILT_IN
from celeryctl.errors import CeleryctlError, SourceUnreachableError, UsageError
from celeryctl.http import Answer
from celeryctl.local import probe
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
    client = probe.client(context, within=WITHIN)
    asked = {name: threads.start(partial(probe.ask, client, context, name)) for name in BUILT_IN}
    wait(asked.values(), timeout=WITHIN)
    reasons = [(name, _reason(answer)) for name, answer in asked.items()]
    client.close()
    return tuple(f"{name}: {reason}" for name, reason in reasons if reason)


def _reason(answer: "Future[Answer]") -> str:
    if not answer.done():
        return f"no answer within {WITHIN:g} s"
    try:
        answer.result()
    except CeleryctlError as exc:
        return exc.why or str(exc)
    return ""
