"""The pages of a listing: numbered, after a cursor, or linked. Whatever the source does, each way comes to an end."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

import msgspec

from celeryctl.dataset import Dataset, Source
from celeryctl.errors import AnswerError
from celeryctl.pipeline.decode import attribute
from celeryctl.pipeline.page import Get, Page, Trail, ask, last_page, numbered, read, url_of
from celeryctl.pipeline.rejection import Rejection, key_shown
from celeryctl.storage.batches import Claim
from celeryctl.storage.misses import Missed
from celeryctl.storage.outcomes import Outcome
from celeryctl.storage.readings import Reading
from celeryctl.storage.rows import Rows

Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]

EMPTY = 10  # pages in a row that hold nothing though the source says that it goes on


def fetch_listing(
    dataset: Dataset, claim: Claim, get: Get, in_parallel: Map, *, code: str | None = None, known: Reading | None = None
) -> Outcome:
    """The outcome of the pages ``claim.lo`` to ``claim.hi``. Raises SourceError, SourceUnreachableError.

    ``known`` is what they held when this ``code`` last read them; where they hold the same again they are not decoded.
    """
    if claim.run.bound is None:
        return _follow(dataset, claim, get)
    numbers, size = range(claim.lo, claim.hi + 1), claim.run.page_size
    answers = iter(in_parallel(lambda number: get(url_of(dataset.source, number, size)), numbers))
    held: list[Any] = []
    if known and code and (outcome := _recognize(dataset, claim, answers, code, known, held)):
        return outcome
    return _read(dataset, claim, chain(held, answers), code)


def _recognize(
    dataset: Dataset, claim: Claim, answers: Iterator[Any], code: str, known: Reading, held: list[Any]
) -> Outcome | None:
    """The outcome if all pages are known. None when one is not: those asked for until then are ``held``."""
    outcome = Outcome(known=sum(known.records))
    numbers = range(claim.lo, claim.hi + 1)
    for number, count, digest, answer in zip(numbers, known.records, known.digests, answers, strict=False):
        held.append(answer)
        if _digest(code, answer.body) != digest:
            return None
        _judge(dataset, claim, numbered(dataset.source, number, claim.run.page_size, answer, count), outcome)
    return outcome


def _read(dataset: Dataset, claim: Claim, answers: Iterable[Any], code: str | None) -> Outcome:
    """All pages of the batch."""
    rows, reading = Rows(dataset.model, dataset.key), Reading([], [])
    outcome = Outcome(rows)
    for number, answer in enumerate(answers, claim.lo):
        page = read(dataset, number, claim.run.page_size, answer)
        _judge(dataset, claim, page, outcome)
        _collect(page, rows, outcome.missed, limit=claim.run.record_limit)
        if code:
            reading.digests.append(_digest(code, answer.body))
            reading.records.append(page.count)
    if outcome.ended:
        outcome.bound = None
    elif code:
        outcome.reading = reading
    return outcome


def _judge(dataset: Dataset, claim: Claim, page: Page, outcome: Outcome) -> None:
    """Note what a page tells about the end of the listing. Raises SourceError where that does not hold."""
    if page.refuted is not None:
        raise AnswerError(
            f"the source of {dataset.name} contradicts itself",
            why=f"it says that there are {page.refuted} records, and gives more",
        )
    if page.number == claim.lo:
        outcome.bound = last_page(page.total, claim.run.page_size)
    outcome.ended = outcome.ended or not page.count  # fewer than it said


def _digest(code: str, body: bytes) -> str:
    """The same for the same page read by the same code."""
    return hashlib.sha256(code.encode() + body).hexdigest()


def _follow(dataset: Dataset, claim: Claim, get: Get) -> Outcome:
    """Page after page, until the batch is full, the source says that this was the last, or it repeats itself."""
    trail = msgspec.json.decode(claim.run.position, type=Trail) if claim.run.position else Trail()
    rows, size = Rows(dataset.model, dataset.key), claim.run.page_size
    outcome = Outcome(rows)
    for number in range(claim.lo, claim.hi + 1):
        page = ask(dataset, number, size, trail.at, get)
        if number == 1:
            size = _measure(dataset.source, page, size, outcome)
        mark, page.body = _mark(dataset, page, trail.at), b""
        if mark == trail.mark:
            outcome.ended = True
            break
        page.first, trail = trail.seen, trail.after(page, mark)
        _collect(page, rows, outcome.missed, limit=claim.run.record_limit)
        if _is_last(dataset.source, page, trail, claim.run.record_limit):
            outcome.ended = True
            break
    if outcome.ended:
        outcome.bound = None  # what was said about it has been found out now
    outcome.position = msgspec.json.encode(trail).decode()
    return outcome


def _is_last(source: Source, page: Page, trail: Trail, limit: int | None) -> bool:
    if page.next is None or (limit is not None and trail.seen >= limit):
        return True
    return trail.empty > (0 if source.page else EMPTY)


def _measure(source: Source, page: Page, asked: int, outcome: Outcome) -> int:
    """What the first page tells: how many records there are, and how large pages really are, which is returned."""
    got = page.count
    capped = source.size is None or (0 < got < asked and page.next is not None)
    size = got if capped and got else asked
    outcome.page_size, outcome.expected = size, page.total
    if source.page:
        outcome.bound = last_page(page.total, size)
    return size


def _mark(dataset: Dataset, page: Page, at: str | None) -> str:
    """The same for pages with the same records, whatever their order and whatever else changes in them."""
    if not dataset.source.page:
        return at or ""
    name = attribute(dataset.record, dataset.source.key)
    keys = [one.key if isinstance(one, Rejection) else getattr(one[0], name, None) for one in page.results]
    known = repr(sorted(map(str, keys))).encode() if None not in keys else page.body
    return hashlib.sha256(known).hexdigest()


def _collect(page: Page, rows: Rows, missed: list[Missed], *, limit: int | None) -> None:
    within = page.results if limit is None else page.results[: max(0, limit - page.first)]
    good = []
    for index, result in enumerate(within):
        if isinstance(result, Rejection):
            key = key_shown(rows.model, result.key) or f"page {page.number}, record {index + 1}"
            missed.append(Missed(key, "rejected", result.reasons, payload=result.payload))
        else:
            good.append(result[1])
    rows.add(good)
