"""Whether ten times as many users take ten times as long, and no more memory."""

from collections.abc import Callable, Sequence

from benchmarks.cluster import Cluster
from benchmarks.loading import Load, listed, load, median
from benchmarks.rig import Rig
from benchmarks.row import Row, at_most
from benchmarks.sampling import MIB

TIMES = 10
SAME = 1.25  # up to here two amounts are about the same


def measure(rig: Rig) -> list[Row]:
    """Time, memory of workers, memory of the broker and length of the queue, at a hundred thousand and at a million."""
    few, many = Cluster(rig, rig.extent.size(100_000)), Cluster(rig, rig.extent.size(1_000_000))
    small, large = [], []
    for _ in range(rig.extent.runs):
        small.append(load(few))
        large.append(load(many))
    times = f"{listed([one.seconds for one in small])}; {listed([one.seconds for one in large])}"
    wall = f"command {listed([one.wall for one in large])}"
    ratio = median(large) / (TIMES * median(small))
    what = f"{many.users:,} users: time ÷ that for {few.users:,}, per user"
    return [
        at_most("3", what, ratio, goal=1.15, aim=1.0, detail=f"{times} ({wall})"),
        _largest(many, large),
        _same("6a", "peak memory of the broker", small, large, lambda one: one.broker_memory / MIB, "MiB"),
        _same("6b", "longest queue", small, large, lambda one: one.queue, "messages"),
    ]


def _largest(cluster: Cluster, loads: Sequence[Load]) -> Row:
    memory = [one.worker_memory / MIB for one in loads]
    what = f"{cluster.users:,} users: peak memory of the largest worker process"
    if not all(memory):
        return Row("5", what, "skipped", "", "", None, "there is no /proc here to tell it")
    detail = "the worst of " + ", ".join(f"{one:.1f}" for one in memory)
    return at_most("5", what, max(memory), goal=150, aim=110, unit=" MiB", detail=detail)


def _same(
    number: str, what: str, small: Sequence[Load], large: Sequence[Load], of: Callable[[Load], float], unit: str
) -> Row:
    before, after = (max(map(of, loads)) for loads in (small, large))
    ratio = after / (before or 1)
    shown = f"from {before:.3g} to {after:.3g} {unit} at ten times the users"
    return at_most(number, f"{what}, ten times the users ÷ once", ratio, goal=SAME, aim=1.0, detail=shown)
