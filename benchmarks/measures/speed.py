"""How fast it is, compared with what the machine can do at all: with an API at once, and with one that takes 50 ms."""

import statistics

from benchmarks import limit
from benchmarks.cluster import Cluster
from benchmarks.loading import against_limit, listed, median
from benchmarks.rig import Rig
from benchmarks.row import Row, at_least
from celeryctl.settings.table import SETTINGS

GOAL, AIM = 0.5, 0.8


def measure_at_once(rig: Rig) -> list[Row]:
    """An API that answers at once."""
    return [_compare("1", Cluster(rig, rig.extent.size(100_000)), threads=0)]


def measure_slow(rig: Rig) -> list[Row]:
    """An API that takes 50 ms, with as many requests in flight as the product has by its defaults."""
    in_flight = _default("WORKER_CONCURRENCY") * _default("FETCH_THREADS")
    threads = max(1, round(in_flight / limit.PROCESSES))
    return [_compare("2", Cluster(rig, rig.extent.size(200_000), delay=50), threads=threads)]


def _compare(number: str, cluster: Cluster, *, threads: int) -> Row:
    loads, theirs = against_limit(cluster, threads)
    ours, least = median(loads), statistics.median(theirs)
    flight = f", {threads * limit.PROCESSES} requests in flight" if threads else ""
    speeds = f"{cluster.users / ours:,.0f} to {cluster.users / least:,.0f} users/s"
    times = f"ours {listed([one.seconds for one in loads])} (command {listed([one.wall for one in loads])})"
    return at_least(
        number,
        f"{cluster.users:,} users, API {cluster.delay} ms: users/s ÷ the limit's",
        least / ours,
        goal=GOAL,
        aim=AIM,
        detail=f"{speeds}{flight}; {times}; limit {listed(theirs)}",
    )


def _default(variable: str) -> int:
    setting = next(one for one in SETTINGS if one.variable == variable)
    return int(setting.parse(setting.default))
