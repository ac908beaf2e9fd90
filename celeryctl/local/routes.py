"""What the three source APIs answer: the routes and shapes of JSONPlaceholder and Random Data API."""

import math
import re
from collections.abc import Callable
from urllib.parse import parse_qs

import msgspec

from celeryctl.local import generate

Answer = tuple[int, dict[str, str], bytes]

JSON = {"Content-Type": "application/json; charset=utf-8"}
TEXT = {"Content-Type": "text/plain; charset=utf-8"}
MOST = 100  # records per draw
# What is drawn where; the second version of the API answers as the first.
DRAWN: dict[str, Callable[[int, int], generate.Record]] = {
    "/api/address/random_address": generate.address,
    "/api/v2/addresses": generate.address,
    "/api/business_credit_card/random_card": generate.card,
    "/api/v2/credit_cards": generate.card,
}
# The setting that each source's URL goes into.
ROUTES = {
    "USERS_URL": "/users",
    "ADDRESSES_URL": "/api/address/random_address",
    "CREDIT_CARDS_URL": "/api/business_credit_card/random_card",
}


def answer(path: str, query: str = "", *, base: str = "", users: int = 10, seed: int = 0, drawn: int = 0) -> Answer:
    """Status, headers and body for a GET.

    ``base`` is the scheme and host that the request named, for the Link header; ``drawn`` counts the anonymous records
    that were given before: the next ones are others.
    """
    if path in DRAWN:
        return _draw(DRAWN[path], _first(query), seed, drawn)
    if path in ("/users", "/users/"):
        return _list(f"{base}{path}?{query}", _first(query), users, seed)
    if (match := re.fullmatch(r"/users/([1-9]\d{0,18})", path)) and int(match[1]) <= users:
        return 200, JSON, msgspec.json.encode(generate.user(int(match[1]), seed))
    return 404, JSON, b"{}"


def wanted(path: str, query: str) -> int:
    """How many records a request to this path draws."""
    size = _integer(_first(query).get("size", "")) or 1
    return max(1, min(size, MOST)) if path in DRAWN else 0


def _draw(make: Callable[[int, int], generate.Record], query: dict[str, str], seed: int, drawn: int) -> Answer:
    size = _integer(query.get("size", ""))
    if size is None or size < 1:
        return 200, JSON, msgspec.json.encode(make(drawn, seed))
    return 200, JSON, msgspec.json.encode([make(drawn + number, seed) for number in range(min(size, MOST))])


def _list(url: str, query: dict[str, str], users: int, seed: int) -> Answer:
    """The list in json-server's pages: what it does with odd parameters included."""
    ids, headers = range(1, users + 1), dict(JSON)
    page, limit, start, end = (query.get(name, "") for name in ("_page", "_limit", "_start", "_end"))
    if page or limit or end:
        headers["X-Total-Count"] = str(users)
    if page:
        number, size = max(_integer(page) or 1, 1), _integer(limit) or 10
        ids = ids[(number - 1) * size : number * size]
        headers["Link"] = _links(url, number, size, len(ids), users)
    elif end:
        ids = ids[_integer(start) or 0 : _integer(end) or 0]
    elif limit:
        first = _integer(start) or 0
        ids = ids[first : first + (_integer(limit) or 0)]
    return 200, headers, msgspec.json.encode([generate.user(number, seed) for number in ids])


def _links(url: str, number: int, size: int, found: int, users: int) -> str:
    """The Link header of a page; empty where one page holds all, and past the end.

    The number is replaced in the URL as text, where the URL has it: a page 0 is served as page 1 and links to itself.
    """
    pages = {"first": 1, "prev": number - 1, "next": number + 1, "last": math.ceil(users / size)}
    if found in (0, users):
        return ""
    if number == 1:
        del pages["prev"]
    if number * size >= users:
        del pages["next"]
    return ", ".join(f'<{url.replace(f"page={number}", f"page={to}", 1)}>; rel="{rel}"' for rel, to in pages.items())


def _first(query: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(query).items()}


def _integer(text: str) -> int | None:
    """As parseInt of JavaScript: the number that a text begins with."""
    match = re.match(r"\s*([+-]?\d{1,18})", text)
    return int(match[1]) if match else None
