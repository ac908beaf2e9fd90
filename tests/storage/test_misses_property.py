"""Whatever was rejected: it goes into the quarantine and comes out of it as it went in, on the screen and as JSON."""

import io
import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime

import msgspec
import pytest
from hostile import RAW, amounts, record, text, tried
from hypothesis import strategies as st
from rich.console import Console

from celeryctl.cluster.deadletters import DeadLetters
from celeryctl.datasets import users
from celeryctl.errors import SourceError
from celeryctl.logs import CONTROL, as_json
from celeryctl.pipeline.decode import decode
from celeryctl.pipeline.rejection import Rejection
from celeryctl.storage import failures, letters, misses
from celeryctl.storage.database import database, session
from celeryctl.storage.misses import Missed
from celeryctl.storage.user import User
from celeryctl.storage.work import Work
from celeryctl.views import failed as views

pytestmark = pytest.mark.integration

NAMES = [field.encode_name for field in msgspec.structs.fields(users.DATASET.record)]
WORK = Work(name="users", model=User, listing=True, page_size=3, batch_size=3)
TOGETHER = 20  # records in one statement
NOW = datetime(2030, 1, 1, tzinfo=UTC)
message = st.dictionaries(st.sampled_from(["task", "id", "origin", "x"]), text | st.sampled_from(RAW), max_size=3)


def assert_shown(found: list[failures.Failure], dead: list[letters.Kept]) -> None:
    """As a table and as JSON nothing of it steers a terminal."""
    out = io.StringIO()
    Console(file=out, width=100, markup=False, emoji=False).print(views.listing(found, len(found), dead, NOW))
    assert not CONTROL.search(out.getvalue().replace("\n", ""))
    told = as_json(views.as_json(found, len(found), dead), default=str)
    assert not CONTROL.search(told)
    assert len(json.loads(told)["failures"]) == len(found)


def rejections(bodies: list[str]) -> Iterator[Rejection]:
    for body in bodies:
        with suppress(SourceError):
            results = decode(users.DATASET, f"[{body}]".encode(errors="surrogatepass"))
            yield from (one for one in results if isinstance(one, Rejection))


@amounts
def test_whatever_was_rejected_is_kept_and_shown(amount: int, database_url: str) -> None:
    def check(bodies: list[str]) -> None:
        rejected = list(rejections(bodies))
        keys = [f"page 1, record {n}" if one.key is None else str(one.key) for n, one in enumerate(rejected)]
        missed = {
            key: Missed(key, "rejected", one.reasons, payload=one.payload)
            for key, one in zip(keys, rejected, strict=True)
        }
        misses.record(WORK, list(missed.values()))
        found, count = failures.newest(TOGETHER)
        assert count == len(missed)
        assert {one.key: tuple(one.reasons) for one in found} == {key: one.reasons for key, one in missed.items()}
        kept = {one.key: one.payload for one in failures.among("users", list(missed))}
        assert kept == {key: one.payload for key, one in missed.items()}
        assert_shown(found, [])
        database.execute_sql("DELETE FROM misses")

    with session():
        tried(st.lists(record(NAMES), min_size=TOGETHER, max_size=TOGETHER), check, amount // TOGETHER, shrink=False)


@amounts
def test_whatever_was_no_message_is_kept_and_shown(
    amount: int, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL")  # half a character in the log is more than pytest can report
    dead = DeadLetters()

    def check(found: list[tuple[str, object]]) -> None:
        for reason, headers in found:
            dead.put(reason, {"headers": headers}, 7)
        dead.write(lambda some: letters.write(database_url, some, worker="\x1b[2Jone@[b]here"))
        kept = letters.newest(TOGETHER)
        assert len(kept) == TOGETHER
        assert_shown([], kept)

    messages = st.lists(st.tuples(text, message), min_size=TOGETHER, max_size=TOGETHER)
    tried(messages, check, amount // TOGETHER, shrink=False)
