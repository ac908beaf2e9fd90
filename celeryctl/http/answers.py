"""What came back from a source, and what is to be thought of it."""

import re
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from statistics import fmean
from urllib.parse import urljoin

from requests.utils import parse_header_links

RETRYABLE = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
SHOWN = 80  # characters of a foreign text in our messages
CENTURY = 3.15e9  # seconds; what is added to a date must stay one
CARD = re.compile(r"\d(?:[ -]?\d){11,}")
TELLING = 9  # digits, whatever stands between them: more than that of a card's number must not be told


@dataclass(frozen=True, slots=True)
class Answer:
    """``body`` is JSON as it came; ``headers`` are looked up in any case."""

    status: int
    body: bytes
    headers: Mapping[str, str]
    url: str

    @property
    def next(self) -> str | None:
        """The absolute URL of ``Link: rel="next"``, wherever that leads."""
        links = parse_header_links(self.headers.get("Link", ""))
        return next((joined(self.url, link["url"]) for link in links if link.get("rel") == "next"), None)


@dataclass(slots=True)
class Meter:
    """Counts, from several threads: requests that went out to a source, and tries beyond the first.

    ``ended`` is how each request ended, in one of the words of `outcome`, and after how many seconds. Those are in it,
    too, that did not reach the source.
    """

    requests: int = 0
    retries: int = 0
    ended: list[tuple[str, float]] = field(default_factory=list, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def count_request(self) -> None:
        with self._lock:
            self.requests += 1

    def count_end(self, outcome: str, seconds: float) -> None:
        with self._lock:
            self.ended.append((outcome, seconds))

    def count_useless(self) -> None:
        """An answer that had counted as good is of no use; which one matters to nobody, all are added up."""
        with self._lock:
            for index, (outcome, seconds) in reversed(list(enumerate(self.ended))):
                if outcome == "ok":
                    self.ended[index] = ("invalid", seconds)
                    return

    @property
    def answers(self) -> list[float]:
        """The seconds that each answer took that could be used."""
        with self._lock:
            return [seconds for outcome, seconds in self.ended if outcome == "ok"]

    @property
    def latency(self) -> float | None:
        """Seconds that an answer took on the average; None when there was none."""
        answers = self.answers
        return fmean(answers) if answers else None

    @property
    def brisk(self) -> float | None:
        """Seconds that a quarter of the answers did not exceed; None when there was none."""
        answers = sorted(self.answers)
        return answers[len(answers) // 4] if answers else None

    def count_retry(self) -> None:
        with self._lock:
            self.retries += 1


def joined(base: str, link: str) -> str:
    """Where a link leads. One that cannot be read stays as it is: asking there is refused."""
    try:
        return urljoin(base, link)
    except ValueError:
        return link


def passes(status: int) -> bool:
    """Whether asking again can help after this status."""
    return status in RETRYABLE or status >= 500


def looks_like_json(body: bytes) -> bool:
    """Whether these bytes are a whole object or list, as far as their ends tell; the decoder finds out the rest."""
    text = body.strip()
    return text[:1] + text[-1:] in (b"{}", b"[]")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds that ``Retry-After`` asks for, given there as a number or as a date; a century at most."""
    text = headers.get("Retry-After", "").strip()
    try:
        seconds = float(int(text[:12])) if text.isdecimal() else parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), CENTURY)


def excerpt(body: bytes, secrets: Iterable[str] = ()) -> str:
    """The beginning of a text, quoted, for a message. Empty for JSON, which is data, and for what is no text."""
    text = body[: 64 * SHOWN].decode(errors="replace").strip()
    if not text or text[0] in "{[" or "\N{REPLACEMENT CHARACTER}" in text[:SHOWN]:
        return ""
    for secret in secrets:
        text = text.replace(secret, "****")
    printable = "".join(char if char.isprintable() else " " for char in CARD.sub("****", text))
    shown = " ".join(printable.split())[:SHOWN]
    if sum(map(str.isdigit, shown)) > TELLING:
        # Pages put anything between its groups: tags, entities, spaces of all kinds.
        shown = re.sub(r"\d+", "**", shown)
    return f"'{shown}'"
