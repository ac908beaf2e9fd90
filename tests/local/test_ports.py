import socket

import pytest

from celeryctl.errors import CeleryctlError
from celeryctl.local.ports import free_port, require_free

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
