"""Creating the database and bringing its tables up to date."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import peewee
import psycopg2
import psycopg2.errors
from playhouse.migrations import Runner
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812 - it is a class
from psycopg2.extensions import make_dsn

from celeryctl.errors import SchemaError
from celeryctl.storage import adoption, counters, privileges
from celeryctl.storage.cipher import Keyring
from celeryctl.storage.database import connect_once, database, parameters_of, session, translate
from celeryctl.storage.locks import PATIENCE, Patience

MIGRATIONS = Path(__file__).parent / "migrations"
HISTORY = "celeryctl_migrations"
Models = Sequence[type[peewee.Model]]
LOCK = 0x63656C  # of pg_advisory_lock: one migration at a time in a database


def create_database(url: str) -> bool:
    """Create the database that ``url`` names where it is missing. Returns whether it was."""
    if not is_missing(url):
        return False
    try:
        with _maintenance(url) as (cursor, name):
            cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    except (psycopg2.errors.DuplicateDatabase, psycopg2.errors.UniqueViolation):
        return False  # somebody else was faster
    except psycopg2.Error as exc:
        raise translate(exc) from None
    return True


def is_missing(url: str) -> bool:
    """Whether the server has no such database. DatabaseUnreachableError where it answers neither that nor a login."""
    dsn = make_dsn(**parameters_of(url))
    try:
        psycopg2.connect(dsn).close()
    except psycopg2.OperationalError:
        # A refused connection carries no SQLSTATE; whether the database is missing is asked of the server's own list.
        try:
            with _maintenance(url) as (cursor, name):
                cursor.execute("SELECT FROM pg_database WHERE datname = %s", (name,))
                if cursor.fetchone() is None:
                    return True
            # Somebody may have made it since we were refused; else this fails again, with the reason.
            psycopg2.connect(dsn).close()
        except psycopg2.Error as exc:
            raise translate(exc) from None
    return False


@contextmanager
def _maintenance(url: str) -> Iterator[tuple[Cursor, str]]:
    """A cursor in the database that every server has, and the name of the one that ``url`` means."""
    parameters = parameters_of(url)
    name = parameters.get("dbname") or parameters.get("user", "postgres")
    with closing(connect_once(make_dsn(**{**parameters, "dbname": "postgres"}))) as found, found.cursor() as cursor:
        yield cursor, name


def pending(further: Models) -> list[str]:
    """What `migrate` would do: the names of migrations, and of tables of further data sets. Changes nothing."""
    with session():
        names = [
            migration.name for runner in _runners(further) for migration in runner.status() if not migration.applied
        ]
        return [
            *names,
            *(f"create {name}" for model in further if not database.table_exists(name := model._meta.table_name)),
            *(f"count {name}" for name in counters.uncounted(further)),
        ]


def migrate(further: Models, *, adopt: Callable[[], Keyring] | None = None, patience: Patience = PATIENCE) -> list[str]:
    """Apply what is pending and return it. Several at once are safe: the second waits and finds nothing to do.

    ``further`` are the models of data sets that are not built in: their tables are created from them, later changes
    are their authors' migrations. Raises SchemaError, with nothing changed, where another application's tables are;
    those of the one that this replaces are taken over where ``adopt`` gives the keys.
    """
    with session(), _one_at_a_time(), privileges.narrowed(), patience.brief():
        done = pending(further)
        if not done:
            return done  # also to those who may make nothing
        ours, *theirs = _runners(further)
        if take_over := _adoption(ours, adopt):
            done = [patience.tried(take_over), *done]
        patience.tried(ours.up)
        privileges.narrow()  # what follows may take hours
        new = [model for model in further if not database.table_exists(model._meta.table_name)]
        patience.tried(partial(database.create_tables, new))
        for table in counters.uncounted(further):
            patience.tried(partial(counters.count_table, table))
        for model, runner in zip(filter(_own_migrations, further), theirs, strict=True):
            # A table made from the model as it is now has every change already.
            runner.fake() if model in new else patience.tried(runner.up)
        return done


def newer() -> list[str]:
    """Migrations of ours that were applied and that this version does not know: a newer one has made them."""
    with session():
        return [migration.name for migration in _runners([])[0].status() if migration.path is None]


def begun() -> bool:
    """Whether the database has tables of ours, of whichever version."""
    with session():
        return bool(database.table_exists(HISTORY))


def require(further: Models) -> None:
    """Raise SchemaError unless every table is as this version needs it."""
    behind = pending(further)
    if behind:
        raise SchemaError(
            "the database's tables are missing or behind",
            why=f"to be done: {', '.join(behind)}",
            fix="celeryctl init-db",
        )


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    database.execute_sql("SELECT pg_advisory_lock(%s)", (LOCK,))
    try:
        yield
    finally:
        database.execute_sql("SELECT pg_advisory_unlock(%s)", (LOCK,))


def _runners(further: Models) -> list[Runner]:
    """Ours first, then one for every data set whose author ships migrations beside it, with a history of its own."""
    own = [(f"{HISTORY}_{model._meta.table_name}", folder) for model in further if (folder := _own_migrations(model))]
    return [Runner(database, str(folder), table_name=table) for table, folder in [(HISTORY, MIGRATIONS), *own]]


def _own_migrations(model: type[peewee.Model]) -> Path | None:
    """The folder ``<table>_migrations`` beside the file that declares a model, where there is one."""
    file = getattr(sys.modules.get(model.__module__), "__file__", None)
    folder = Path(file).parent / f"{model._meta.table_name}_migrations" if file else None
    return folder if folder and folder.is_dir() else None


def _adoption(ours: Runner, keys: Callable[[], Keyring] | None) -> Callable[[], str] | None:
    """What takes over the tables of the application that this one replaces; SchemaError where that may not be."""
    if database.table_exists(HISTORY) or not (strange := adoption.strange()):
        return None
    named = f"the database already has tables that are not celeryctl's: {', '.join(strange)}"
    if not adoption.is_known():
        raise SchemaError(named, why="nothing was changed", fix="name another database in DATABASE_URL")
    if hanging := adoption.hanging():
        fix = "celeryctl psql    (drop what hangs on them, and make it anew afterwards)"
        raise SchemaError(named, why=f"on those tables hang: {', '.join(hanging)}", fix=fix)
    lost = "".join(f", and the column {name}" for name in adoption.strange_columns())
    if keys is None:
        why = f"each user's newest rows can be kept, encrypted: {adoption.told()}; the others{lost} would be deleted"
        fix = "celeryctl init-db --yes    (stop the other application and pg_dump before it)"
        raise SchemaError(named, why=why, fix=fix)
    return partial(_take_over, ours, keys(), f"; the others{lost} are deleted")


def _take_over(ours: Runner, ring: Keyring, rest: str) -> str:
    """Change the other application's tables into ours, or nothing. What was done."""
    with database.atomic():  # its errors come out as they are, for `Patience.tried`
        adoption.set_aside()
        counts = adoption.told(adoption.ASIDE)
        ours.up()
        adoption.take_over(ring)
    return f"kept {counts}{rest}"
