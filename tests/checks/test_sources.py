import re
from collections.abc import Iterator
from typing import Any

import pytest
from faultserver import FaultServer, Reply

from celeryctl.local import generate
from celeryctl.storage import sources

from .kit import look

pytestmark = pytest.mark.integration


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultServer]:
    """Where users and addresses come from."""
    with FaultServer() as server:
        monkeypatch.setenv("ALLOW_PRIVATE_SOURCES", "1")
        for name in ("USERS", "ADDRESSES"):
            monkeypatch.setenv(f"{name}_URL", f"{server.url}/{name}?token=s3cret")
        yield server


def user(**changes: Any) -> dict[str, Any]:
    return generate.user(1, 0) | changes


def test_a_source_that_answers_as_it_should_is_well(server: FaultServer) -> None:
    server.answer("/USERS", Reply.json([user()]))
    server.answer("/ADDRESSES", Reply.json(generate.address(1, 0)))
    for name in ("users", "addresses"):
        found = look(f"source of {name}")
        assert found.state == "ok", found
        assert "s3cret" not in str(found)
    assert [request.query.get("_limit") for request in server.requests] == ["1", None]


@pytest.mark.parametrize(
    ("answer", "state", "why"),
    [
        (Reply(503), "unreachable", "503"),
        (Reply.text("Retry later"), "unreachable", "Retry later"),
        (Reply.json({}, status=404), "failed", "404"),
        (Reply.json([user(email=None)]), "failed", "email"),
        (Reply.json([{"other": 1}]), "failed", "missing"),
        (Reply.json([]), "ok", "an empty list"),
    ],
    ids=["503", "text", "404", "a record without", "another shape", "nobody"],
)
def test_what_a_source_answers_is_judged(server: FaultServer, answer: Reply, state: str, why: str) -> None:
    server.answer("/USERS", answer)
    found = look("source of users")
    assert found.state == state, found
    assert why in found.why
    assert bool(found.fix) == (state != "ok")
    assert "s3cret" not in str(found)


def test_a_draw_that_gives_nothing_is_wrong(server: FaultServer) -> None:
    server.answer("/ADDRESSES", Reply.json([]))
    assert look("source of addresses").state == "failed"


LOOKUP = """
import msgspec
from peewee import ForeignKeyField, TextField
from celeryctl import Dataset, Row, Source, User
from datetime import timedelta

class Loyalty(Row):
    user = ForeignKeyField(User, unique=True, on_delete="CASCADE")
    tier = TextField()

class Record(msgspec.Struct):
    external_id: int
    tier: str

DATASET = Dataset(name="loyalty", help="Loyalty.", model=Loyalty, record=Record, per="users",
    to_row=lambda record: {"tier": record.tier}, every=timedelta(minutes=10),
    source=Source.lookup("https://crm.example/loyalty?ids={external_ids}", key="external_id", batch=100))
"""


@pytest.mark.parametrize(("answer", "state"), [(Reply.json([{"external_id": 1, "tier": "gold"}]), "ok"),
                                               (Reply.json({}, status=404), "ok"),
                                               (Reply.json([{"external_id": 1}]), "failed")])  # fmt: skip
def test_a_lookup_is_asked_for_somebody(
    server: FaultServer, answer: Reply, state: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "loyalty.py").write_text(LOOKUP)
    monkeypatch.setenv("CELERYCTL_DATASETS", str(tmp_path / "loyalty.py"))
    monkeypatch.setenv("LOYALTY_URL", f"{server.url}/loyalty?ids={{external_ids}}")
    server.answer("/loyalty", answer)
    assert look("source of loyalty").state == state
    assert [request.query for request in server.requests] == [{"ids": "1"}]


def test_a_source_that_the_schedule_leaves_alone_is_told(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    assert look("cooling down").state == "ok"
    for _ in range(3):
        sources.failed("credit_cards", "503")
    found = look("cooling down")
    assert (found.state, found.fix) == ("warning", "celeryctl fetch credit-cards")
    assert re.fullmatch(
        r"credit_cards: The schedule asks its source again in (\d+ s|1 min), as 3 runs in a row have failed; a .*",
        found.why,
    )
