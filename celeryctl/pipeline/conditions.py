"""Conditions on the state of the cluster, such as ``queue=0 and running=0``: parsed, and held against its values.

condition  = conjunction {"or" conjunction}
conjunction = term {"and" term}
term       = "not" term | "(" condition ")" | field operator number
operator   = "=" | "==" | "!=" | "<" | "<=" | ">" | ">="
"""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from celeryctl.errors import UsageError

FIELDS = ("queue", "unacked", "running", "failed", "quarantined", "workers")
MISSING = "missing."
TOKEN = re.compile(r"\s*(?:(\d+)|([a-z_][\w.-]*)|(==|!=|<=|>=|[=<>()]))", re.IGNORECASE | re.ASCII)
OPERATORS: Mapping[str, Callable[[int, int], bool]] = {
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
WORDS = ("and", "or", "not")
DEEPEST = 50  # parentheses and nots within each other

Values = Mapping[str, int | None]
Truth = bool | None  # None: unknown, as one of the values is
Condition = Callable[[Values], Truth]


@dataclass(frozen=True, slots=True)
class Parsed:
    """A condition, and the fields that it looks at."""

    holds: Condition
    fields: tuple[str, ...]


def parse(text: str, datasets: Sequence[str]) -> Parsed:
    """Read a condition about these data sets. Raises UsageError, with the place of what is wrong."""
    return _Parser(text, [*FIELDS, *(f"{MISSING}{name}" for name in datasets)]).parse()


class _Parser:
    """Goes through the text once, from left to right."""

    def __init__(self, text: str, fields: Sequence[str]) -> None:
        self._text, self._fields = text, fields
        self._tokens = list(self._split())
        self._at = 0
        self._depth = 0
        self._named: dict[str, None] = {}

    def parse(self) -> Parsed:
        if not self._tokens:
            raise self._wrong(0, "it is empty")
        holds = self._condition()
        if self._at < len(self._tokens):
            raise self._wrong(self._tokens[self._at][1], f"after a whole condition comes {self._peek()!r}, not and, or")
        return Parsed(holds, tuple(self._named))

    def _split(self) -> list[tuple[str, int]]:
        found, place, end = [], 0, len(self._text.rstrip())
        while place < end:
            token = TOKEN.match(self._text, place)
            if token is None:
                start = place + len(self._text[place:]) - len(self._text[place:].lstrip())
                raise self._wrong(start, f"{self._text[start]!r} means nothing here")
            found.append((token[0].strip(), token.start(token.lastindex or 0)))
            place = token.end()
        return found

    def _condition(self) -> Condition:
        return self._joined("or", self._conjunction, decides=True)

    def _conjunction(self) -> Condition:
        return self._joined("and", self._term, decides=False)

    def _joined(self, word: str, part: Callable[[], Condition], *, decides: bool) -> Condition:
        """One or several parts with ``word`` between; the truth value that ``decides`` settles them all."""
        parts = [part()]
        while self._peek().lower() == word:
            self._next()
            parts.append(part())

        def holds(values: Values) -> Truth:
            truths = [one(values) for one in parts]
            return decides if decides in truths else None if None in truths else not decides

        return holds

    def _term(self) -> Condition:
        word, place = self._next()
        if word.lower() == "not" or word == "(":
            self._depth += 1
            if self._depth > DEEPEST:
                raise self._wrong(place, "it is nested too deeply")
            inner = self._negated() if word != "(" else self._enclosed()
            self._depth -= 1
            return inner
        return self._comparison(self._field(word, place))

    def _negated(self) -> Condition:
        inner = self._term()

        def holds(values: Values) -> Truth:
            truth = inner(values)
            return None if truth is None else not truth

        return holds

    def _enclosed(self) -> Condition:
        inner = self._condition()
        word, place = self._next()
        if word != ")":
            raise self._wrong(place, f"a closing parenthesis is missing before {word!r}")
        return inner

    def _field(self, word: str, place: int) -> str:
        name = word.lower().replace("-", "_")
        if name in self._fields:
            self._named[name] = None
            return name
        alike = get_close_matches(name, self._fields, n=1)
        guess = f"did you mean {alike[0]}?" if alike else f"there are: {', '.join(self._fields)}"
        raise self._wrong(place, f"there is no field {word!r}; {guess}")

    def _comparison(self, name: str) -> Condition:
        word, place = self._next()
        if word not in OPERATORS:
            raise self._wrong(place, f"after {name} comes one of {' '.join(OPERATORS)}, not {word!r}")
        number, place = self._next()
        if not number.isdecimal() or len(number) > 18:
            raise self._wrong(place, f"{name} is compared with a whole number, not {number!r}")
        compare, limit = OPERATORS[word], int(number)

        def holds(values: Values) -> Truth:
            value = values[name]
            return None if value is None else compare(value, limit)

        return holds

    def _peek(self) -> str:
        return self._tokens[self._at][0] if self._at < len(self._tokens) else ""

    def _next(self) -> tuple[str, int]:
        if self._at == len(self._tokens):
            raise self._wrong(len(self._text), "it breaks off")
        self._at += 1
        return self._tokens[self._at - 1]

    def _wrong(self, place: int, why: str) -> UsageError:
        return UsageError(
            f"{self._text!r} is not a condition",
            why=f"at character {place + 1}: {why}",
            fix="celeryctl wait --for 'queue=0 and running=0'",
        )
