"""Database time: how long the server worked on statements, by its own clock.

`log_duration` makes PostgreSQL write the time of every statement, and not its text, into its log as soon as it is done
and before the client hears of it. Any PostgreSQL can do that, unlike pg_stat_statements, which the embedded one lacks;
and it counts COMMIT with its fsync. It is switched on only where database time is measured.
"""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.rig import Rig, query
from benchmarks.row import MeasureError

PRODUCT = "celeryctl"  # what the product calls its connections
RELOADED_WITHIN = 10.0
DURATION = r"^{} LOG:  duration: ([\d.]+) ms$"
ON = ("ALTER SYSTEM SET log_line_prefix = '%a '", "ALTER SYSTEM SET log_duration = on")
OFF = ("ALTER SYSTEM RESET log_line_prefix", "ALTER SYSTEM RESET log_duration")


class DatabaseTime:
    """Reads durations from the log of a rig's server, while `recording`."""

    def __init__(self, rig: Rig) -> None:
        self._log, self._url = rig.postgres.log, rig.postgres.url("postgres")

    def mark(self) -> int:
        """This moment, for `since`."""
        return self._log.stat().st_size

    def since(self, mark: int, *, name: str = PRODUCT) -> float:
        """Milliseconds spent on the statements of connections of this name, of all databases, since then."""
        with self._log.open("rb") as log:
            log.seek(mark)
            text = log.read().decode(errors="replace")
        found = re.findall(DURATION.format(re.escape(name)), text, re.MULTILINE)
        if not found:
            raise MeasureError(f"the server's log has no durations of {name}")
        return sum(map(float, found))

    def set(self, statements: tuple[str, ...], expected: str) -> None:
        """Change the server's settings and wait until they hold for new statements, also on old connections."""
        for statement in (*statements, "SELECT pg_reload_conf()"):
            query(self._url, statement)
        deadline = time.monotonic() + RELOADED_WITHIN
        while query(self._url, "SHOW log_duration") != [(expected,)]:
            if time.monotonic() > deadline:
                raise MeasureError("the server does not take log_duration")
            time.sleep(0.02)


@contextmanager
def recording(rig: Rig) -> Iterator[DatabaseTime]:
    """Have durations written for the time of the block."""
    clock = DatabaseTime(rig)
    try:
        clock.set(ON, "on")
        yield clock
    finally:
        clock.set(OFF, "off")
