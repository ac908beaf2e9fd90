"""Sources whose every answer holds card numbers where they do the most harm, and a data set whose code repeats them."""

import itertools
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from cardnumbers import ISSUER, fresh, spelt
from faultserver import FaultServer, Reply, Request

from celeryctl.local import generate

# What its rows are refused by stands in the database: see CONSTRAINTS.
DECLARATION = '''
"""A data set whose author thought of nothing bad."""

import logging
import sys
import threading
import warnings
from datetime import timedelta

from msgspec import Struct
from peewee import CharField, ForeignKeyField, IntegerField, TextField

from celeryctl import Dataset, Row, Source, User
from celeryctl.storage.row import EncryptedField


class Leak(Row):
    user = ForeignKeyField(User, backref="leaks", unique=True, on_delete="CASCADE")
    number = EncryptedField()
    note, short, amount = TextField(null=True), CharField(10, null=True), IntegerField(null=True)


class Record(Struct):
    external_id: int
    number: str
    how: str

    def __post_init__(self):
        if self.how == "check":
            raise LookupError(self.number)


def to_row(record):
    number, row = record.number, {"number": record.number}
    match record.how:
        case "value":
            raise ValueError(f"no such card: {number}")
        case "dotted":
            raise ValueError("no such card: " + number.replace("-", "."))
        case "any":
            raise RuntimeError(record)
        case "chain":
            try:
                int(number)
            except ValueError as exc:
                raise KeyError(number) from exc
        case "print":
            print("got", record)
            print("got", record, file=sys.stderr, flush=True)
        case "warn":
            warnings.warn(f"odd: {record}")
        case "log":
            logging.getLogger("author").error("odd: %s", record)
            logging.getLogger("author").error("odd: %s", {"card": number.replace("-", " ")}, stack_info=True)
        case "thread":
            thread = threading.Thread(target=int, args=(number,))
            thread.start()
            thread.join()
        case "half":
            row["number"] += "\\ud800"
        case "column":
            row[number] = 1
        case "short" | "amount" | "unique" | "check_violation" | "serialization" | "deadlock":
            row[record.how if record.how in ("short", "amount") else "note"] = f"{record.how} {number}"
    return row


DATASET = Dataset(
    name="leaks", help="What leaks.", model=Leak, record=Record, to_row=to_row, every=timedelta(days=1), per="users",
    source=Source.lookup("https://api.example/leaks?ids={external_ids}", key="external_id", batch=100),
)
'''
# The words of an error as PostgreSQL's own have them: the values stand in its DETAIL.
CONSTRAINTS = """
CREATE SEQUENCE times;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE told text := 'Failing row contains (' || NEW.note || ').';
BEGIN
  IF NEW.note LIKE 'unique %' THEN
    RAISE unique_violation USING MESSAGE = 'duplicate key value violates unique constraint "x"', DETAIL = told;
  ELSIF NEW.note LIKE 'serialization %' AND nextval('times') <= 2 THEN
    RAISE serialization_failure USING MESSAGE = 'could not serialize access', DETAIL = told;
  ELSIF NEW.note LIKE 'deadlock %' AND nextval('times') <= 4 THEN
    RAISE deadlock_detected USING MESSAGE = 'deadlock detected', DETAIL = told, HINT = told;
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON leak FOR EACH ROW EXECUTE FUNCTION refuse();
ALTER TABLE leak ADD CONSTRAINT no_number CHECK (note !~ '\\d{4}');
"""
# One user each.
WAYS = ("check", "value", "dotted", "any", "chain", "print", "warn", "log", "thread", "short", "amount", "unique",
        "check_violation", "good")  # fmt: skip
PASSING = ("serialization", "deadlock")


@dataclass
class Leaks:
    """The sources. ``numbers``: every number that they have served; one is served once only, so that it tells by which
    way it got where it was found. ``cards`` and ``leaks`` may be given another way to answer."""

    server: FaultServer
    users: int
    numbers: list[str] = field(default_factory=list)
    holding: threading.Event = field(default_factory=threading.Event)
    ways: tuple[str, ...] = WAYS

    def __post_init__(self) -> None:
        self._issuer = fresh(1)[0][:ISSUER]
        self._lock = threading.Lock()
        self.server.answer("/users", self._users)
        self.server.answer("/addresses", lambda asked: Reply.json([self._address() for _ in range(_size(asked))]))
        self.server.answer("/cards", self.draw)
        self.server.answer("/leaks", self._leaks)

    @property
    def variables(self) -> dict[str, str]:
        url = self.server.url
        return {"USERS_URL": f"{url}/users", "ADDRESSES_URL": f"{url}/addresses", "CREDIT_CARDS_URL": f"{url}/cards",
                "LEAKS_URL": f"{url}/leaks?ids={{external_ids}}"}  # fmt: skip

    def number(self, mark: str = "-", length: int = 16) -> str:
        """A new one."""
        with self._lock:
            (found,) = fresh(1, length, self._issuer)
            self.numbers.append(found)
        return spelt(found, mark)

    def _users(self, asked: Request) -> Reply:
        if asked.query.get("_page", "1") != "1":
            return Reply.json([])
        good = [generate.user(number, 0) for number in range(1, self.users + 1)]
        return Reply(body=b"[" + b",".join([*(json.dumps(one).encode() for one in good), *self._bad_users()]) + b"]")

    def _bad_users(self) -> Iterator[bytes]:
        """None of them has all that a user must have: what is whole is stored as it came."""
        ids = itertools.count(1001)
        for of in (
            lambda: {"phone": self.number()},
            lambda: {"name": int(self.number(""))},
            lambda: {"name": self.number(" "), "username": [self.number()]},
            lambda: {"address": {"geo": {"lat": [{"card": self.number("\u00a0")}]}}},
            lambda: {self.number(): 1, "card": {self.number(""): {}}},
            lambda: {"card": self.number().split("-"), "cards": [*map(int, self.number(""))]},
            lambda: {"name": f"a\0{self.number('.')}", "username": "u", "email": "e"},
        ):
            yield json.dumps({"id": next(ids), **of()}).encode()
        yield b'{"id": "%s", "name": "\xff%s\xff"}' % (self.number().encode(), self.number("").encode())
        yield json.dumps(self.number()).encode()

    def _address(self) -> dict[str, Any]:
        return {**generate.address(1), "city": None, "street_address": self.number(), "card": int(self.number(""))}

    def draw(self, asked: Request) -> Reply:
        """Cards: two in three are faulty, each in another way."""
        makers = itertools.cycle(self._cards())
        return Reply(body=b"[" + b",".join(next(makers)() for _ in range(_size(asked))) + b"]")

    def _cards(self) -> list[Callable[[], bytes]]:
        good = {"credit_card_type": "visa", "credit_card_expiry_date": "2028-01-31"}
        name = "credit_card_number"

        def made(of: Callable[[], dict[Any, Any]]) -> Callable[[], bytes]:
            return lambda: json.dumps({**good, **of()}).encode()

        return [
            made(lambda: {name: self.number()}),
            *(made(lambda length=length: {name: self.number("", length)}) for length in (13, 15, 19)),
            made(lambda: {name: self.number(" ")}),
            made(lambda: {name: self.number(), "credit_card_type": None}),
            made(lambda: {name: int(self.number(""))}),
            made(lambda: {name: [self.number()]}),
            made(lambda: {name: {"value": self.number()}}),
            made(lambda: {name: "visa", "credit_card_type": self.number()}),
            made(lambda: {name: "visa", "credit_card_expiry_date": self.number(" ")}),
            made(lambda: {self.number(): 1, "id": int(self.number(""))}),
            made(lambda: {name: f"{self.number()}\0"}),
            lambda: b'{"%s": "\xc3%s", "credit_card_type": "visa"}' % (name.encode(), self.number().encode()),
            made(lambda: {name: "", "credit_card_type": f"{self.number()} {self.number('.')}"}),
        ]

    def _leaks(self, asked: Request) -> Reply:
        # By the user, not by the place: a batch that is refused is asked for again in pieces.
        found = [
            {"external_id": one, "number": self.number(), "how": self.ways[one % len(self.ways)]}
            for one in map(int, asked.query["ids"].split(","))
        ]
        # Somebody whom nobody has asked for.
        return Reply.json([*found, {"external_id": int(self.number("")), "number": self.number(), "how": "value"}])

    def answers(self) -> dict[str, Callable[[Request], Reply]]:
        """Answers for the cards as a whole, each bad in another way."""
        return {
            "an HTML page": lambda _: Reply.text(f"<p>Card <b>{self.number(' ')}</b> failed: {self.number()}</p>", 500),
            "a page with no-break spaces": lambda _: Reply.text(f"No {self.number(chr(160))}, {self.number('.')}", 403),
            "a page with entities": lambda _: Reply.text(f"<p>{self.number('&nbsp;')}", 404),
            "JSON with 422": lambda _: Reply.json({"card": self.number()}, status=422),
            "JSON with 503": lambda _: Reply.json([self.number(" ")], status=503),
            "text": lambda _: Reply.text(f"Retry later, {self.number()}"),
            "broken off": lambda _: Reply(body=f'[{{"credit_card_number": "{self.number()}"'.encode(), missing=99),
            "no JSON after all": lambda _: Reply(body=f'["{self.number()}" oh]'.encode()),
            "too deep": lambda _: Reply(body=b"[" * 3000 + self.number("").encode() + b"]" * 3000),
            "too much": lambda _: Reply.json([{"credit_card_number": self.number()}] * 9000),
            "no records": lambda _: Reply.json({"error": {"card": self.number()}}),
            "a redirect": self._redirected,
            "a redirect elsewhere": lambda _: Reply.redirect(f"http://{self.number()}.example/?card={self.number()}"),
            "headers": lambda _: Reply.text(
                "no", 429, headers={"X-Card": self.number(), "Retry-After": self.number("")}),
        }  # fmt: skip

    def _redirected(self, asked: Request) -> Reply:
        """To a page whose name is a number."""
        path = f"/card/{self.number()}"
        self.server.answer(path, self.draw)
        return Reply.redirect(f"{path}?size={_size(asked)}&next={self.number('')}")


def _size(asked: Request) -> int:
    return int(asked.query.get("size", 1))
