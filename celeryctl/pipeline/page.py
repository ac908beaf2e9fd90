"""A page of a listing, and how far a listing has been followed."""

import msgspec

from celeryctl.pipeline.decode import Result


class Page(msgspec.Struct):
    """One page.

    ``total``: records in all, where said and to be believed; ``refuted``: what was said though there are more.
    ``next``: where it goes on. ``body``: as it came. ``first``: how many records came before it.
    """

    number: int
    results: list[Result]
    total: int | None
    next: str | None
    body: bytes
    first: int = 0
    refuted: int | None = None


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
        return Trail(page.next, kept, self.seen + len(page.results), 0 if page.results else self.empty + 1)
