"""Whether a second host doubles the speed where waiting for the API is all that there is to do."""

import statistics
from pathlib import Path

from benchmarks import hosts
from benchmarks.cluster import Cluster
from benchmarks.loading import listed, load
from benchmarks.rig import Rig, query, started
from benchmarks.row import Row, at_least
from benchmarks.sources import LOOPBACK

USERS, DELAY = 20_000, 50
ONE_BY_ONE = {"WORKER_CONCURRENCY": "1", "FETCH_THREADS": "1"}


def measure(rig: Rig) -> list[Row]:
    """Two nodes and one, in turn. They have servers of their own, which listen beyond loopback."""
    one, two = [], []
    with hosts.connected(2) as nodes, started(rig.extent, (LOOPBACK, *(node.host for node in nodes))) as wide:
        _let_in(wide, [node.host for node in nodes])
        cluster = Cluster(wide, rig.extent.size(USERS), delay=DELAY, settings=ONE_BY_ONE)
        for _ in range(rig.extent.runs):
            two.append(load(cluster, nodes).seconds)
            one.append(load(cluster, nodes[:1]).seconds)
    ratio = statistics.median(one) / statistics.median(two)
    what = f"{cluster.users:,} users, API {DELAY} ms, one request at a time: two hosts' speed ÷ one's"
    detail = f"two {listed(two)}; one {listed(one)}"
    return [at_least("11", what, ratio, goal=1.9, aim=1.98, detail=detail)]


def _let_in(rig: Rig, addresses: list[str]) -> None:
    """Let the broker listen on these addresses, too, and the database accept passwords from their network."""
    with rig.client() as client:
        client.config_set("bind", " ".join((LOOPBACK, *addresses)))
    url = rig.postgres.url("postgres")
    [(file,)] = query(url, "SHOW hba_file")
    with Path(file).open("a") as rules:
        rules.write(f"host all all {hosts.NETWORK} scram-sha-256\n")
    query(url, "SELECT pg_reload_conf()")
