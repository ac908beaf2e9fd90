"""Compose's profile `monitoring`: Prometheus takes its configuration, and everything finds its files and each other."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_compose import SECRETS, compose

from celeryctl.cli.metrics import PORT

ROOT = Path(__file__).parents[2]
SCRAPED = [
    target
    for job in yaml.safe_load((ROOT / "deploy/prometheus.yml").read_text())["scrape_configs"]
    for one in job["static_configs"]
    for target in one["targets"]
]


@pytest.fixture
def services(tmp_path: Path) -> dict[str, Any]:
    """The services as docker-compose reads them."""
    shutil.copy(ROOT / "docker-compose.yml", tmp_path)
    shown = compose(tmp_path, "--profile", "monitoring", "config", **SECRETS)
    assert shown.returncode == 0, shown.stderr
    found: dict[str, Any] = yaml.safe_load(shown.stdout)["services"]
    return found


@pytest.mark.integration
@pytest.mark.skipif(not shutil.which("docker-compose"), reason="docker-compose is not installed")
def test_docker_compose_takes_the_profile_and_every_file_is_there(services: dict[str, Any], tmp_path: Path) -> None:
    assert services["celery-metrics"]["environment"]["REDIS_URL"] == "redis://viewer:viewer-secret@redis:6379/0"
    mounted = [volume for name in ("prometheus", "grafana") for volume in services[name]["volumes"]]
    files = [volume.split(":")[0] for volume in mounted if volume.startswith("/")]
    assert len(files) == 5
    assert [file for file in files if not (ROOT / Path(file).relative_to(tmp_path)).is_file()] == []


@pytest.mark.unit
def test_prometheus_asks_where_the_containers_answer() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    flower, metrics = (services[name]["environment"] for name in ("celery-flower", "celery-metrics"))
    assert [f"celery-metrics:{PORT}", f"celery-flower:{flower['FLOWER_PORT']}"] == SCRAPED
    assert metrics["METRICS_PORT"] is None  # which is for workers
    source = yaml.safe_load((ROOT / "deploy/grafana/datasource.yml").read_text())["datasources"][0]
    assert source["url"] == "http://prometheus:9090"


@pytest.mark.integration
@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
def test_prometheus_takes_its_configuration() -> None:
    command = ["promtool", "check", "config", str(ROOT / "deploy/prometheus.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "1 rule files found" in done.stdout
