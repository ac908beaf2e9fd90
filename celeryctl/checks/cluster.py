"""Workers, beats, messages and clocks."""

import time
from collections.abc import Mapping

from celeryctl.checks.check import Check, Result
from celeryctl.checks.databases import TABLES
from celeryctl.checks.patient import Patient
from celeryctl.cluster import inspection
from celeryctl.cluster.queues import QUEUE, address, broker
from celeryctl.errors import BrokerRefusedError, NoWorkerError
from celeryctl.storage import coverage, letters, snapshot
from celeryctl.storage.database import session
from celeryctl.storage.snapshot import Snapshot, WorkerLine

NOTICEABLE, TOO_MUCH = 2.0, 30.0  # seconds between two clocks
RESTART = "celeryctl down && celeryctl up    (or restart that worker)"
ALL = (*TABLES, "broker")


def checks(patient: Patient) -> list[Check]:
    return [
        Check(name="workers", section="Cluster", run=lambda: _workers(patient), needs=TABLES),
        Check(name="consuming", section="Cluster", run=lambda: _consuming(patient), needs=(*ALL, "workers"),
              fix=RESTART),
        Check(name="messages", section="Cluster", run=_messages, needs=TABLES),
        Check(name="beat", section="Cluster", run=lambda: _beat(patient), needs=TABLES),
        Check(name="database's clock", section="Cluster", run=_database_clock, needs=("database",)),
        Check(name="broker's clock", section="Cluster", run=lambda: _broker_clock(patient), needs=("broker",)),
        Check(name="workers' clocks", section="Cluster", run=lambda: _worker_clocks(patient), needs=TABLES),
    ]  # fmt: skip


def _read(patient: Patient) -> Snapshot:
    return snapshot.read({name: dataset.model for name, dataset in patient.context.datasets.items()})


def _alive(patient: Patient) -> list[WorkerLine]:
    return [worker for worker in _read(patient).workers or [] if worker.alive]


def _workers(patient: Patient) -> Result:
    known = _read(patient).workers or []
    silent = ", ".join(f"{one.name} silent for {one.age:.0f} s" for one in known if not one.alive)
    alive = [one.name for one in known if one.alive]
    if not alive:
        raise NoWorkerError("no worker is running", why=silent or "none has shown itself", fix="celeryctl worker")
    told = f"{', '.join(alive)} alive"
    if silent:
        return Result("warning", f"{told}; {silent}", "celeryctl worker    (where it ran)")
    return Result("ok", told)


def _consuming(patient: Patient) -> Result:
    alive = _alive(patient)
    try:
        found = inspection.queues_of(patient.context.settings, [worker.name for worker in alive])
    except BrokerRefusedError as exc:
        return Result("skipped", f"this user of the broker may not ask the workers: {exc.why}")
    deaf = [worker for worker in alive if not found.get(worker.name)]
    if deaf:
        # A worker of the solo pool answers nobody while it works.
        busy = all(worker.active and worker.concurrency == 1 for worker in deaf)
        why = f"alive, but {'busy, and does not answer' if busy else 'does not consume'}"
        told = f"{', '.join(worker.name for worker in deaf)}: {why}"
        return Result("warning" if busy else "failed", told, RESTART)
    if not any(QUEUE in queues for queues in found.values()):
        return Result("failed", f"nobody consumes the queue {QUEUE}", f"celeryctl worker -Q {QUEUE}")
    return Result("ok", ", ".join(sorted(set[str]().union(*found.values()))))


def _messages() -> Result:
    count, reason = letters.recent()
    if count:
        told = f"{count:,} set aside within a day, the last one: {reason}"
        return Result("warning", told, "celeryctl failed")
    return Result("ok", "none was set aside within a day")


def _beat(patient: Patient) -> Result:
    alive = [beat for beat in _read(patient).beats or [] if beat.alive]
    active = [beat.name for beat in alive if beat.active]
    if not alive:
        return Result("failed", "none is running: nothing is fetched by itself", "celeryctl beat")
    if len(active) != 1:
        why = f"active are {', '.join(active)}" if active else f"none of {len(alive)} is active"
        return Result("failed", f"{why}; it should be exactly one", "celeryctl logs beat    (then restart them)")
    return Result("ok", f"{active[0]} is active, {len(alive) - 1} stand by")


def _database_clock() -> Result:
    with session():
        began = time.time()
        theirs = coverage.clock().timestamp()
    return _judged({"this machine": _ahead(began, theirs)}, "the database's")


def _broker_clock(patient: Patient) -> Result:
    with broker(address(patient.context.settings)) as client:
        client.ping()  # connecting takes its time, and is none of the clock's
        began = time.time()
        seconds, micro = client.time()
    return _judged({"this machine": _ahead(began, seconds + micro / 1e6)}, "the broker's")


def _worker_clocks(patient: Patient) -> Result:
    return _judged({one.name: one.skew for one in _alive(patient) if one.skew is not None}, "the database's")


def _ahead(began: float, theirs: float) -> float:
    """By how many seconds this machine's clock is ahead of one that was read just now, half the way back."""
    return (began + time.time()) / 2 - theirs


def _judged(skews: Mapping[str, float], whose: str) -> Result:
    if not skews:
        return Result("ok", "no worker has told its own")
    name, most = max(skews.items(), key=lambda skew: abs(skew[1]))
    if abs(most) < NOTICEABLE:
        return Result("ok", f"at most {abs(most):.1f} s from {whose}")
    why = f"{name} is {abs(most):,.0f} s {'ahead of' if most > 0 else 'behind'} {whose} clock"
    return Result("failed" if abs(most) >= TOO_MUCH else "warning", why, "sudo timedatectl set-ntp true")
