"""How long ten users take on a cluster that is up: what is left when there is hardly anything to do."""

import statistics

from benchmarks.cluster import Cluster
from benchmarks.loading import listed
from benchmarks.rig import Rig, query
from benchmarks.row import Row, at_most

USERS, ROUNDS = 10, 5
# Everything else that there is hangs on one of the two.
FORGET = "TRUNCATE users, runs CASCADE"


def measure(rig: Rig) -> list[Row]:
    """From the beginning of the users' run to the end of the last one; the API, which answers at once, included."""
    cluster, times, walls = Cluster(rig, USERS), [], []
    cluster.empty()
    with cluster.worker():
        cluster.fetch()  # every process of the worker has to be awake
        for _ in range(max(ROUNDS, rig.extent.runs)):
            query(cluster.url, FORGET)
            walls.append(cluster.fetch())
            cluster.check()
            times.append(cluster.seconds())
    detail = f"{listed(times)}; command {listed(walls)}; the API's own time is negligible"
    what = f"{USERS} users on a warm cluster, everything fetched"
    return [at_most("9", what, statistics.median(times), goal=1, aim=0.2, unit=" s", detail=detail)]
