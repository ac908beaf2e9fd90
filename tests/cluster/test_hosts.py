"""Several hosts: the same worker on each, nothing in common but the broker and the database."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from relay import relay

from benchmarks import hosts
from benchmarks.cluster import Node
from benchmarks.row import NotHereError

from .kit import process, rows, run, settings, sources

pytestmark = [pytest.mark.integration, pytest.mark.slow]

USERS = 400
EVERYBODY = """
SELECT count(*), count(DISTINCT a.user_id), count(a.id), count(DISTINCT c.user_id), count(c.id)
FROM users u LEFT JOIN addresses a ON a.user_id = u.id LEFT JOIN credit_cards c ON c.user_id = u.id
"""


@pytest.fixture
def nodes() -> Iterator[list[Node]]:
    """Two hosts that reach this machine over a wire each."""
    try:
        with hosts.connected(2) as found:
            yield found
    except NotHereError as exc:
        pytest.skip(str(exc))


@pytest.fixture
def settings_of(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Callable[[str], dict[str, str]]]:
    """The settings of a node, by the address at which it finds this machine: whose servers listen on loopback only."""
    with ExitStack() as stack:
        api = stack.enter_context(sources(USERS, latency=0.05))

        def at(host: str) -> dict[str, str]:
            def seen(url: str) -> str:
                parts = urlsplit(url)
                port = stack.enter_context(relay(host, (parts.hostname or "", parts.port or 0)))
                return url.replace(f"{parts.hostname}:{parts.port}", f"{host}:{port}")

            own = {"WORKER_CONCURRENCY": "1", "FETCH_THREADS": "1", "BATCH_SIZE": "20"}
            return settings(seen(database_url), seen(redis_url), tmp_path, api=seen(api), **own)

        yield at


def test_workers_on_two_hosts_share_the_work_and_nothing_is_done_twice(
    nodes: list[Node], settings_of: Callable[[str], dict[str, str]], tmp_path: Path
) -> None:
    with ExitStack() as stack:
        workers = []
        for number, node in enumerate(nodes):
            log = tmp_path / f"host{number}.log"
            words = ["celeryctl", "worker", *node.options]
            workers.append(stack.enter_context(process(words, log, settings_of(node.host), before=node.before)))
        for worker in workers:
            worker.assert_says(" ready.")
        done = run(settings_of("127.0.0.1"), tmp_path, "fetch", "all", "--wait", "--json")
        assert done.returncode == 0, done.stderr
    assert rows(EVERYBODY) == [(USERS,) * 5]
    assert rows("SELECT DISTINCT status FROM runs") == [("succeeded",)]
    assert all(worker.text.count("succeeded") > 3 for worker in workers), [worker.text for worker in workers]
