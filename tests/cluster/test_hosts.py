"""Several hosts: the same worker on each, nothing in common but the broker and the database."""

from contextlib import ExitStack
from pathlib import Path

import pytest
from wires import led, new_nodes

from .kit import process, rows, run, settings, sources

pytestmark = [pytest.mark.integration, pytest.mark.slow]

USERS = 400
ONE_BY_ONE = {"WORKER_CONCURRENCY": "1", "FETCH_THREADS": "1", "BATCH_SIZE": "20"}
EVERYBODY = """
SELECT count(*), count(DISTINCT a.user_id), count(a.id), count(DISTINCT c.user_id), count(c.id)
FROM users u LEFT JOIN addresses a ON a.user_id = u.id LEFT JOIN credit_cards c ON c.user_id = u.id
"""
DONE = "SELECT dataset, status, created, updated + unchanged + rejected FROM runs ORDER BY dataset"


def test_workers_on_two_hosts_share_the_work_and_nothing_is_done_twice(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    with new_nodes(2) as nodes, ExitStack() as stack:
        api = stack.enter_context(sources(USERS, latency=0.05))
        workers, asked = [], []
        for number, node in enumerate(nodes):
            home = tmp_path / f"host{number}"
            home.mkdir()
            database, broker = (led(stack, node.host, url)[0] for url in (database_url, redis_url))
            source, way = led(stack, node.host, api)
            asked.append(way)
            variables = settings(database, broker, home, api=source, **ONE_BY_ONE)
            words = ["celeryctl", "worker", *node.options]
            workers.append(stack.enter_context(process(words, home / "log", variables, before=node.before)))
        for worker in workers:
            worker.assert_says(" ready.")
        here = settings(database_url, redis_url, tmp_path, api=api, **ONE_BY_ONE)
        done = run(here, tmp_path, "fetch", "all", "--wait", "--json")
        assert done.returncode == 0, done.stderr
        assert all(way.connections for way in asked), [worker.text for worker in workers]
    assert rows(EVERYBODY) == [(USERS,) * 5]
    assert rows(DONE) == [(name, "succeeded", USERS, 0) for name in ("addresses", "credit_cards", "users")]
