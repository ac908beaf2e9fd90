"""What a data set that is due costs where nothing is missing: the same for a million users as for a few."""

from benchmarks.cluster import Cluster
from benchmarks.database_time import recording
from benchmarks.probing import probing
from benchmarks.rig import Rig
from benchmarks.row import Row, at_most

DATASETS = ("addresses", "credit_cards")
TICKS = 15  # one takes a few milliseconds: a single disturbance shall not decide


def measure(rig: Rig) -> list[Row]:
    """Database time of an idle tick, at ten thousand users and at a million in turn; the worse of the data sets."""
    many, few = Cluster(rig, rig.extent.size(1_000_000)), Cluster(rig, rig.extent.size(10_000), database="few")
    many.fill()
    few.fill()
    with recording(rig) as clock, probing(few, clock) as small, probing(many, clock) as large:
        for _ in range(1 + max(TICKS, rig.extent.runs)):
            for dataset in DATASETS:
                small.do(f"tick {dataset}")
                large.do(f"tick {dataset}")
    pairs = {name: (small.median(f"tick {name}"), large.median(f"tick {name}")) for name in DATASETS}
    worst = max(after / before for before, after in pairs.values())
    detail = "; ".join(f"{name} {before:.2f} to {after:.2f} ms" for name, (before, after) in pairs.items())
    what = f"idle tick at {many.users:,} users ÷ at {few.users:,}: database time"
    return [at_most("7", what, worst, goal=2, aim=1, detail=detail)]
