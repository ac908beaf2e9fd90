"""A process of the product that does one thing for every line it reads, and answers `done`, or what went wrong.

    tick DATASET   what beat does when a data set is due of which nothing is missing
    look           one refresh of the watch view

Run as a script in the environment of a cluster; see `probing`.
"""

import sys
from datetime import UTC, datetime

from celeryctl import services
from celeryctl.cluster.overview import Collector
from celeryctl.errors import CeleryctlError
from celeryctl.pipeline.context import Context
from celeryctl.pipeline.engine import Pipeline
from celeryctl.storage.runs import Order


def tick(pipeline: Pipeline, dataset: str) -> str:
    opened = pipeline.open(Order(dataset=dataset, trigger="schedule", slot=datetime.now(UTC)))
    idle = opened is not None and not opened.joined and not opened.batches and opened.run.status == "succeeded"
    return "done" if idle else f"the tick of {dataset} was not idle"


def look(collector: Collector) -> str:
    problems = collector.collect()["problems"]
    return "; ".join(problems) or "done"


def main() -> None:
    context = Context.read()
    context.connect()
    services.use(context)
    pipeline, collector = context.pipeline(), Collector()
    for line in sys.stdin:
        verb, *rest = line.split()
        try:
            answer = tick(pipeline, *rest) if verb == "tick" else look(collector)
        except CeleryctlError as exc:
            answer = f"{exc}: {exc.why}"
        print(answer, flush=True)  # noqa: T201 - the answer to whoever has asked


if __name__ == "__main__":
    main()
