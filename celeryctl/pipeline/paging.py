"""The pages of a listing: numbered, after a cursor, or linked. Whatever the source does, each way comes to an end."""

import hashlib
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import msgspec

from celeryctl.dataset import Dataset, Source
from celeryctl.errors import SourceError
from celeryctl.pipeline.decode import Rejection, Result, attribute, decode
from celeryctl.pipeline.page import Page, Trail
from celeryctl.storage.batches import Claim, Outcome
from celeryctl.storage.misses import Missed
from celeryctl.storage.rows import Rows

Get = Callable[..., Any]  # (url) -> http.Answer
Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]

EMPTY = 10  # pages in a row that hold nothing though the source says that it goes on


def fetch_listing(dataset: Dataset, claim: Claim, get: Get, in_parallel: Map) -> Outcome:
    """The outcome of the pages ``claim.lo`` to ``claim.hi``. Raises SourceError, SourceUnreachableError."""
    rows = Rows(dataset.model, dataset.key)
    if claim.run.bound is None:
        return _follow(dataset, claim, get, rows)
    return _read(dataset, claim, get, in_parallel, rows)


def _read(dataset: Dataset, claim: Claim, get: Get, in_parallel: Map, rows: Rows) -> Outcome:
    """All pages of the batch, if what the source said about its end holds."""
    outcome = Outcome(rows)

    def ask(number: int) -> Page:
        page = _numbered(dataset, number, claim.run.page_size, get)
        page.body = b""  # only where pages are followed it tells them apart
        return page

    for page in in_parallel(ask, range(claim.lo, claim.hi + 1)):
        if page.refuted is not None:
            raise SourceError(
                f"the source of {dataset.name} contradicts itself",
                why=f"it says that there are {page.refuted} records, and gives more",
            )
        if page.number == claim.lo:
            outcome.bound = _bound(page, claim.run.page_size)
        outcome.ended = outcome.ended or not page.results  # fewer than it said
        _collect(page, rows, outcome.missed, limit=claim.run.record_limit)
    if outcome.ended:
        outcome.bound = None
    return outcome


def _follow(dataset: Dataset, claim: Claim, get: Get, rows: Rows) -> Outcome:
    """Page after page, until the batch is full, the source says that this was the last, or it repeats itself."""
    trail = msgspec.json.decode(claim.run.position, type=Trail) if claim.run.position else Trail()
    outcome, size = Outcome(rows), claim.run.page_size
    for number in range(claim.lo, claim.hi + 1):
        page = _page(dataset, number, size, trail.at, get)
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
    got = len(page.results)
    capped = source.size is None or (0 < got < asked and page.next is not None)
    size = got if capped and got else asked
    outcome.page_size, outcome.expected = size, page.total
    if source.page:
        outcome.bound = _bound(page, size)
    return size


def _bound(page: Page, size: int) -> int | None:
    return None if page.total is None else max(1, -(-page.total // size))


def _page(dataset: Dataset, number: int, size: int, at: str | None, get: Get) -> Page:
    source = dataset.source
    if source.page:
        return _numbered(dataset, number, size, get)
    sized = {source.size: size} if source.size else {}
    if source.cursor:
        after = {source.cursor: at} if at else {}
        answer = get(source.with_query(**sized, **after))
        results, following = cursor_page(dataset, answer.body)
    else:
        answer = get(at or source.with_query(**sized))
        results, following = decode(dataset, answer.body), _same_host(source.url, answer.next)
    return Page(number, results, _total(answer), following, answer.body)


def _numbered(dataset: Dataset, number: int, size: int, get: Get) -> Page:
    """One numbered page; the first is 1. An answer larger than asked for means that the source knows no pages."""
    source = dataset.source
    answer = get(source.with_query(**{source.page or "page": number}, **({source.size: size} if source.size else {})))
    results, total = decode(dataset, answer.body), _total(answer)
    first = (number - 1) * size
    seen, goes_on = first + len(results), answer.next is not None
    refuted = total if total is not None and results and seen > total else None
    if refuted is not None or (goes_on and seen >= (total or 0)):
        total = None
    if total is not None:
        last = (seen if number == 1 else number * size) >= total
    elif "Link" in answer.headers:
        last = not goes_on
    else:
        # Without a word from the source only an empty or a repeated page is the end: a short one may be its own limit.
        last = source.size is not None and len(results) > size
    return Page(number, results, total, None if last else str(number + 1), answer.body, first, refuted)


def _mark(dataset: Dataset, page: Page, at: str | None) -> str:
    """The same for pages with the same records, whatever their order and whatever else changes in them."""
    if not dataset.source.page:
        return at or ""
    name = attribute(dataset.record, dataset.source.key)
    keys = [one.key if isinstance(one, Rejection) else getattr(one[0], name, None) for one in page.results]
    known = repr(sorted(map(str, keys))).encode() if None not in keys else page.body
    return hashlib.sha256(known).hexdigest()


def cursor_page(dataset: Dataset, body: bytes) -> tuple[list[Result], str | None]:
    """The records of an answer that is an object, and the cursor of the next page in it."""
    source = dataset.source
    try:
        fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        following = msgspec.json.decode(fields.get(source.next or "next", b"null"), type=str | int | None)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise SourceError(
            f"the source of {dataset.name} did not answer with a page and a cursor", why=str(exc)
        ) from None
    items = source.items or "items"
    if fields and items not in fields:
        raise SourceError(f"the source of {dataset.name} did not answer with a page", why=f"it has no field {items!r}")
    records = decode(dataset, bytes(fields.get(items, b"[]")))
    return records, None if following in (None, "") else str(following)


def _total(answer: Any) -> int | None:
    total = answer.headers.get("X-Total-Count", "")
    return int(total) if total.isdecimal() and len(total) < 16 else None


def _same_host(url: str, link: str | None) -> str | None:
    """``link`` on the source's own scheme and host. Behind a proxy a source may spell its own links with http."""
    if link is None:
        return None
    own, other = urlsplit(url), urlsplit(link)
    if own.hostname != other.hostname:
        raise SourceError("a source's next page is on another host", why=f"{own.hostname} points to {other.hostname}")
    return urlunsplit(other._replace(scheme=own.scheme, netloc=own.netloc))


def _collect(page: Page, rows: Rows, missed: list[Missed], *, limit: int | None) -> None:
    within = page.results if limit is None else page.results[: max(0, limit - page.first)]
    good = []
    for index, result in enumerate(within):
        if isinstance(result, Rejection):
            key = str(result.key) if result.key is not None else f"page {page.number}, record {index + 1}"
            missed.append(Missed(key, "rejected", result.reasons))
        else:
            good.append(result[1])
    rows.add(good)
