"""Made-up records in the shapes of the three sources, the same again for the same seed and number.

A record is put together from parts that are made once; what is left to do for each is to choose among them. What a
record nests is shared with other records: it is to be read, not changed.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from functools import cache
from importlib.resources import files
from typing import Any, TypeVar

import msgspec

Record = dict[str, Any]
T = TypeVar("T")

# The only numbers that Random Data API gives; none belongs to anybody.
CARD_NUMBERS = ("1228-1221-1221-1431", "1234-2121-1221-1211", "1212-1221-1121-1234", "1211-1221-1234-2201")
PARTS = 997  # of each kind


class _Choice:
    """Choices that follow from what they are made for, 512 bits of them."""

    def __init__(self, kind: str, *what: int) -> None:
        self._bits = int.from_bytes(hashlib.blake2b(f"{kind} {what}".encode()).digest())

    def below(self, limit: int) -> int:
        self._bits, chosen = divmod(self._bits, limit)
        return chosen

    def of(self, options: Sequence[T]) -> T:
        self._bits, chosen = divmod(self._bits, len(options))
        return options[chosen]

    def word(self, kind: str) -> str:
        return self.of(_words()[kind])

    def digits(self, count: int) -> str:
        return f"{self.below(10**count):0{count}}"

    def uid(self) -> str:
        text = f"{self.below(1 << 128):032x}"
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"


def user(number: int, seed: int | None = 0) -> Record:
    """The user with this id. With seed 0 the first ten are JSONPlaceholder's; username and email are unique by id."""
    if not seed and 1 <= number <= 10:
        return _originals()[number - 1]
    choice = _Choice("user", seed or 0, number)
    first, last = choice.word("first"), choice.word("last")
    title = f"{choice.word('title')} " if choice.below(5) == 0 else ""
    handle = f"{first}.{_plain(last)}{number}"
    return {
        "id": number,
        "name": f"{title}{first} {last}",
        "username": handle,
        "email": f"{handle}@{choice.of(_domains())}",
        "address": choice.of(_homes()),
        "phone": choice.of(_phones()),
        "website": choice.of(_domains()),
        "company": choice.of(_companies()),
    }


def address(number: int, seed: int | None = 0) -> Record:
    choice = _Choice("address", seed or 0, number)
    return {"id": choice.below(10_000), "uid": choice.uid(), **choice.of(_streets()), **choice.of(_places())}


def card(number: int, seed: int | None = 0) -> Record:
    choice = _Choice("card", seed or 0, number)
    return {
        "id": choice.below(10_000),
        "uid": choice.uid(),
        "credit_card_number": choice.of(CARD_NUMBERS),
        "credit_card_expiry_date": choice.of(_expiry_dates()),
        "credit_card_type": choice.word("card_type"),
    }


def _data(name: str) -> Any:
    return msgspec.json.decode(files("celeryctl.local").joinpath(name).read_bytes())


@cache
def _originals() -> list[Record]:
    found: list[Record] = _data("users.json")
    return found


@cache
def _words() -> dict[str, list[str]]:
    return {kind: [word.replace("_", " ") for word in words.split()] for kind, words in _data("words.json").items()}


def _parts(make: Callable[[_Choice], T]) -> Callable[[], list[T]]:
    """A function that makes the parts of one kind when they are first needed."""
    return cache(lambda: [make(_Choice(make.__name__, number)) for number in range(PARTS)])


@_parts
def _domains(choice: _Choice) -> str:
    return f"{_plain(choice.word('last')).lower()}-{choice.word('noun')}.{choice.word('top')}"


@_parts
def _homes(choice: _Choice) -> Record:
    return {
        "street": _street(choice),
        "suite": f"{choice.word('unit')} {choice.digits(3)}",
        "city": _city(choice),
        "zipcode": _zip(choice),
        "geo": {"lat": f"{_degrees(choice, 90):.4f}", "lng": f"{_degrees(choice, 180):.4f}"},
    }


@_parts
def _phones(choice: _Choice) -> str:
    return re.sub("#", lambda _: choice.digits(1), choice.word("phone"))


@_parts
def _companies(choice: _Choice) -> Record:
    return {
        "name": choice.word("firm").format(choice.word("last"), choice.word("last")),
        "catchPhrase": f"{choice.word('trait')} {choice.word('kind')} {choice.word('noun')}",
        "bs": f"{choice.word('verb')} {choice.word('kind')} {choice.word('noun')}",
    }


@_parts
def _streets(choice: _Choice) -> Record:
    return {
        "street_name": _street(choice),
        "street_address": f"{choice.digits(4)} {_street(choice)}",
        "secondary_address": f"{choice.word('unit')} {choice.digits(3)}",
        "building_number": str(1 + choice.below(9_999)),
        "mail_box": f"PO Box {choice.digits(4)}",
        "community": f"{choice.word('community')} {choice.word('place')}",
        "street_suffix": choice.word("street"),
        "full_address": f"{choice.digits(3)} {_street(choice)}, {_city(choice)}, {_zip(choice)}",
    }


@_parts
def _places(choice: _Choice) -> Record:
    # The source's own states, abbreviations, countries, codes and zips do not belong together either.
    drawn = ("time_zone", "state", "state_abbr", "country", "country_code")
    return {
        "city": _city(choice),
        "city_prefix": choice.word("prefix"),
        "city_suffix": choice.word("suffix"),
        **{name: _zip(choice) for name in ("zip_code", "zip", "postcode")},
        **{name: choice.word(name) for name in drawn},
        "latitude": _degrees(choice, 90),
        "longitude": _degrees(choice, 180),
    }


@_parts
def _expiry_dates(choice: _Choice) -> str:
    # Not from today: the same seed gives the same cards tomorrow. So far ahead that none expires while in use.
    return str(date(2035, 1, 1) + timedelta(days=choice.below(365) + 365 * choice.below(5)))


def _plain(name: str) -> str:
    return name.replace("'", "")


def _street(choice: _Choice) -> str:
    return f"{choice.word('last')} {choice.word('street')}"


def _city(choice: _Choice) -> str:
    return f"{choice.word('prefix')} {choice.word('first')}{choice.word('suffix')}"


def _zip(choice: _Choice) -> str:
    return choice.of((choice.digits(5), f"{choice.digits(5)}-{choice.digits(4)}"))


def _degrees(choice: _Choice, most: int) -> float:
    return round(choice.below(2 * most * 10_000) / 10_000 - most, 4)
