"""From empty tables to complete ones, by the product and by the limit, in turn."""

import statistics
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from benchmarks import limit
from benchmarks.cluster import Cluster, Node
from benchmarks.sampling import Sampler, peak_rss


@dataclass(frozen=True, slots=True)
class Load:
    """A fetch of everything. ``seconds`` by the ledger, ``wall`` of the command; memory in bytes, 0 where unknown."""

    seconds: float
    wall: float
    worker_memory: int
    broker_memory: int
    queue: int


def load(cluster: Cluster, nodes: Sequence[Node] = (Node(),)) -> Load:
    """Fetch everything into empty tables with one new worker on every node. Raises MeasureError."""
    cluster.empty()
    with ExitStack() as stack:
        workers = [stack.enter_context(cluster.worker(node)) for node in nodes]
        sampler = stack.enter_context(Sampler(cluster.rig))
        wall = cluster.fetch()
        memory = max(peak_rss(worker.pid) for worker in workers)
    cluster.check()
    return Load(cluster.seconds(), wall, memory, sampler.memory, sampler.queue)


def against_limit(cluster: Cluster, threads: int = 0) -> tuple[list[Load], list[float]]:
    """Loads, and the limit's seconds, in turn: ours, limit, ours, limit, …"""
    ours, theirs = [], []
    for _ in range(cluster.rig.extent.runs):
        ours.append(load(cluster))
        cluster.clear()
        api = cluster.rig.api.base(cluster.users, cluster.delay)
        theirs.append(limit.run(cluster.users, dsn=cluster.url, api=api, threads=threads))
    return ours, theirs


def median(loads: Sequence[Load]) -> float:
    """The median of their seconds."""
    return statistics.median(one.seconds for one in loads)


def listed(seconds: Sequence[float]) -> str:
    """Seconds of several runs, to be shown."""
    return ", ".join(f"{one:.3g}" for one in seconds) + " s"
