"""PostgreSQL: whether it answers, and whether what is in it is as it should be."""

from typing import Any

from celeryctl.checks.check import Check, Result
from celeryctl.checks.patient import Patient
from celeryctl.dataset import Dataset
from celeryctl.datasets import further
from celeryctl.errors import CipherError
from celeryctl.storage import counters, privileges, schema, server
from celeryctl.storage.cipher import Keyring
from celeryctl.storage.database import database, session
from celeryctl.storage.row import EncryptedField
from celeryctl.storage.upsert import context_of

OLDEST = 15  # the first PostgreSQL that we support
FULL = 0.95  # of the connections that there may be
AT_ONCE = 2  # connections of a worker process, however large its pool: one works, one renews the lease
TABLES = ("database", "tables")
SHOWN = 5  # rights that are lacking or too much, by name
GRANT = "psql -f deploy/roles.sql    (as an administrator of the database)"
NARROW = "celeryctl init-db    (as the owner of the tables)"
VERIFY = "celeryctl config show    (add ?sslmode=verify-full&sslrootcert=… to DATABASE_URL)"
MEND = "celeryctl doctor --fix"


def checks(patient: Patient) -> list[Check]:
    return [
        Check(name="database", section="Database", run=lambda: _reach(patient), needs=("data sets",), service=True,
              fix="celeryctl config show    (see DATABASE_URL)"),
        Check(name="PostgreSQL version", section="Database", run=_version, needs=("database",)),
        Check(name="encryption", section="Database", run=_encryption, needs=("database",)),
        Check(name="tables", section="Database", run=lambda: _tables(patient), needs=("database",),
              remedy=lambda: _migrate(patient)),
        Check(name="rights", section="Database", run=lambda: _rights(patient), needs=TABLES),
        Check(name="counters", section="Database", run=lambda: _counters(patient), needs=TABLES,
              remedy=lambda: _recount(patient)),
        Check(name="card numbers", section="Database", run=lambda: _cards(patient), needs=(*TABLES, "card key")),
        Check(name="connections", section="Database", run=lambda: _connections(patient), needs=TABLES),
    ]  # fmt: skip


def _reach(patient: Patient) -> Result:
    patient.connect()
    return Result("ok", patient.context.database)


def _version() -> Result:
    major, minor = server.version()
    if major < OLDEST:
        why = f"it is {major}.{minor}; celeryctl needs {OLDEST} or newer"
        return Result("failed", why, "celeryctl config show    (name a newer server in DATABASE_URL)")
    return Result("ok", f"{major}.{minor}")


def _encryption() -> Result:
    """Whether somebody between here and the server can read or change what goes over."""
    way = server.way()
    if way.local:
        return Result("ok", "not needed: it is on this machine")
    if way.protocol is None:
        return Result("warning", f"what goes to {way.host} can be read on the way", VERIFY)
    if way.mode not in ("verify-ca", "verify-full"):
        return Result("warning", f"{way.protocol}, but whether {way.host} is who it says is not looked at", VERIFY)
    return Result("ok", f"{way.protocol}, {way.mode}")


def _tables(patient: Patient) -> Result:
    behind = schema.pending(further(patient.context.datasets))
    if behind:
        return Result("failed", f"to be done: {', '.join(behind)}", "celeryctl init-db")
    return Result("ok", "up to date")


def _migrate(patient: Patient) -> str:
    """What `init-db` does. The tables of another application are refused, not touched."""
    return ", ".join(schema.migrate(further(patient.context.datasets)))


def _models(patient: Patient) -> list[Any]:
    return [dataset.model for dataset in patient.context.datasets.values()]


def _rights(patient: Patient) -> Result:
    """What the user of DATABASE_URL may do: everything that writing takes, or nothing but read; what nobody should."""
    found = privileges.rights([model._meta.table_name for model in _models(patient)])
    if found.lacks:
        told = f"{found.role} lacks {', '.join(found.lacks[:SHOWN])}{' …' if len(found.lacks) > SHOWN else ''}"
        return Result("failed", told, GRANT)
    if excess := privileges.excess():
        told = "; ".join(f"{one.role} may {', '.join(one.rights)} on {one.table}" for one in excess[:SHOWN])
        return Result("warning", f"too much: {told}{' …' if len(excess) > SHOWN else ''}", NARROW)
    return Result("ok", f"{found.role} may {'read and write' if found.writes else 'read, and nothing else'}")


def _counters(patient: Patient) -> Result:
    # At one moment: between two looks a running fetch adds rows.
    with session(), database.atomic(isolation_level="REPEATABLE READ"):
        drifted = counters.drift(_models(patient))
    if drifted:
        told = ", ".join(f"{one.table} has {one.rows:,} rows, its counter says {one.counted:,}" for one in drifted)
        return Result("failed", told, MEND)
    return Result("ok")


def _recount(patient: Patient) -> str:
    wrong = {one.table for one in counters.drift(_models(patient))}
    counters.recount([model for model in _models(patient) if model._meta.table_name in wrong])
    return f"counted anew: {', '.join(sorted(wrong))}" if wrong else ""


def _cards(patient: Patient) -> Result:
    """Whether the keys that there are open what is stored; the oldest and the newest value of every table tell."""
    ring, opened = patient.context.keyring(), 0
    for dataset in patient.context.datasets.values():
        for field in dataset.model._meta.sorted_fields:
            if isinstance(field, EncryptedField):
                opened += _opened(dataset, field.name, ring)
    return Result("ok", "they can be read" if opened else "none stored yet")


def _opened(dataset: Dataset, name: str, ring: Keyring) -> int:
    """How many values could be opened. Raises CipherError."""
    found = server.ends(dataset.model)
    for row in (row for row in found if row[name] is not None):
        try:
            ring.open(row[name], context_of(dataset.model, [row[key] for key in dataset.key]))
        except CipherError as exc:
            raise CipherError(
                f"stored values of {dataset.name} cannot be read", why=exc.why, fix=exc.fix or "celeryctl config show"
            ) from None
    return len(found)


def _connections(patient: Patient) -> Result:
    most, used, processes = server.connections()
    settings = patient.context.settings
    processes = processes or settings.worker_concurrency
    possible = processes * min(settings.database_pool_size, AT_ONCE)
    told = f"{used} of {most} in use, {processes} worker processes may open {possible}"
    if used < FULL * most and possible <= most:
        return Result("ok", told)
    fix = "celeryctl psql -c 'SHOW max_connections'    (raise it, or run fewer worker processes)"
    return Result("failed" if used >= FULL * most else "warning", told, fix)
