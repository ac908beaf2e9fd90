"""A source on loopback, data sets that ask it, and a pipeline with settings as the product makes them."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from faultserver import Reply, Request

from celeryctl.dataset import Dataset, Source
from celeryctl.datasets import users
from celeryctl.pipeline.engine import Pipeline
from celeryctl.storage.database import session
from celeryctl.storage.ledger import Miss, Run
from celeryctl.storage.runs import Order
from celeryctl.storage.user import User

MOST = 60  # requests; whoever asks more often goes round in circles
PLACE = {"building_number": "7", "street_name": "s", "city": "c", "state": "s", "country": "c", "zip": "01234"}
Handler = Callable[[Request], Reply]


def person(number: int, **more: object) -> dict[str, object]:
    return {"id": number, "name": f"n{number}", "username": f"u{number}", "email": f"e{number}@example.com", **more}


def people(first: int, last: int) -> list[dict[str, object]]:
    return [person(number) for number in range(first, last + 1)]


def listing(**more: Any) -> Dataset:
    """Users from a listing of another kind; its URL comes from the settings."""
    return replace(users.DATASET, source=Source.listing("http://127.0.0.1/users", **more))


def at_most(handler: Handler, most: int = MOST) -> Handler:
    """Refuse after so many requests: then the run is no longer a success."""
    asked = []

    def limited(request: Request) -> Reply:
        asked.append(request)
        return handler(request) if len(asked) <= most else Reply.text("too often", status=403)

    return limited


def numbered(count: int, *, cap: int = 10**6, total: int | None = None) -> Handler:
    """Pages by `_page` and `_limit` as most servers have them, at most ``cap`` records each."""

    def answer(request: Request) -> Reply:
        size = min(int(request.query.get("_limit", cap)), cap)
        first = (int(request.query["_page"]) - 1) * size + 1
        reply = Reply.json(people(first, min(first + size - 1, count)))
        return reply if total is None else reply.with_header("X-Total-Count", str(total))

    return at_most(answer)


def by_size(*records: dict[str, Any]) -> Handler:
    """Draws: the records in turn, as many as `size` says."""
    return lambda request: Reply.json([records[n % len(records)] for n in range(int(request.query["size"]))])


def fetch(pipeline: Pipeline, dataset: str = "users", **more: Any) -> Run:
    """One run from its opening to its end, here."""
    opened = pipeline.open(Order(dataset=dataset, trigger="test", **more))
    assert opened is not None
    return pipeline.drain(opened.run.id, lambda _: None)


def stored() -> list[int]:
    with session():
        return [user.external_id for user in User.select().order_by(User.external_id)]


def missed(dataset: str = "users") -> dict[str, list[str]]:
    with session():
        return {miss.key: miss.reasons for miss in Miss.select().where(Miss.dataset == dataset)}


def ledger_text() -> str:
    """Everything that the ledger says in words."""
    with session():
        runs = [[run.error, run.position] for run in Run.select()]
        return json.dumps([runs, [[miss.key, miss.reasons, miss.payload] for miss in Miss.select()]])


def add_users(count: int) -> None:
    with session():
        User.insert_many([{**person(n), "external_id": n, "id": n} for n in range(1, count + 1)]).execute()
