"""The yardstick: the fastest sensible way from the APIs into the tables on one machine, without any queue.

http.client with keep-alive, msgspec into typed structs, COPY into the real tables (keys, foreign keys and indexes in
place, fsync on). No upsert, no retries, no validation beyond types, no encryption: a limit, not a product. It works in
a schema of its own, named limit_, and leaves nothing of it.
"""

import http.client
import io
import multiprocessing
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import msgspec
import psycopg2

from benchmarks.row import MeasureError
from celeryctl.settings.parse import concurrency

CHUNK, PAGE, SIZE = 10_000, 1_000, 100  # users per commit, users per page, records per request
PROCESSES = concurrency("auto")  # as many as a worker of ours has


class Company(msgspec.Struct, gc=False):
    name: str
    catchPhrase: str  # noqa: N815 - the source's spelling
    bs: str


class User(msgspec.Struct, gc=False):
    id: int
    name: str
    username: str
    email: str
    phone: str
    website: str
    company: Company


class Address(msgspec.Struct, gc=False):
    building_number: str
    street_name: str
    city: str
    state: str
    country: str
    postcode: str


class Card(msgspec.Struct, gc=False):
    credit_card_number: str
    credit_card_type: str
    credit_card_expiry_date: str


SCHEMA = """
DROP SCHEMA IF EXISTS limit_ CASCADE; CREATE SCHEMA limit_; SET search_path TO limit_;
CREATE TABLE users (id bigserial PRIMARY KEY, external_id bigint NOT NULL UNIQUE,
  name text NOT NULL, username text NOT NULL, email text NOT NULL, phone text, website text,
  company_name text, company_catchphrase text, company_bs text,
  created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE addresses (id bigserial PRIMARY KEY, user_id bigint NOT NULL UNIQUE REFERENCES users ON DELETE CASCADE,
  street_number text, street_name text, city text, state text, country text, postal_code text,
  created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE credit_cards (id bigserial PRIMARY KEY, user_id bigint NOT NULL UNIQUE REFERENCES users ON DELETE CASCADE,
  card_number text, card_type text, expiry_date text,
  created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now());
"""
COPIES = (
    "COPY users (id,external_id,name,username,email,phone,website,company_name,company_catchphrase,company_bs)"
    " FROM STDIN",
    "COPY addresses (user_id,street_number,street_name,city,state,country,postal_code) FROM STDIN",
    "COPY credit_cards (user_id,card_number,card_type,expiry_date) FROM STDIN",
)
COUNTS = "SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM addresses), (SELECT count(*) FROM credit_cards)"
USERS = msgspec.json.Decoder(list[User])
ADDRESSES = msgspec.json.Decoder(list[Address])
CARDS = msgspec.json.Decoder(list[Card])
_local = threading.local()


def get(api: str, path: str) -> bytes:
    parts = urlsplit(api)
    if not hasattr(_local, "connection"):
        _local.connection = http.client.HTTPConnection(parts.netloc)
    _local.connection.request("GET", parts.path + path)
    body: bytes = _local.connection.getresponse().read()
    return body


def users(api: str, page: int) -> str:
    return "".join(
        f"{u.id}\t{u.id}\t{u.name}\t{u.username}\t{u.email}\t{u.phone}\t{u.website}"
        f"\t{u.company.name}\t{u.company.catchPhrase}\t{u.company.bs}\n"
        for u in USERS.decode(get(api, f"/users?_page={page}&_limit={PAGE}"))
    )


def addresses(api: str, first: int) -> str:
    found = ADDRESSES.decode(get(api, f"/api/address/random_address?size={SIZE}"))
    return "".join(
        f"{i}\t{a.building_number}\t{a.street_name}\t{a.city}\t{a.state}\t{a.country}\t{a.postcode}\n"
        for i, a in enumerate(found, first)
    )


def cards(api: str, first: int) -> str:
    found = CARDS.decode(get(api, f"/api/business_credit_card/random_card?size={SIZE}"))
    return "".join(
        f"{i}\t{c.credit_card_number}\t{c.credit_card_type}\t{c.credit_card_expiry_date}\n"
        for i, c in enumerate(found, first)
    )


def load(first: int, last: int, dsn: str, api: str, threads: int) -> None:
    """Bring users first..last (inclusive, multiples of PAGE) with their addresses and cards into the tables."""
    pool = ThreadPoolExecutor(threads) if threads else None
    run: Callable[..., Iterable[str]] = pool.map if pool else map
    chunks = [list(parts(low, min(low + CHUNK - 1, last), api, run)) for low in range(first, last + 1, CHUNK)]
    with closing(psycopg2.connect(dsn)) as db, db.cursor() as cursor:
        cursor.execute("SET search_path TO limit_")
        for chunk in chunks:  # lazy without threads, already running with them
            for copy, part in zip(COPIES, chunk, strict=True):
                cursor.copy_expert(copy, io.StringIO("".join(part)), size=1 << 16)
            db.commit()


def parts(low: int, high: int, api: str, run: Callable[..., Iterable[str]]) -> Iterable[Iterable[str]]:
    """The lines of the three tables for these users."""
    yield run(lambda page: users(api, page), range((low - 1) // PAGE + 1, (high - 1) // PAGE + 2))
    yield run(lambda first: addresses(api, first), range(low, high + 1, SIZE))
    yield run(lambda first: cards(api, first), range(low, high + 1, SIZE))


def run(n: int, *, dsn: str, api: str, threads: int = 0) -> float:
    """Seconds for n users from empty tables. ``threads`` fetch single pages concurrently in each of the processes.

    Raises MeasureError unless all three tables hold n rows then.
    """
    with closing(psycopg2.connect(dsn)) as db, db.cursor() as cursor:
        db.autocommit = True
        cursor.execute(SCHEMA)
        cursor.execute("CHECKPOINT")
        try:
            seconds = _timed(n, (dsn, api, threads))
            cursor.execute(COUNTS)
            if (found := cursor.fetchone()) != (n, n, n):
                raise MeasureError(f"the limit stored {found} rows instead of {n} each")
        finally:
            cursor.execute("DROP SCHEMA limit_ CASCADE")
    return seconds


def _timed(n: int, arguments: tuple[Any, ...]) -> float:
    share = -(-n // PROCESSES // PAGE) * PAGE
    # Forked, as the pool of Celery is: nothing has to be imported within the time that is taken.
    fork = multiprocessing.get_context("fork")
    spans = [(low, min(low + share - 1, n)) for low in range(1, n + 1, share)]
    workers = [fork.Process(target=load, args=(*span, *arguments), daemon=True) for span in spans]
    began = time.perf_counter()
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return time.perf_counter() - began
    finally:
        for worker in workers:
            worker.terminate()
