"""Looking for card numbers where none may be: in bytes, files, databases, brokers, processes and pages.

sweep = Sweep(["…", "…"])
sweep.files("the work folder", tmp_path)
sweep.database("the database", url)
sweep.assert_clean()
print(sweep.looked)   # (place, bytes) of all that was looked at
"""

import base64
import gzip
import mmap
import os
import re
import socket
import threading
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby
from os.path import commonprefix
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import psutil
import psycopg2
import redis
from cardnumbers import ISSUER, codings, digits_of
from psycopg2 import sql

# All that can stand between digits goes before anything is looked for: spaces, dashes, NULs, quotes, no-break spaces …
BETWEEN = bytes(code for code in range(256) if not (code < 128 and chr(code).isalnum()))
ESCAPED = (b"\\u00a0", b"\\xa0", b"&nbsp;", b"%20")
TELLING = 12  # digits in a row that are as good as the number
SEALED = re.compile(r"v1\.[0-9a-f]{8}\.[A-Za-z0-9+/]+=*")
COLUMNS = """
SELECT c.table_schema, c.table_name, array_agg(c.column_name::text ORDER BY c.ordinal_position)
FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
WHERE t.table_type IN ('BASE TABLE', 'LOCAL TEMPORARY')
  AND c.table_schema NOT IN ('information_schema', 'pg_catalog') GROUP BY 1, 2
"""
# What the server itself remembers of this database's statements and values; others may be those of another test.
REMEMBERED = (
    ("pg_stat_activity", "SELECT t::text FROM pg_stat_activity t WHERE datname = current_database()"),
    ("pg_stats", "SELECT t::text FROM pg_stats t"),
)
BODY = re.compile(rb'"body": ?"([A-Za-z0-9+/=]+)"')


@dataclass
class Sweep:
    """``numbers``: what is looked for. ``looked``: places and bytes. ``found``: where a number is, without it."""

    numbers: Iterable[str]
    looked: list[tuple[str, int]] = field(default_factory=list)
    found: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._needles, self._sieve = _needles(*sorted({digits_of(number) for number in self.numbers}))

    def text(self, place: str, data: bytes | str, *, count: bool = True) -> None:
        data = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
        if count:
            self.looked.append((place, len(data)))
        for mark in ESCAPED:
            data = data.replace(mark, b"")
        self.found += sorted({f"{place}: {told}" for told in self._told(data.translate(None, BETWEEN))})

    def _told(self, data: bytes) -> Iterator[str]:
        """What to tell of the numbers in there. Only where one can begin is looked further: there are thousands."""
        for beginning, length in self._sieve:
            at = data.find(beginning)
            while at >= 0:
                if told := self._needles.get(data[at : at + length]):
                    yield told
                at = data.find(beginning, at + 1)

    def files(self, place: str, *folders: Path) -> None:
        """Names and bytes of all files below these folders, that are there and can be read."""
        paths = sorted(one for folder in folders for one in folder.rglob("*"))
        self.text(f"{place}: names", b"\n".join(os.fsencode(path.name) for path in paths), count=False)
        total = 0
        for path in paths:
            with suppress(OSError, ValueError):  # gone meanwhile, a socket, or empty
                if path.is_symlink() or not path.is_file():
                    continue
                with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                    total += len(content)
                    self.text(f"{place}: {_shown(path, folders)}", content[:], count=False)
        self.looked.append((place, total))

    def database(self, place: str, url: str, *, sealed: Iterable[str] = ("card_number",)) -> None:
        """Every column of every table as text; of those with card numbers also that each value is encrypted."""
        total = 0
        with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            cursor.execute(COLUMNS)
            tables = cursor.fetchall()
            for table, statement in REMEMBERED:
                total += self._rows(f"{place}: table {table}", cursor, statement)
            for schema, table, columns in tables:
                names = sql.SQL(", ").join(map(sql.Identifier, columns))
                statement = sql.SQL("SELECT t::text FROM (SELECT {} FROM {}) AS t")
                told = f"{place}: table {table}"
                total += self._rows(told, cursor, statement.format(names, sql.Identifier(schema, table)))
                for column in {*columns} & {*sealed}:
                    cursor.execute(sql.SQL("SELECT {}::text FROM {}").format(
                        sql.Identifier(column), sql.Identifier(schema, table)))  # fmt: skip
                    if not all(SEALED.fullmatch(value) for (value,) in cursor.fetchall() if value is not None):
                        self.found.append(f"{place}: {table}.{column} holds what is not encrypted")
        self.looked.append((place, total))

    def _rows(self, place: str, cursor: Any, statement: str | sql.Composed) -> int:
        cursor.execute(statement)
        held = "\n".join(row for (row,) in cursor.fetchall())
        self.text(place, held, count=False)
        return len(held)

    def broker(self, place: str, url: str, *, shared: bool = False) -> None:
        """Every key of every database, and what the server remembers; of one that others share the URL's own keys."""
        total = 0
        with closing(redis.Redis.from_url(url)) as client:
            held = [] if shared else [repr(client.slowlog_get(1000)).encode(), repr(client.client_list()).encode()]
            known = [int(name[2:]) for name in client.info("keyspace")]  # type: ignore[union-attr]
            databases = [client.connection_pool.connection_kwargs["db"]] if shared else known
        for number in databases:
            with closing(redis.Redis.from_url(url, db=number)) as client:
                held += [part for key in client.scan_iter() for part in (key, *_values(client, key))]
        for one in held:
            total += len(one)
            for part in unpacked(one):
                self.text(f"{place}: its keys", part, count=False)
        self.looked.append((place, total))

    def processes(self, place: str, processes: Iterable[psutil.Process]) -> None:
        """Command lines and environments."""
        total = 0
        for process in processes:
            for name in ("cmdline", "environ"):
                with suppress(OSError):
                    told = Path(f"/proc/{process.pid}/{name}").read_bytes()
                    total += len(told)
                    self.text(f"{place}: {name} of {process.pid}", told, count=False)
        self.looked.append((place, total))

    def page(self, url: str, *, place: str | None = None, **headers: str) -> str:
        """What a GET answers, head and body."""
        with self._opened(url, headers) as answer:
            body: bytes = answer.read()
            self.text(place or url, str(answer.headers).encode() + body)
        return body.decode(errors="replace")

    @staticmethod
    def _opened(url: str, headers: dict[str, str]) -> Any:
        try:
            return urlopen(Request(url, headers=headers), timeout=30)
        except HTTPError as exc:  # a page, too
            return exc

    @property
    def sizes(self) -> list[tuple[str, int]]:
        """Places and bytes, each place once."""
        found = Counter[str]()
        for place, size in self.looked:
            found[place] += size
        return [*found.items()]

    def assert_clean(self) -> None:
        assert not self.found, "\n".join(["a card number is where none may be:", *sorted({*self.found})])


@lru_cache(maxsize=2)
def _needles(*digits: str) -> tuple[dict[bytes, str], set[tuple[bytes, int]]]:
    """What to look for, and what to tell of it: of the number its end alone. And how that begins, how long it is."""
    needles, sieve = dict[bytes, str](), set[tuple[bytes, int]]()
    for _, alike in groupby(digits, lambda one: (one[:ISSUER], len(one))):
        numbers = [*alike]
        for part in (slice(TELLING), slice(-TELLING, None)):
            coded = [[*codings(one[part], one)] for one in numbers]
            needles |= {needle: f"…{one[-4:]}" for one, forms in zip(numbers, coded, strict=True) for needle in forms}
            sieve |= {(commonprefix(forms), len(forms[0])) for forms in zip(*coded, strict=True)}  # noqa: RUF071
    return needles, sieve


@contextmanager
def overheard(url: str) -> Iterator[list[bytes]]:
    """All that is sent to a broker from now on, messages and events too: what is in no key any more at the end."""
    heard: list[bytes] = []
    with closing(redis.Redis.from_url(url, socket_timeout=None)) as client, client.monitor() as monitor:
        connection = monitor.connection

        def listen() -> None:
            with suppress(redis.RedisError, OSError, ValueError, AttributeError):
                while True:
                    heard.append(connection.read_response(disable_decoding=True))

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        try:
            yield heard
        finally:
            # The thread waits for what comes; nothing comes any more.
            connection._sock.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def unpacked(data: bytes, depth: int = 4) -> Iterator[bytes]:
    """The bytes, and what is packed in them: a message's body in base64, or what is compressed."""
    yield data
    if not depth:
        return
    inner = [part for body in BODY.findall(data) for part in [_decoded(body)] if part]
    for unpack in (gzip.decompress, zlib.decompress):
        with suppress(OSError, EOFError, zlib.error):
            inner.append(unpack(data))
    for one in inner:
        yield from unpacked(one, depth - 1)


def _decoded(body: bytes) -> bytes:
    with suppress(ValueError):
        return base64.b64decode(body)
    return b""


def _values(client: "redis.Redis", key: bytes) -> list[bytes]:
    """What a key holds, whatever its type."""
    readers: dict[bytes, Any] = {
        b"string": lambda: [client.get(key)],
        b"list": lambda: client.lrange(key, 0, -1),
        b"set": lambda: client.smembers(key),
        b"zset": lambda: [part for one in client.zrange(key, 0, -1, withscores=True) for part in one],
        b"hash": lambda: [part for one in client.hgetall(key).items() for part in one],  # type: ignore[union-attr]
        b"stream": lambda: client.xrange(key),
    }
    found = readers.get(client.type(key), lambda: [client.dump(key)])()  # type: ignore[arg-type]
    return [one if isinstance(one, bytes) else repr(one).encode() for one in found]


def _shown(path: Path, folders: Iterable[Path]) -> str:
    return str(next(path.relative_to(folder) for folder in folders if path.is_relative_to(folder)))
