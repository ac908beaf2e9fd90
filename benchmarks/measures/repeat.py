"""What a fetch of users costs when none of them has changed, compared with the first one."""

import statistics

from benchmarks.cluster import Cluster
from benchmarks.database_time import DatabaseTime, recording
from benchmarks.loading import listed
from benchmarks.rig import Rig
from benchmarks.row import Row, at_most

GOAL, AIM = 0.6, 0.35


def measure(rig: Rig) -> list[Row]:
    """Database time and wall time of the runs, the first and the second in turn."""
    cluster = Cluster(rig, rig.extent.size(100_000))
    with recording(rig) as clock:
        pairs = [_pair(cluster, clock) for _ in range(rig.extent.runs)]
    rows = []
    for number, what, at in (("4a", "database time", 0), ("4b", "wall time", 1)):
        first, second = ([pair[which][at] for pair in pairs] for which in (0, 1))
        ratio = statistics.median(second) / statistics.median(first)
        title = f"{cluster.users:,} users fetched again, none changed ÷ first fetch: {what}"
        detail = f"again {listed(second)}; first {listed(first)}"
        rows.append(at_most(number, title, ratio, goal=GOAL, aim=AIM, detail=detail))
    return rows


def _pair(cluster: Cluster, clock: DatabaseTime) -> list[tuple[float, float]]:
    """Seconds of the database and of the run, for a first fetch and for a second one."""
    cluster.empty()
    spent = []
    with cluster.worker():
        for _ in ("first", "again"):
            mark = clock.mark()
            cluster.fetch("users")
            spent.append(clock.since(mark) / 1000)
    return list(zip(spent, (run.seconds for run in cluster.ended()), strict=True))
