"""The database for the time of a command: the settings' own, or the embedded one of this home."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from celeryctl import services
from celeryctl.datasets import further
from celeryctl.errors import CeleryctlError, DatabaseUnreachableError, SchemaError
from celeryctl.local import postgres
from celeryctl.pipeline import keys
from celeryctl.pipeline.context import Context
from celeryctl.settings import Environment
from celeryctl.storage import schema
from celeryctl.storage.cipher import Keyring
from celeryctl.storage.database import close

LOCAL = "celeryctl_local"  # data of the local source APIs never share a database with live ones


@contextmanager
def to_write(context: Context) -> Iterator[Context]:
    """A database with its tables up to date, and the keys to what is in it.

    The embedded one is made and migrated where needed; another is refused.
    """
    if context.settings.database_url:
        context.connect()
        schema.require(further(context.datasets))
        keys.require(context)
        yield context
        return
    with _embedded(context, create=True) as here:
        schema.migrate(further(context.datasets))
        keys.require(here)
        yield here


@contextmanager
def to_read(context: Context, *, behind: bool = False) -> Iterator[Context]:
    """A database that is there already, which the services read from; nothing is created.

    ``behind`` takes also an embedded one whose tables are those of an older version.
    """
    services.use(context)
    if context.settings.database_url:
        context.connect()
        yield context
        return
    with _embedded(context, create=False) as here:
        readable = _readable(here, behind=behind)
        services.use(readable)
        yield readable


@contextmanager
def to_restore(context: Context) -> Iterator[Context]:
    """A database, made where it is missing; its tables are not."""
    if context.settings.database_url:
        schema.create_database(context.settings.database_url)
        context.connect()
        yield context
        return
    with _embedded(context, create=True) as here:
        yield here


class Watch(ExitStack):
    """What the services read from while somebody goes on looking; nothing is created, and whatever is away may come."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._open(context)

    def renew(self, *, lost: bool = False) -> None:
        """After something was away: an `up` that was started since has other servers.

        ``lost`` says that the database is what was away: an embedded one may have come, or is to be started again.
        """
        try:
            changed = _servers(Environment.read()) != self._servers
            context = Context.read() if changed else self._context
        except CeleryctlError:
            return  # half-written settings: they are read again the next time
        if changed or lost:
            self.close()
            self._open(context)

    def _open(self, context: Context) -> None:
        self._context, self._servers = context, _servers(context.settings.environment)
        try:
            self.enter_context(to_read(context))
        except CeleryctlError:
            services.use(context)  # what is missing is told by whoever reads


def _servers(environment: Environment) -> tuple[str | None, str | None]:
    return environment.get("DATABASE_URL"), environment.get("REDIS_URL")


@contextmanager
def _embedded(context: Context, *, create: bool) -> Iterator[Context]:
    with postgres.lease(context.settings.home, create=create) as url:
        if url is None:
            raise DatabaseUnreachableError(
                "there is no database here yet",
                why=f"DATABASE_URL is unset and {context.settings.home} has none",
                fix="celeryctl up (or: celeryctl fetch all --sync)",
            )
        here = context.at(url)
        here.connect()
        try:
            yield here
        finally:
            close()


def _readable(context: Context, *, behind: bool) -> Context:
    """Where only `up` with local sources has run, its data are what there is to read."""
    models = further(context.datasets)
    if not schema.pending(models) or (behind and schema.begun()):
        return context
    if schema.begun():
        schema.require(models)
    here = context.at(f"{str(context.settings.database_url).rpartition('/')[0]}/{LOCAL}")
    here.connect()
    try:
        schema.require(models)
    except DatabaseUnreachableError:
        raise SchemaError("there are no tables here yet", why="nothing was fetched", fix="celeryctl init-db") from None
    return here


def initialize(context: Context, *, adopt: bool = False) -> list[str]:
    """Create the database where it is missing and migrate it. Returns what was done.

    ``adopt`` takes over the tables of the application that this one replaces; see `schema.migrate`.
    """
    models = further(context.datasets)
    if not context.settings.database_url:
        with _embedded(context, create=True) as here:
            return schema.migrate(models, adopt=_keys(here) if adopt else None)
    created = schema.create_database(context.settings.database_url)
    context.connect()
    return (["database created"] if created else []) + schema.migrate(models, adopt=_keys(context) if adopt else None)


def _keys(context: Context) -> Callable[[], Keyring]:
    return partial(context.keyring, create=True)


def check(context: Context) -> tuple[list[str], list[str]]:
    """What `initialize` would do, and what a newer version has done to the tables; nothing is changed."""
    url, home = context.settings.database_url, context.settings.home
    if schema.is_missing(url) if url else not postgres.Postgres(home).exists():
        return ["create the database"], []
    with ExitStack() as stack:
        here = context if url else stack.enter_context(_embedded(context, create=False))
        here.connect()
        return schema.pending(further(here.datasets)), schema.newer()
