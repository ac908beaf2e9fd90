"""What a data set is declared with: `Dataset` and `Source`. Both only state; the pipeline does."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec
import peewee

from celeryctl.errors import DatasetError
from celeryctl.storage.row import EncryptedField

NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
LONGEST = 40  # bytes of a table's name; PostgreSQL cuts off what is beyond 63, and there are names made of it
TAKEN = ("all", "database", "redis")  # `fetch all`; DATABASE_URL and REDIS_URL are not sources


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Where the records of a data set come from. Made by `listing`, `draw` or `lookup`."""

    kind: Literal["listing", "draw", "lookup"]
    url: str
    page: str | None = None
    size: str | None = None
    page_size: int = 100
    cursor: str | None = None
    next: str | None = None
    items: str | None = None
    key: str | None = None
    batch: int = 1

    @classmethod
    def listing(
        cls,
        url: str,
        *,
        key: str = "id",
        page: str | None = None,
        size: str | None = None,
        page_size: int = 100,
        cursor: str | None = None,
        next: str | None = None,  # noqa: A002 - the field's own word in every paged API
        items: str | None = None,
    ) -> "Source":
        """A list of keyed records, in pages.

        ``page`` and ``size`` name the query parameters of numbered pages (the first page is 1). With ``cursor`` and
        ``next`` the answer is an object whose field ``next`` goes into the parameter ``cursor`` of the following
        request, and whose field ``items`` holds the records. With neither, ``Link: rel="next"`` is followed.
        ``key`` is the field that identifies a record.
        """
        return cls(
            kind="listing",
            url=url,
            key=key,
            page=page,
            size=size,
            page_size=page_size,
            cursor=cursor,
            next=next,
            items=items,
        )

    @classmethod
    def draw(cls, url: str, *, size: str, most: int) -> "Source":
        """Anonymous records: ``size`` names the parameter that asks for up to ``most`` of them at once."""
        return cls(kind="draw", url=url, size=size, page_size=most)

    @classmethod
    def lookup(cls, url: str, *, key: str | None = None, batch: int = 1) -> "Source":
        """Records by user.

        One by one where ``url`` holds ``{external_id}``: 404 means that there is none. Many at once where it holds
        ``{external_ids}`` (comma-separated, at most ``batch``): a list of records, in which the field ``key`` is the
        user's external id, or an object with these ids as keys; an absent user has none.
        """
        return cls(
            kind="lookup", url=url, key=key, batch=batch, page_size=batch if "{external_ids}" in url else min(batch, 1)
        )

    @property
    def many(self) -> bool:
        """Whether one request can bring the records of several users."""
        return self.kind != "lookup" or "{external_ids}" in self.url

    def with_query(self, **parameters: object) -> str:
        """The source's URL with these query parameters added or replaced."""
        parts = urlsplit(self.url)
        kept = [
            (name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name not in parameters
        ]
        return urlunsplit(parts._replace(query=urlencode([*kept, *parameters.items()])))


@dataclass(frozen=True, kw_only=True, slots=True)
class Dataset:
    """A table that is kept complete from a source. Task, schedule, command, settings, stats and metrics follow from it.

    ``to_row`` turns a decoded record into the columns of a row; what it raises as ValueError is a reason to reject the
    record; columns that the model does not declare as nullable must be neither absent, null nor empty. ``per`` names
    the data set whose every row gets one row here (None: the source's own listing decides). ``key`` names the columns
    that identify a row.
    """

    name: str
    help: str
    model: type[peewee.Model]
    record: type[msgspec.Struct]
    to_row: Callable[[Any], dict[str, Any]]
    source: Source
    every: timedelta
    per: str | None = None
    key: tuple[str, ...] = ()
    origin: str = field(default="built in", compare=False)

    def __post_init__(self) -> None:
        for wrong in self._faults():
            raise DatasetError(
                f"the data set {self.name!r} is declared wrongly", why=wrong, fix="celeryctl dataset check"
            )
        if not self.key:
            object.__setattr__(self, "key", ("user",) if self.per else ("external_id",))

    def _faults(self) -> Iterator[str]:
        """Every reason why this declaration cannot work, as far as it can be seen without its table."""
        if not NAME.fullmatch(self.name):
            yield "a name is lower-case letters, digits and underscores, begins with a letter, 40 characters at most"
        if self.name in TAKEN:
            yield "its name means something else to the command line or in the settings"
        if self.every < timedelta(seconds=1):
            yield "`every` is at least one second"
        if self.per not in (None, "users"):
            yield "`per` is 'users' or absent"
        if (self.source.kind == "listing") == bool(self.per):
            yield "a listing stands for itself (no `per`); draws and lookups are made per='users'"
        if self.source.kind == "lookup" and not re.search(r"\{external_ids?\}", self.source.url):
            yield "the URL of a lookup holds {external_id} or {external_ids}"
        if any(isinstance(self.model._meta.fields.get(name), EncryptedField) for name in self.key):
            yield "an encrypted column cannot tell rows apart: it is never stored twice in the same way"
        if self.source.page_size < 1:
            yield "a source gives at least one record per request"
        table, columns = self.model._meta.table_name, self.model._meta.columns
        if not all(map(_is_usable, (table, *columns))) or len(table.encode()) > LONGEST:
            yield f"names of tables and columns hold no % and can be printed; a table's has {LONGEST} bytes at most"

    @property
    def command(self) -> str:
        """The name on the command line: ``credit-cards`` for ``credit_cards``."""
        return self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """The name as the environment variables spell it: ``CREDIT_CARDS``."""
        return self.name.upper()


def _is_usable(name: str) -> bool:
    """Whether PostgreSQL keeps the name as it is, and Peewee does not take a part of it for a parameter."""
    return name.isprintable() and "%" not in name and 0 < len(name.encode()) <= 63


Datasets = Mapping[str, Dataset]
