"""A source fails in every way there is."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from urllib.parse import urlencode

from faultserver import Answer, FaultServer, Reply, Request

from celeryctl.local import generate, routes

from ..kit import Stage


def dying_between_two_calls() -> Callable[[Request], Reply]:
    calls = itertools.count()
    return lambda request: Reply.json([generate.address(1, 0)]) if next(calls) % 2 == 0 else Reply.close()


# Whatever is asked for.
OUTAGES: dict[str, Answer] = {
    "500": Reply.text("oops", status=500),
    "429": Reply.text("", status=429),
    "429 with Retry-After": Reply.text("", status=429).with_header("Retry-After", "1"),
    "Retry later": Reply.text("Retry later\n", status=429),
    "403 in HTML": Reply.text("<html><h1>Forbidden</h1>", status=403),
    "silent": Reply.json([], delay=5),
    "trickling": Reply.json([{"x": "y" * 100}], trickle=0.2),
    "truncated": Reply.text('[{"city": "x"'),
    "cut off": Reply.json([], missing=10),
    "a gzip bomb": Reply.gzipped(b"[" + b" " * (300 << 20) + b"]"),
    "redirecting": Reply.redirect("http://127.0.0.2:9/"),
    "resetting": Reply.reset(),
}
# Where addresses are asked for.
FAULTS: dict[str, Answer] = {
    **OUTAGES,
    "dying between two calls": dying_between_two_calls(),
    "nothing": Reply.json([]),
}
REJECTIONS: dict[str, Answer] = {
    "an object": Reply.json({"error": "none"}),
    "another schema": lambda request: Reply.json([{"x": 1}] * int(request.query["size"])),
    "null fields": lambda request: Reply.json(
        [{**generate.address(1, 0), "city": None}] * int(request.query["size"])
    ),
}  # fmt: skip


class Sources:
    """The local source APIs, each of which can be told to answer otherwise. They have ``users``, which may grow."""

    def __init__(self, server: FaultServer, users: int, latency: float) -> None:
        self.users = users
        self._server, self._latency, self._drawn = server, latency, itertools.count()
        for path in routes.ROUTES.values():
            server.answer(path, self.healthy)

    def healthy(self, request: Request) -> Reply:
        drawn = routes.MOST * next(self._drawn)
        host = f"http://{request.headers['host']}"
        status, headers, body = routes.answer(
            request.path, urlencode(request.query), base=host, users=self.users, drawn=drawn
        )
        return Reply(status, body, headers, delay=self._latency)

    def slow(self, request: Request) -> Reply:
        return replace(self.healthy(request), delay=1.5)

    @contextmanager
    def answering(self, _: Stage, *, path: str, answer: Answer) -> Iterator[None]:
        self._server.answer(path, answer)
        try:
            yield
        finally:
            self._server.answer(path, self.healthy)
