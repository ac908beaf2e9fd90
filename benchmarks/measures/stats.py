"""What it costs to look: `stats` compared with counting the users once, and a refresh of the watch view."""

import statistics

from benchmarks.cluster import Cluster
from benchmarks.database_time import DatabaseTime, recording
from benchmarks.probing import probing
from benchmarks.rig import Rig, query
from benchmarks.row import Row, at_most

LOOKS = 5
COUNT, COUNTER = "SELECT count(*) FROM users", "benchmarks-count"
# One in a hundred lacks an address, another one a card.
INCOMPLETE = ("DELETE FROM addresses WHERE user_id % 100 = 1", "DELETE FROM credit_cards WHERE user_id % 100 = 2")


def measure(rig: Rig) -> list[Row]:
    """Database time where everybody has everything, and where some lack something."""
    cluster = Cluster(rig, rig.extent.size(1_000_000))
    cluster.fill()
    with recording(rig) as clock:
        whole = _compare("8a", "complete", cluster, clock, goal=3)
        for statement in INCOMPLETE:
            query(cluster.url, statement)
        return [whole, _compare("8b", "incomplete", cluster, clock, goal=10), _watch(cluster, clock)]


def _compare(number: str, state: str, cluster: Cluster, clock: DatabaseTime, *, goal: float) -> Row:
    stats, counts = [], []
    for _ in range(max(LOOKS, cluster.rig.extent.runs)):
        mark = clock.mark()
        cluster.run("stats", "--json")
        stats.append(clock.since(mark))
        mark = clock.mark()
        query(cluster.url, COUNT, name=COUNTER)
        counts.append(clock.since(mark, name=COUNTER))
    ours, base = statistics.median(stats), statistics.median(counts)
    what = f"`stats` at {cluster.users:,} users, {state} ÷ count(*) of users: database time"
    return at_most(number, what, ours / base, goal=goal, aim=1.5, detail=f"{ours:.2f} ms; count {base:.2f} ms")


def _watch(cluster: Cluster, clock: DatabaseTime) -> Row:
    with probing(cluster, clock) as probe:
        for _ in range(1 + max(LOOKS, cluster.rig.extent.runs)):
            probe.do("look")
    what = f"refresh of the watch view at {cluster.users:,} users, incomplete: database time"
    each = ", ".join(f"{one:.2f}" for one in probe.times["look"])
    return at_most("8c", what, probe.median("look"), goal=5, aim=5, unit=" ms", detail=f"{each} ms")
