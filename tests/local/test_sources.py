"""The local source APIs: as a function, as an application, and as the server that `celeryctl api` runs."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from celeryctl.errors import LocalServerError, SettingsError
from celeryctl.http import Client, Meter
from celeryctl.local import generate
from celeryctl.local.routes import answer
from celeryctl.local.sources import App, base_url, listen, variables

BASE = "http://localhost:8080"


def ids(query: str, users: int = 10) -> list[int]:
    return [user["id"] for user in json.loads(answer("/users", query, users=users)[2])]


def links(query: str, users: int = 10) -> dict[str, str]:
    header = answer("/users", query, base=BASE, users=users)[1]["Link"]
    parts = [part.split("; rel=") for part in header.split(", ") if part]
    return {rel.strip('"'): url.strip("<>").removeprefix(f"{BASE}/users?") for url, rel in parts}


# The expectations of the next tests were compared with the answers of the real server.
@pytest.mark.unit
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", range(1, 11)),
        ("_page=1&_limit=4", range(1, 5)),
        ("_page=3&_limit=4", (9, 10)),
        ("_page=4&_limit=4", ()),
        ("_page=1", range(1, 11)),
        ("_page=0&_limit=3", (1, 2, 3)),
        ("_page=abc&_limit=2", (1, 2)),
        ("_limit=3", (1, 2, 3)),
        ("_limit=0", ()),
        ("_start=3", range(1, 11)),
        ("_start=3&_limit=2", (4, 5)),
        ("_start=3&_end=5", (4, 5)),
        ("_end=2", (1, 2)),
        ("_page=&_limit=", range(1, 11)),
    ],
)
def test_users_are_cut_as_json_server_does(query: str, expected: Any) -> None:
    assert ids(query) == list(expected)


@pytest.mark.unit
@pytest.mark.parametrize(
    ("query", "counted"), [("", 0), ("_start=3", 0), ("_limit=3", 1), ("_end=3", 1), ("_page=9", 1)]
)
def test_the_total_comes_only_with_a_page_a_limit_or_an_end(query: str, counted: int) -> None:
    headers = answer("/users", query, users=25)[1]
    assert headers.get("X-Total-Count") == ("25" if counted else None)
    assert ("Link" in headers) == query.startswith("_page")


@pytest.mark.unit
def test_the_link_header_leads_through_the_pages() -> None:
    page = "_page={}&_limit=4".format
    assert links(page(1)) == {"first": page(1), "next": page(2), "last": page(3)}
    assert links(page(2)) == {"first": page(1), "prev": page(1), "next": page(3), "last": page(3)}
    assert links(page(3)) == {"first": page(1), "prev": page(2), "last": page(3)}
    assert links(page(4)) == links("_page=1") == {}
    assert links(page(0)) == {"first": page(0), "next": page(0), "last": page(0)}


@pytest.mark.unit
def test_one_user_or_none() -> None:
    assert json.loads(answer("/users/1")[2])["username"] == "Bret"
    assert answer("/users/12", users=12)[0] == 200
    for path in ("/users/11", "/users/0", "/users/abc", "/users/1/x", "/", "/posts"):
        assert (answer(path)[0], answer(path)[2]) == (404, b"{}")


@pytest.mark.unit
@pytest.mark.parametrize("path", ["/api/address/random_address", "/api/v2/addresses"])
def test_addresses_are_drawn(path: str) -> None:
    assert json.loads(answer(path)[2]) == generate.address(0)
    assert json.loads(answer(path, "size=3", drawn=5)[2]) == [generate.address(number) for number in (5, 6, 7)]


@pytest.mark.unit
@pytest.mark.parametrize("path", ["/api/business_credit_card/random_card", "/api/v2/credit_cards"])
@pytest.mark.parametrize(("size", "count"), [("1", 1), ("2", 2), ("100", 100), ("101", 100), ("99999999999", 100)])
def test_as_many_cards_are_drawn_as_asked_for_up_to_a_hundred(path: str, size: str, count: int) -> None:
    assert len(json.loads(answer(path, f"size={size}")[2])) == count


@pytest.mark.unit
@pytest.mark.parametrize("size", ["", "size=", "size=0", "size=-1", "size=abc"])
def test_without_a_size_one_object_is_drawn(size: str) -> None:
    assert isinstance(json.loads(answer("/api/v2/credit_cards", size)[2]), dict)


def call(app: App, path: str = "/users", query: str = "", method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"method": method, "path": path, "query_string": query.encode(), "scheme": "http", "headers": []}
    asyncio.run(app(scope, None, send))
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, sent[1]["body"]


@pytest.mark.unit
def test_what_was_drawn_is_not_drawn_again_and_a_seed_gives_the_same_series() -> None:
    path = "/api/address/random_address"

    def series(seed: int) -> list[bytes]:
        app = App(seed=seed)
        return [call(app, path, query)[2] for query in ("size=2", "", "size=2")]

    assert len(set(series(1))) == 3
    assert series(1) == series(1)
    assert series(1) != series(2)


@pytest.mark.unit
def test_errors_come_as_often_as_asked_for_and_the_same_for_the_same_seed() -> None:
    def statuses(seed: int) -> list[int]:
        app = App(error_rate=0.3, seed=seed)
        return [call(app, "/users/1")[0] for _ in range(200)]

    assert 40 < statuses(1).count(500) < 80
    assert statuses(1) == statuses(1)
    assert call(App(error_rate=1))[0] == 500


@pytest.mark.unit
def test_beyond_its_rate_a_source_says_when_to_come_back() -> None:
    app = App(rate_limit="2/m")
    assert [call(app)[0] for _ in range(3)] == [200, 200, 429]
    status, headers, body = call(app)
    assert (status, body) == (429, b"Retry later\n")
    assert 55 <= int(headers["retry-after"]) <= 60
    assert call(app, "/api/v2/addresses")[0] == 200
    with pytest.raises(SettingsError):
        App(rate_limit="often")


@pytest.mark.unit
def test_other_methods_are_not_allowed() -> None:
    status, headers, _ = call(App(), method="POST")
    assert (status, headers["allow"]) == (405, "GET, HEAD")


@contextmanager
def running(*options: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """`celeryctl api` in a process of its own, and the settings that it prints."""
    command = [sys.executable, "-m", "celeryctl", "api", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            lines = [process.stdout.readline().strip() for _ in range(4)]
            yield process, dict(line.split("=", 1) for line in lines)
        finally:
            process.kill()


@pytest.mark.integration
def test_the_server_serves_what_its_settings_name_and_keeps_connections() -> None:
    with running("--users", "25") as (process, settings):
        assert list(settings) == ["USERS_URL", "ADDRESSES_URL", "CREDIT_CARDS_URL", "ALLOW_PRIVATE_SOURCES"]
        client, meter = Client(sources={}, allow_private=settings.pop("ALLOW_PRIVATE_SOURCES") == "1"), Meter()
        for name, url in settings.items():
            assert client.get(f"{url}?size=2", source=name, meter=meter).status == 200
        page = client.get(f"{settings['USERS_URL']}?_page=1&_limit=10", source="users", meter=meter)
        assert page.next == f"{settings['USERS_URL']}?_page=2&_limit=10"
        client.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert process.stderr
        assert process.stderr.read().splitlines() == [
            f"Serving 25 users at {settings['USERS_URL'].removesuffix('/users')}; "
            "the lines above are the settings that use it."
        ]


@pytest.mark.integration
def test_ctrl_c_ends_it_with_0_even_with_a_client_that_holds_on() -> None:
    with running("--latency", "20") as (process, settings):
        host, port = settings["USERS_URL"].split("/")[2].split(":")
        with closing(socket.create_connection((host, int(port)))) as connection:
            connection.sendall(b"HEAD /users HTTP/1.1\r\nHost: h\r\n\r\n")
            head = connection.recv(65_536)
            assert head.startswith(b"HTTP/1.1 200")
            assert head.endswith(b"\r\n\r\n")
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0


@pytest.mark.integration
def test_faults_can_be_had_from_the_command_line() -> None:
    with running("--error-rate", "1") as (_, settings), pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(settings["USERS_URL"])
    with caught.value as error:
        assert error.code == 500


@pytest.mark.integration
def test_a_port_in_use_is_said_with_another_that_is_free() -> None:
    with listen("127.0.0.1", 0) as taken:
        with pytest.raises(LocalServerError, match="Address already in use") as caught:
            listen("127.0.0.1", taken.getsockname()[1])
        free = int(caught.value.fix.removeprefix("celeryctl api --port "))
        listen("127.0.0.1", free).close()
    assert caught.value.exit_code == 69


@pytest.mark.integration
def test_an_address_that_is_not_ours_is_said() -> None:
    with pytest.raises(LocalServerError) as caught:
        listen("192.0.2.1", 0)
    assert caught.value.fix == "celeryctl api --host 127.0.0.1"


@pytest.mark.integration
def test_a_server_for_all_addresses_is_named_by_one_that_can_be_asked() -> None:
    with listen("0.0.0.0", 0) as everywhere:
        base = base_url(everywhere)
    assert base.startswith("http://127.0.0.1:")
    assert variables(base)["USERS_URL"] == base + "/users"


@pytest.mark.integration
def test_without_the_server_library_it_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['uvicorn'] = None\n"
        "from celeryctl.cli.app import run\n"
        "sys.exit(run(['api', '--port', '0']))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=os.environ, timeout=60)
    assert done.returncode == 69
    assert "pip install 'celeryctl[local]'" in done.stderr
    assert "Traceback" not in done.stderr
