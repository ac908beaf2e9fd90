"""Messages that are none, in every way there is."""

import base64
import gzip
import json
import pickle
import uuid
import zlib
from typing import Any, NamedTuple

from celeryctl.cluster import envelope

FETCH = "celeryctl.fetch.users"
GOOD = [[], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]


def encoded(body: Any) -> str:
    return base64.b64encode(body if isinstance(body, bytes) else json.dumps(body).encode()).decode()


def message(body: Any = GOOD, *, without: str = "", **changes: Any) -> bytes:
    """A message as Celery writes one, with changes: to its headers, or with ``envelope_`` or ``properties_`` before."""
    tag = str(uuid.uuid4())
    headers = {"lang": "py", "task": FETCH, "id": tag, "root_id": tag, "timelimit": [None, None], "retries": 0}
    headers |= {"argsrepr": "[]", "kwargsrepr": "{}", "origin": "somebody@somewhere", "eta": None, "expires": None}
    info = {"exchange": "", "routing_key": "celery"}
    properties = {"correlation_id": tag, "delivery_mode": 2, "delivery_info": info, "priority": 0}
    properties |= {"body_encoding": "base64", "delivery_tag": tag, "reply_to": ""}
    whole = {"body": body if isinstance(body, str) else encoded(body), "content-encoding": "utf-8"}
    whole |= {"content-type": "application/json", "headers": headers, "properties": properties}
    for name, change in changes.items():
        part, _, key = name.rpartition("__")
        {"envelope": whole, "properties": properties}.get(part, headers)[key] = change
    for place in (whole, headers, properties):
        place.pop(without, None)
    return json.dumps(whole).encode()


class Bad(NamedTuple):
    name: str
    raw: bytes


def of_type(name: str, content: Any) -> str:
    return json.dumps({"__type__": name, "__value__": content})


BOMB = zlib.compress(b"[" + b" " * 300_000_000 + b"]")

BAD = [
    Bad("nothing", b""),
    Bad("not JSON", b"certainly not JSON"),
    Bad("not UTF-8", b"\xff\xfe\x00"),
    Bad("a half", message()[:100]),
    Bad("a number", b"1"),
    Bad("null", b"null"),
    Bad("a list", b"[]"),
    Bad("an empty object", b"{}"),
    Bad("nested", b"[" * 100_000),
    Bad("a type that is none", message().replace(b'"py"', of_type("uuid", 1).encode())),
    Bad("a decimal that is none", message().replace(b'"py"', of_type("decimal", "x").encode())),
    Bad("no headers", message(without="headers")),
    Bad("headers that are none", message(envelope__headers=[1])),
    Bad("no properties", message(without="properties")),
    Bad("no delivery tag", message(without="delivery_tag")),
    Bad("a delivery tag that is none", message(properties__delivery_tag={"a": 1})),
    Bad("no delivery info", message(without="delivery_info")),
    Bad("no id", message(without="id")),
    Bad("an id that is none", message(id=[1])),
    Bad("no task", message(without="task")),
    Bad("a task that is none", message(task={"a": 1})),
    Bad("an unknown task", message(task="os.system")),
    Bad("no body", message(without="body")),
    Bad("a null body", message(envelope__body=None)),
    Bad("an empty body", message("")),
    Bad("bad base64", message("%%%")),
    Bad("a body that is no JSON", message(b"\x80")),
    Bad("a body that is null", message(None)),
    Bad("a body that is no list", message({"args": []})),
    Bad("a body of two", message([[], {}])),
    Bad("a body of four", message([[], {}, None, 1])),
    Bad("arguments that are none", message(["x", {}, None])),
    Bad("a body nested", message(b"[" * 100_000)),
    Bad("a body too long", message([["x" * envelope.LONGEST], {}, None])),
    Bad("bad callbacks", message([[], {}, {"callbacks": 1}])),
    Bad("a bad time limit", message(timelimit=[1])),
    Bad("a time limit that is none", message(timelimit="soon")),
    Bad("a bad eta", message(eta=17)),
    Bad("an eta that is no time", message(eta="tomorrow")),
    Bad("a bad expiry", message(expires="never")),
    Bad("bad retries", message(retries="x")),
    Bad("bad stamps", message(stamped_headers=1)),
    Bad("pickle", message(pickle.dumps(GOOD), **{"envelope__content-type": "application/x-python-serialize"})),
    Bad("yaml", message(b"[[], {}, {}]", **{"envelope__content-type": "application/x-yaml"})),
    Bad("another character set", message(**{"envelope__content-encoding": "utf-16"})),
    Bad("an unknown encoding of the body", message(properties__body_encoding="rot13")),
    Bad("300 MB when unpacked", message(BOMB, compression="application/zlib")),
    Bad("gzip", message(gzip.compress(json.dumps(GOOD).encode()), compression="application/x-gzip")),
    Bad("the old protocol", message({"task": FETCH, "id": "1", "args": [], "kwargs": {}}, without="task")),
]  # fmt: skip
