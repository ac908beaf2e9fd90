"""What is there after a storm, and whether that is right."""

import time
from collections.abc import Mapping
from subprocess import TimeoutExpired
from typing import TYPE_CHECKING, Any

from cluster.kit import Process, rows, value
from waiting import eventually

from .kit import ROWS, Stage

if TYPE_CHECKING:
    from .storm import Storm

BOUND = 180  # seconds until everything is complete, after the last fault
RUNS = "SELECT status, count(*) FROM runs GROUP BY status ORDER BY status"
OPEN = "SELECT (SELECT count(*) FROM runs WHERE status = 'running'), (SELECT count(*) FROM batches)"
MISSES = "SELECT count(*) FROM misses"
REASONS = "SELECT dataset, key, outcome, attempts, reasons[1] FROM misses ORDER BY tried_at LIMIT 5"
STALE = """
SELECT (SELECT count(*) FROM addresses WHERE fetched_at < %s)
     + (SELECT count(*) FROM credit_cards WHERE fetched_at < %s)
"""
LETTERS = "SELECT count(*) FROM dead_letters"
# What a client may end with: done, failed, in part, a server was away, killed.
CODES = {0, 1, 3, 69, -9}


def audit(storm: "Storm") -> None:
    """Wait until all is as it has to be: first by itself, then after everything was asked for once more."""
    began = time.monotonic()
    recovery = time.monotonic() - began if complete(storm, "by itself") else None
    if recovery is not None and fetched(storm):
        complete(storm, "after everything was asked for once more")
    judge(storm)
    tell(storm, recovery)
    for one in storm.wrong:
        storm.say(f"WRONG: {one}")
    storm.say("all is there" if not storm.wrong else f"{len(storm.wrong)} things are wrong")


def complete(storm: "Storm", when: str) -> bool:
    try:
        return eventually(storm.stage.is_complete, within=BOUND)
    except AssertionError:
        storm.wrong.append(f"not complete {when} within {BOUND} s")
        return False


def fetched(storm: "Storm") -> bool:
    """A client gets everything once more."""
    before = value("SELECT now()")
    try:
        client = eventually(lambda: refreshed(storm.stage), within=BOUND)
    except (AssertionError, TimeoutExpired):
        storm.wrong.append(f"fetch all --refresh has not ended within {BOUND} s after the storm")
        return False
    if client.ended() != 0:
        storm.wrong.append(f"fetch all --refresh exits with {client.ended()} after the storm:\n{client.text}")
    elif stale := value(STALE, before, before):
        storm.wrong.append(f"{stale} rows are older than the last fetch, which was to refresh all")
    return client.ended() == 0


def refreshed(stage: Stage) -> Process | None:
    """Who has fetched everything anew. None: a run of beat's was in the way."""
    client = stage.fetch("all", "--refresh")
    client.ended(within=BOUND)
    return None if "already, in another way" in client.text else client


def judge(storm: "Storm") -> None:
    """What is_complete does not tell."""
    storm.wrong += [f"{name} had ended by itself" for name in ended(storm)]
    storm.wrong += [f"a client ended with {code}" for code in set(storm.codes) - CODES]
    if not set(storm.codes) - {-9}:
        storm.wrong.append("no client has ended by itself")
    texts = {path.name: path.read_text(errors="replace") for path in storm.stage.folder.glob("*.log")}
    storm.wrong += [f"a thread broke: {name}" for name, text in texts.items() if "Exception in thread" in text]
    if value(MISSES):
        storm.wrong.append(f"misses are left: {rows(REASONS)}")


def ended(storm: "Storm") -> list[str]:
    """The programs that nobody has ended, and that are no more."""
    programs = {**storm.stage.workers, **storm.stage.beats}
    return [name for name, one in programs.items() if not one.lives]


def tell(storm: "Storm", recovery: float | None) -> None:
    users, some_users, addresses, some_addresses, cards, some_cards = rows(ROWS)[0]
    messages, unacked = storm.stage.left_in_broker()
    runs, batches = rows(OPEN)[0]
    facts = {
        "users asked for": storm.stage.users,
        "rows": f"users: {users}; addresses: {addresses}; credit_cards: {cards}",
        "distinct rows": f"users: {some_users}; addresses: {some_addresses}; credit_cards: {some_cards}",
        "runs": counted(dict(rows(RUNS))),
        "left open": f"runs: {runs}; batches: {batches}",
        "left in the broker": f"messages: {messages}; unacknowledged: {unacked}",
        "misses": value(MISSES),
        "dead letters": value(LETTERS),
        "clients' exit codes": counted(storm.codes),
        "faults": sum(kinds.total() for kinds in storm.counts.values()),
        **{f"  {kind}": counted(kinds) for kind, kinds in sorted(storm.counts.items())},
        "recovery": "none" if recovery is None else f"{recovery:.1f} s after the last fault",
        "memory": f"{storm.largest >> 20} MiB at most in one process of a worker",
        "ended by themselves": ", ".join(ended(storm)) or "none",
    }
    for name, found in facts.items():
        storm.say(f"{name:<21}{found}")


def counted(counts: Mapping[Any, int]) -> str:
    return "; ".join(f"{name}: {count}" for name, count in sorted(counts.items())) or "none"
