"""One page of a listing: asking for it and understanding it; and how far a listing has been followed."""

from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import urlsplit, urlunsplit

import msgspec

from celeryctl.dataset import Dataset, Source
from celeryctl.errors import AnswerError
from celeryctl.pipeline.answer import FAULTS, members
from celeryctl.pipeline.decode import Result, decode

PAGE = "a page and a cursor"
# It goes into an address, for which servers have some kilobytes.
Cursor = Annotated[str, msgspec.Meta(max_length=4096)] | Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | None
Get = Callable[..., Any]  # (url, absent_ok=False) -> http.Answer


class Page(msgspec.Struct):
    """One page.

    ``count``: its records. ``total``: records in all, where said and to be believed; ``refuted``: what was said though
    there are more. ``next``: where it goes on. ``body``: as it came. ``first``: how many records came before it.
    """

    number: int
    count: int
    total: int | None
    next: str | None
    body: bytes
    first: int = 0
    refuted: int | None = None
    results: list[Result] = []


class Trail(msgspec.Struct):
    """Where a listing without known end goes on, and the mark of an earlier page.

    The mark is taken anew at every power of two (Brent's cycle detection), so that pages that come round again are
    noticed, however long the round. ``seen`` counts records, ``empty`` the latest pages without any.
    """

    at: str | None = None
    mark: str | None = None
    seen: int = 0
    empty: int = 0

    def after(self, page: Page, mark: str) -> "Trail":
        kept = mark if page.number & (page.number - 1) == 0 else self.mark
        return Trail(page.next, kept, self.seen + page.count, 0 if page.count else self.empty + 1)


def ask(dataset: Dataset, number: int, size: int, at: str | None, get: Get) -> Page:
    source = dataset.source
    if source.page:
        return read(dataset, number, size, get(url_of(source, number, size)))
    sized = {source.size: size} if source.size else {}
    if source.cursor:
        after = {source.cursor: at} if at else {}
        answer = get(source.with_query(**sized, **after))
        results, following = cursor_page(dataset, answer.body)
    else:
        answer = get(at or source.with_query(**sized))
        results, following = decode(dataset, answer.body), _same_host(source.url, answer.next)
    return Page(number, len(results), total_of(answer), following, answer.body, results=results)


def url_of(source: Source, number: int, size: int) -> str:
    """A numbered page; the first is 1."""
    return source.with_query(**{source.page or "page": number}, **({source.size: size} if source.size else {}))


def read(dataset: Dataset, number: int, size: int, answer: Any) -> Page:
    """A numbered page, with its records."""
    results = decode(dataset, answer.body)
    page = numbered(dataset.source, number, size, answer, len(results))
    page.results = results
    return page


def numbered(source: Source, number: int, size: int, answer: Any, count: int) -> Page:
    """A numbered page of so many records. More of them than asked for mean that the source knows no pages."""
    total, first = total_of(answer), (number - 1) * size
    seen, goes_on = first + count, answer.next is not None
    refuted = total if total is not None and count and seen > total else None
    if refuted is not None or (goes_on and seen >= (total or 0)):
        total = None
    if total is not None:
        last = (seen if number == 1 else number * size) >= total
    elif "Link" in answer.headers:
        last = not goes_on
    else:
        # Without a word from the source only an empty or a repeated page is the end: a short one may be its own limit.
        last = source.size is not None and count > size
    return Page(number, count, total, None if last else str(number + 1), answer.body, first, refuted)


def last_page(total: int | None, size: int) -> int | None:
    """The last page, where it is known how many records there are."""
    return None if total is None else max(1, -(-total // size))


def total_of(answer: Any) -> int | None:
    total = answer.headers.get("X-Total-Count", "")
    return int(total) if total.isdecimal() and len(total) < 16 else None


def cursor_page(dataset: Dataset, body: bytes) -> tuple[list[Result], str | None]:
    """The records of an answer that is an object, and the cursor of the next page in it."""
    source = dataset.source
    fields = members(dataset, body, PAGE)
    try:
        following = msgspec.json.decode(fields.get(source.next or "next", b"null"), type=Cursor)
    except FAULTS as exc:
        raise AnswerError(f"the source of {dataset.name} did not answer with {PAGE}", why=str(exc)) from None
    items = source.items or "items"
    if fields and items not in fields:
        raise AnswerError(f"the source of {dataset.name} did not answer with a page", why=f"it has no field {items!r}")
    results = decode(dataset, bytes(fields.get(items, b"[]")))
    return results, None if following in (None, "") else str(following)


def _same_host(url: str, link: str | None) -> str | None:
    """``link`` on the source's own scheme and host. Behind a proxy a source may spell its own links with http."""
    if link is None:
        return None
    try:
        own, other = urlsplit(url), urlsplit(link)
    except ValueError as exc:
        raise AnswerError("a source's next page cannot be found", why=f"its link is no URL: {exc}") from None
    if own.hostname != other.hostname:
        raise AnswerError("a source's next page is on another host", why=f"{own.hostname} points to {other.hostname}")
    return urlunsplit(other._replace(scheme=own.scheme, netloc=own.netloc))
