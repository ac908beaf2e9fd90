import socket
from pathlib import Path

import pytest

from celeryctl.errors import CeleryctlError, SettingsError
from celeryctl.local.ports import free_port, require_free, require_metrics_ports
from celeryctl.settings import Environment, load

from .cockpit import two_ports

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_port_that_is_taken_is_named_with_its_setting(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CeleryctlError, match=f"Flower cannot listen on 127.0.0.1:{port}: .*in use") as caught:
            require_free("127.0.0.1", port, whose="Flower", variable="FLOWER_PORT")
    assert caught.value.fix == "set FLOWER_PORT to a free port"
    require_free(host, port, whose="Flower", variable="FLOWER_PORT")


def test_a_host_that_is_none_of_ours_is_told() -> None:
    with pytest.raises(CeleryctlError, match=r"cannot listen on 192\.0\.2\.1"):
        require_free("192.0.2.1", free_port(), whose="Flower", variable="FLOWER_PORT")


def test_every_worker_needs_a_port_for_its_metrics(tmp_path: Path) -> None:
    def require(first: int, workers: int) -> None:
        require_metrics_ports(load(Environment.read({"METRICS_PORT": str(first)}, tmp_path), []), workers)

    port = two_ports()
    with (
        socket.create_server(("127.0.0.1", port + 1)),
        pytest.raises(CeleryctlError, match=f"worker2 with its metrics cannot listen on 127.0.0.1:{port + 1}"),
    ):
        require(port, 2)
    with pytest.raises(SettingsError, match="METRICS_PORT is 65534, which is too high for 3 workers"):
        require(65_534, 3)
    require_metrics_ports(load(Environment.read({}, tmp_path), []), 3)
