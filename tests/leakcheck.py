"""At the end of every integration test: no card number that its sources have served is where none may be.

A test that is about numbers in the clear says so: ``@pytest.mark.shows_numbers("why")``.
"""

import os
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import redis
from sinks import Sweep

from celeryctl.local.generate import CARD_NUMBERS
from celeryctl.logs import mask

SAID = pytest.StashKey[str]()
_said: list[bytes | str] = []
_brokers: list[str] = []


def note(*texts: bytes | str) -> None:
    """What a helper of the tests has read of a command's words, which pytest then does not see any more."""
    _said.extend(texts)


def note_broker(url: str) -> None:
    """One that a test has started for itself."""
    _brokers.append(url)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    report = yield
    if call.when == "call":
        # pytest's own log handler has the records as they are, ours masks them.
        item.stash[SAID] = "\n".join(mask(text) if " log " in name else text for name, text in report.sections)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, Any, Any]:
    """Look while the fixtures are still there, complain when they are not."""
    sweep = Sweep(CARD_NUMBERS)
    said, brokers = [*_said], [*_brokers]
    _said.clear()
    _brokers.clear()
    shown = item.get_closest_marker("shows_numbers")
    try:
        if item.stash.get(SAID, None) is not None and item.get_closest_marker("integration") and not shown:
            sweep.text("what the test and its commands said", "\n".join([item.stash[SAID], *map(_text, said)]))
            _look(sweep, getattr(item, "funcargs", {}), brokers)
    finally:
        result = yield
    sweep.assert_clean()
    return result


def _look(sweep: Sweep, fixtures: dict[str, Any], brokers: list[str]) -> None:
    """At what the test's fixtures are about. What the test has stopped, or never made, is left out."""
    if isinstance(folder := fixtures.get("tmp_path"), Path):
        sweep.files("its folder", folder)
    for name in {"database_url", "empty_database"} & fixtures.keys():
        with suppress(psycopg2.OperationalError):
            sweep.database("its database", fixtures[name])
    for url in [*brokers, *(fixtures[name] for name in ("redis_url",) if name in fixtures)]:
        with suppress(redis.RedisError):
            sweep.broker("its broker", url, shared="TEST_REDIS_URL" in os.environ)


def _text(one: bytes | str) -> str:
    return one if isinstance(one, str) else one.decode(errors="replace")
