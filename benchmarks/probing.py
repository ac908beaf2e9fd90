"""Having single things done within a process of the product, one after the other, and taking their database time."""

import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from benchmarks.cluster import Cluster
from benchmarks.database_time import DatabaseTime
from benchmarks.row import MeasureError

SCRIPT = Path(__file__).with_name("probe.py")


class Probe:
    """A running `probe.py`. ``times`` are the milliseconds of every thing that was done, by its line."""

    def __init__(self, clock: DatabaseTime, asking: IO[str], answering: IO[str]) -> None:
        self._clock, self._asking, self._answering = clock, asking, answering
        self.times: dict[str, list[float]] = {}

    def do(self, line: str) -> None:
        """Have it done once. Raises MeasureError. The very first time, which finds cold caches, does not count."""
        mark = self._clock.mark()
        self._asking.write(f"{line}\n")
        self._asking.flush()
        if (answer := self._answering.readline().strip()) != "done":
            raise MeasureError(answer or "the probe has ended, see its words above")
        spent = self._clock.since(mark)
        if line in self.times:
            self.times[line].append(spent)
        else:
            self.times[line] = []

    def median(self, line: str) -> float:
        """Milliseconds."""
        return statistics.median(self.times[line])


@contextmanager
def probing(cluster: Cluster, clock: DatabaseTime) -> Iterator[Probe]:
    """A probe on this cluster's database for the time of the block."""
    # -P: our own folder must not stand before the library's modules.
    with subprocess.Popen(  # noqa: S603 - our own script
        [sys.executable, "-P", SCRIPT],
        env=cluster.environment(), cwd=cluster.rig.folder, text=True, start_new_session=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            if process.stdin is None or process.stdout is None:
                raise MeasureError("the probe has no pipes")
            yield Probe(clock, process.stdin, process.stdout)
        finally:
            process.terminate()
