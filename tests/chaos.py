"""A random storm of all faults under a cluster that fetches: python tests/chaos.py [--minutes 2] [--users 20000]."""

import argparse
import shutil
import signal
import sys
import tempfile
from functools import partial
from pathlib import Path

from faults.storm import weather


def main() -> int:
    options = parse()
    # As Ctrl-C: what was started is stopped.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="celeryctl-chaos-"))
    folder.mkdir(exist_ok=True)
    extent = {"minutes": options.minutes, "users": options.users, "seed": options.seed}
    try:
        storm = weather(folder, **extent, say=partial(print, flush=True))
    except KeyboardInterrupt:
        return 130
    if storm.wrong:
        return 1
    if not options.folder:
        shutil.rmtree(folder)
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python tests/chaos.py", description=(__doc__ or "").partition(":")[0] + ".")
    parser.add_argument("--minutes", type=float, default=2, help="how long it lasts (2)")
    parser.add_argument("--users", type=int, default=20_000, help="how many are fetched (20000)")
    parser.add_argument("--seed", type=int, default=7, help="the same one gives the same faults in the same order (7)")
    parser.add_argument("--folder", type=Path, help="where to leave what everybody said; else left only when it failed")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
