"""Prometheus itself, and its own tool, where they are installed."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse
from waiting import eventually

from celeryctl.local.ports import free_port

CONFIGURATION = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs: [{{job_name: cluster, static_configs: [{{targets: ["{target}"]}}]}}]
"""
Samples = dict[str, dict[tuple[str, ...], float]]


def samples(text: str) -> Samples:
    """The values of a page, by metric, then by the labels' values in the order of the labels' names."""
    found: Samples = {}
    for one in (sample for family in parse(text) for sample in family.samples):
        found.setdefault(one.name, {})[tuple(value for _, value in sorted(one.labels.items()))] = one.value
    return found


def page(address: str) -> str:
    """What is served there."""
    with urlopen(address, timeout=30) as answer:
        assert answer.status == 200
        return str(answer.read().decode())


def complaints(text: str) -> str:
    """What Prometheus' own tool has against a page."""
    done = subprocess.run([_installed("promtool"), "check", "metrics"], input=text, capture_output=True, text=True)
    return done.stdout + done.stderr


@contextmanager
def prometheus(target: str, folder: Path) -> Iterator[str]:
    """A Prometheus that reads host and port ``target`` every second. Yields its address."""
    port = free_port()
    (folder / "prometheus.yml").write_text(CONFIGURATION.format(target=target))
    words = [
        _installed("prometheus"),
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/tsdb",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "prometheus.log").open("wb") as log, subprocess.Popen(words, stdout=log, stderr=log) as server:
        try:
            eventually(lambda: _ready(f"http://127.0.0.1:{port}/-/ready"))
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def query(address: str, expression: str) -> list[str]:
    """The values that a Prometheus answers with."""
    document = json.loads(page(f"{address}/api/v1/query?{urlencode({'query': expression})}"))
    return [str(one["value"][1]) for one in document["data"]["result"]]


def _ready(address: str) -> bool:
    try:
        return bool(page(address))
    except (URLError, OSError):
        return False


def _installed(program: str) -> str:
    found = shutil.which(program)
    return found or pytest.skip(f"there is no {program}, which the Debian package prometheus holds")
