"""Record the cassettes anew: `make cassettes`, or `python tests/record.py --help`.

Without options the live APIs are asked. Other servers with the same routes may stand in for them: the cassettes name
the public hosts all the same.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from cassette import RANDOM, USERS, record
from faultserver import FaultServer, Reply, Request

from celeryctl.errors import CeleryctlError
from celeryctl.http import Client, Meter

ADDRESSES, CARDS = "/api/address/random_address", "/api/business_credit_card/random_card"
LISTS = ["/users", "/users?_page=1&_limit=1000", "/users?_page=2&_limit=1000", "/users/1"] + [
    f"/users?_page={page}&_limit=4" for page in (0, 1, 2, 3, 4)
]
DRAWS = ["", "?size=1", "?size=2", "?size=10", "?size=100"]
HTML = "<!DOCTYPE html><html><head><title>Attention Required!</title></head><body>You have been blocked</body></html>"
USER = {"id": 1, "name": "Leanne Graham", "username": "Bret", "email": "Sincere@april.biz"}
CARD = {
    "credit_card_number": "1228-1221-1221-1431",
    "credit_card_expiry_date": "2035-01-01",
    "credit_card_type": "visa",
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Record the cassettes anew.")
    parser.add_argument("--users", default=USERS, metavar="URL", help="a JSONPlaceholder (default: %(default)s)")
    parser.add_argument("--random", default=RANDOM, metavar="URL", help="a Random Data API (default: %(default)s)")
    parser.add_argument("--objects", type=Path, metavar="FOLDER", help="addresses.json and cards.json to serve instead")
    options = parser.parse_args()
    with serving(options.objects) if options.objects else nullcontext(options.random) as random:
        take("users", options.users, USERS, LISTS)
        take("addresses", random, RANDOM, [ADDRESSES + size for size in DRAWS])
        take("credit_cards", random, RANDOM, [CARDS + size for size in DRAWS])
    with FaultServer() as server:
        faults(server)


def take(name: str, base: str, public: str, paths: list[str]) -> None:
    """Record the answers to some paths in a cassette. An error stays recorded: some cassettes are about errors."""
    client = Client(sources={}, allow_private=True, pause=0.1)
    with record(name, {base.rstrip("/"): public}):
        for path in paths:
            try:
                client.get(base.rstrip("/") + path, source=name, meter=Meter(), absent_ok=True)
            except CeleryctlError as error:
                print(f"{name}: {path}: {error}")  # noqa: T201
    client.close()
    print(f"{name}.yaml: {len(paths)} paths")  # noqa: T201


def faults(server: FaultServer) -> None:
    """What the live APIs answer on bad days only."""
    users, good = "/users?_page=1&_limit=1000", Reply.json([USER])
    again = {"Retry-After": "1"}
    scenes = {
        "429": [Reply.text("Retry later\n", 429, headers=again), good],
        "500": [Reply.text("Internal Server Error", 500), good],
        "html-403": [Reply(403, HTML.encode(), {"Content-Type": "text/html; charset=UTF-8"})],
        "retry-later": [Reply.text("Retry later\n"), good],
        "empty-list": [Reply.json([])],
    }
    for name, replies in scenes.items():
        server.answer("/users", *replies)
        take(name, server.url, USERS, [users])
    server.answer(CARDS, draw([CARD] * 3))
    take("short-list", server.url, RANDOM, [f"{CARDS}?size={size}" for size in (10, 7, 4, 1)])


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve recorded objects as the Random Data API gives them: its URL."""
    with FaultServer() as server:
        for path, name in ((ADDRESSES, "addresses.json"), (CARDS, "cards.json")):
            server.answer(path, draw(json.loads((folder / name).read_text())))
        yield server.url


def draw(objects: list[dict[str, Any]]) -> Callable[[Request], Reply]:
    """One object without ``size``, else a list of so many, as far as there are."""
    return lambda asked: Reply.json(objects[: int(asked.query["size"])] if "size" in asked.query else objects[0])


if __name__ == "__main__":
    main()
