"""Measure, print the table and write it to results.md: python -m benchmarks [NAMES…] [--runs 3] [--quick]."""

import argparse
import signal
import sys
import time
from collections.abc import Callable, Sequence

import psycopg2
import redis

from benchmarks import report, rig
from benchmarks.measures import hosts, idle, repeat, scale, small, speed, start, stats
from benchmarks.row import MeasureError, NotHereError, Row
from celeryctl.errors import CeleryctlError
from celeryctl.settings.table import SETTINGS

# In this order, `idle` and `stats` find the million users that `scale` leaves behind.
MEASURES: dict[str, Callable[[rig.Rig], list[Row]]] = {
    "speed": speed.measure_at_once,
    "latency": speed.measure_slow,
    "repeat": repeat.measure,
    "small": small.measure,
    "start": start.measure,
    "hosts": hosts.measure,
    "scale": scale.measure,
    "idle": idle.measure,
    "stats": stats.measure,
}

FAULTS = (MeasureError, CeleryctlError, psycopg2.Error, redis.RedisError, OSError)


def main() -> int:
    options = _parse()
    # As Ctrl-C: what was started is stopped.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with rig.started(rig.Extent(options.runs, options.divide, dict(options.set))) as here:
            facts = report.facts(here, sys.argv[1:])
            rows, failed = _measure(here, [name for name in MEASURES if name in (options.names or MEASURES)])
    except KeyboardInterrupt:
        return 130
    except CeleryctlError as exc:
        report.say(f"{exc}: {exc.why}")
        return 1
    report.show(rows, facts)
    if options.names or options.set or options.divide > 1 or options.runs < 3:
        report.say(f"{report.FILE.name} stays as it is: it holds only what was measured as a whole.")
    else:
        report.write(rows, facts, options.runs)
    return 1 if failed else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.partition(":")[0] + ".")
    parser.add_argument("names", nargs="*", metavar="NAMES", help=f"which ones; all when absent: {', '.join(MEASURES)}")
    parser.add_argument("--runs", type=int, default=3, metavar="N", help="how often everything is measured (3)")
    parser.add_argument("--divide", type=int, default=1, metavar="N", help="divide all sizes by this, to try it out")
    parser.add_argument(
        "--set", type=_setting, action="append", default=[], metavar="NAME=VALUE",
        help="another value for an advanced setting, such as BATCH_SIZE=1000: what is its default good for? "
        "Where a measure sets it itself, its own counts",
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="try it out: --runs 1 --divide 10")
    options = parser.parse_args()
    if unknown := set(options.names) - set(MEASURES):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are: {', '.join(MEASURES)}")
    if options.runs < 1 or options.divide < 1:
        parser.error("--runs and --divide begin at 1")
    if options.quick:
        options.runs, options.divide = 1, max(10, options.divide)
    return options


def _setting(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    known = [setting.variable for setting in SETTINGS if setting.group == "Advanced"]
    if name not in known or not value:
        raise argparse.ArgumentTypeError(f"NAME=VALUE, and NAME is one of {', '.join(known)}")
    return name, value


def _measure(here: rig.Rig, names: Sequence[str]) -> tuple[list[Row], bool]:
    """The rows in their order, and whether one of them could not be measured though it should have been."""
    rows, failed = [], False
    for name in names:
        began = time.perf_counter()
        try:
            rows += MEASURES[name](here)
        except NotHereError as exc:
            rows.append(Row("-", name, "skipped", "", "", None, str(exc)))
        except FAULTS as exc:
            rows.append(Row("-", name, "failed", "", "", None, str(exc)))
            report.say(f"{name}: {exc}")
            failed = True
        report.say(f"{name}: {time.perf_counter() - began:.0f} s")
    return sorted(rows, key=_place), failed


def _place(row: Row) -> tuple[int, str]:
    digits = "".join(filter(str.isdigit, row.number))
    return (int(digits) if digits else sys.maxsize, row.number)


if __name__ == "__main__":
    sys.exit(main())
