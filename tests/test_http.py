"""The client against a real server on loopback that misbehaves."""

import contextlib
import errno
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from faultserver import FaultServer, Reply
from waiting import eventually

from celeryctl.errors import BrokerUnreachableError, SourceError, SourceUnreachableError
from celeryctl.http import Answer, Client, Meter, RateBudget
from celeryctl.storage.totals import REQUESTS

pytestmark = pytest.mark.integration

GOOD = Reply.json([{"id": 1}])
# Where two libraries read a URL differently, the one that checks may see another host than the one that connects.
HOW_TO_LEAD_AWAY = [
    "//{there}/users",
    "http://{there}/users",
    "http://127.0.0.1:{port}/users",
    "http://{there}\\@{here}/users",
    "http://{there}\\\\@{here}/users",
    "http://{there}#@{here}/users",
    "http://{there}?@{here}/users",
    "http://{here}@{there}/users",
    "http://me:pw@{here}/users",
    "http://127.0.0.2\\.127.0.0.1:{port}/users",
    "http://{here}:{port}/users",
    "https:{there}/users",
]
PRIVATE_HOSTS = [
    *("127.0.0.1", "localhost", "localhost.", "LOCALHOST", "2130706433", "0x7f000001", "0177.0.0.1", "0x7f.1", "127.1"),
    *("0.0.0.0", "0", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]"),
]
Ask = Callable[..., Answer]


@dataclass
class Origin:
    url: str
    authorization: str | None = None


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        yield running


@pytest.fixture
def meter() -> Meter:
    return Meter()


@pytest.fixture
def ask(server: FaultServer, meter: Meter) -> Iterator[Ask]:
    """Ask the server for /users with a client that is allowed to."""
    clients = []

    def get(*replies: Any, path: str = "/users", authorization: str | None = None, **options: Any) -> Answer:
        if replies:
            server.answer("/users", *replies)
        absent_ok = options.pop("absent_ok", False)
        origin = Origin(server.url + "/users", authorization)
        clients.append(Client(**{"sources": {"users": origin}, "allow_private": True, "pause": 0.01, **options}))
        return clients[-1].get(server.url + path, source="users", meter=meter, absent_ok=absent_ok)

    yield get
    for client in clients:
        client.close()


def test_an_answer_comes_with_body_headers_and_url(ask: Ask, server: FaultServer, meter: Meter) -> None:
    answer = ask(GOOD.with_header("X-Total-Count", "1"))
    assert (answer.status, answer.body, answer.headers["x-total-count"]) == (200, b'[{"id": 1}]', "1")
    assert answer.url == server.url + "/users"
    assert (meter.requests, meter.retries) == (1, 0)
    assert server.requests[0].headers["user-agent"].startswith("celeryctl/")


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 520])
def test_what_may_pass_is_tried_again(ask: Ask, meter: Meter, status: int) -> None:
    assert ask(Reply(status), GOOD).status == 200
    assert (meter.requests, meter.retries) == (2, 1)


@pytest.mark.parametrize("body", ["Retry later", "", "<html></html>", '[{"id": 1}', "null"])
def test_a_body_that_is_not_json_is_tried_again(ask: Ask, meter: Meter, body: str) -> None:
    assert ask(Reply.text(body), GOOD).body == GOOD.body
    assert meter.retries == 1


@pytest.mark.parametrize(
    "bad", [Reply.close(), Reply.reset(), Reply(body=b"[1", missing=9)], ids=["closed", "reset", "cut"]
)
def test_a_broken_connection_is_tried_again(ask: Ask, meter: Meter, bad: Reply) -> None:
    assert ask(bad, GOOD).status == 200
    assert (meter.requests, meter.retries) == (2, 1)


def test_it_gives_up_after_the_last_try_and_says_what_came_back(ask: Ask, meter: Meter) -> None:
    with pytest.raises(SourceUnreachableError) as caught:
        ask(Reply.text("Retry\x1b[31m later"), max_tries=3, path="/users?key=geheimnis")
    assert "answered 200 'Retry [31m later', not JSON (3 tries)" in caught.value.why
    assert "geheimnis" not in str(caught.value)
    assert caught.value.exit_code == 69
    assert (meter.requests, meter.retries) == (3, 2)


def test_nobody_there_is_tried_again_but_counts_no_request(meter: Meter) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        client = Client(sources={}, allow_private=True, max_tries=2, pause=0.01)
        with pytest.raises(SourceUnreachableError, match=r"connection refused \(2 tries\)"):
            client.get(f"http://127.0.0.1:{taken.getsockname()[1]}/", source="users", meter=meter)
        client.close()
    assert (meter.requests, meter.retries) == (0, 1)
    assert [word for word, _ in meter.ended] == ["connection"] * 2


def test_a_name_that_does_not_resolve_is_said_so(monkeypatch: pytest.MonkeyPatch, meter: Meter) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    client = Client(sources={}, max_tries=1)
    with pytest.raises(SourceUnreachableError, match="its name does not resolve"):
        client.get("http://nowhere.invalid/users", source="users", meter=meter)
    client.close()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 204, 304])
def test_a_refusal_is_final(ask: Ask, meter: Meter, status: int) -> None:
    with pytest.raises(SourceError, match=f"answered {status}"):
        ask(Reply(status))
    assert (meter.requests, meter.retries) == (1, 0)


def test_a_refusal_in_html_shows_neither_the_credentials_nor_a_card(ask: Ask) -> None:
    page = "<html>\r\nNo: Bearer geheimnis, 1234-5678-9012-3456" + "x" * 200
    with pytest.raises(SourceError) as caught:
        ask(Reply.text(page, 403), authorization="Bearer geheimnis")
    assert "'<html> No: ****, ****x" in caught.value.why
    assert len(caught.value.why) < 150


def test_an_error_in_json_is_not_repeated(ask: Ask) -> None:
    with pytest.raises(SourceError) as caught:
        ask(Reply.json({"email": "Sincere@april.biz"}, status=422))
    assert caught.value.why.endswith("answered 422")


def test_404_is_an_answer_where_absence_is_one(ask: Ask) -> None:
    assert (ask(Reply.text("gone", 404), absent_ok=True).status, ask(absent_ok=True).body) == (404, b"")


@pytest.mark.parametrize("wait", ["1", formatdate(time.time() + 2, usegmt=True)], ids=["seconds", "date"])
def test_retry_after_is_waited_for(ask: Ask, server: FaultServer, wait: str) -> None:
    began = time.monotonic()
    until = formatdate(time.time() + 2, usegmt=True)  # whole seconds: between one and two from now
    ask(Reply.text("Retry later", 429, headers={"Retry-After": wait if wait == "1" else until}), GOOD)
    assert time.monotonic() - began > 0.9


@pytest.mark.parametrize("wait", ["soon", "-5", "0", "", "1e3", "Thu, 01 Jan 1970 00:00:00 GMT"])
def test_a_retry_after_without_use_does_not_hold_up(ask: Ask, wait: str) -> None:
    began = time.monotonic()
    ask(Reply(503, headers={"Retry-After": wait}), GOOD)
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("wait", ["300", "99999999999999999999", "Fri, 31 Dec 2100 23:59:59 GMT"])
def test_a_retry_after_beyond_the_deadline_ends_it_at_once_and_says_when(ask: Ask, meter: Meter, wait: str) -> None:
    with pytest.raises(SourceUnreachableError, match=r"it may be asked again in \d+ s, at 2\d{3}-.* UTC"):
        ask(Reply.text("Retry later", 429, headers={"Retry-After": wait}), total_timeout=60)
    assert meter.requests == 1


@pytest.mark.parametrize("storage", [None, "memory://"])
def test_nobody_waits_here_for_longer_than_a_minute(ask: Ask, meter: Meter, storage: str | None) -> None:
    budget = RateBudget({}, storage) if storage else None
    with pytest.raises(SourceUnreachableError) as caught:
        ask(Reply.text("Retry later", 429, headers={"Retry-After": "61"}), total_timeout=120, budget=budget)
    assert (meter.requests, caught.value.retry_after) == (1, 61)
    assert budget is None or budget.paused_for("users") == 0


@pytest.mark.parametrize(
    "slow",
    [Reply.json([1] * 50, trickle=0.1), Reply.json([1], trickle_head=0.1), Reply.json([1], delay=9)],
    ids=["body", "head", "silence"],
)
def test_the_total_time_out_holds_for_a_server_that_trickles(ask: Ask, slow: Reply) -> None:
    began = time.monotonic()
    with pytest.raises(SourceUnreachableError, match="no complete answer in time"):
        ask(slow, total_timeout=0.5, read_timeout=30)
    assert time.monotonic() - began < 4  # it would take 5 at least


def test_the_total_time_out_holds_for_all_tries_together(ask: Ask) -> None:
    began = time.monotonic()
    with pytest.raises(SourceUnreachableError):
        ask(Reply(500, delay=0.1), total_timeout=0.6, max_tries=1000)
    assert time.monotonic() - began < 50  # the tries alone would take 100


def test_the_read_time_out_allows_another_try(ask: Ask, meter: Meter) -> None:
    assert ask(Reply.json([1], delay=9), GOOD, read_timeout=1).status == 200
    assert meter.retries == 1


@pytest.mark.parametrize("compress", [Reply.gzipped, lambda body: Reply(body=body)], ids=["gzip", "plain"])
def test_a_body_larger_than_allowed_is_not_read_to_its_end(ask: Ask, meter: Meter, compress: Any) -> None:
    with pytest.raises(SourceError, match=r"more than 1000000 bytes \(HTTP_MAX_BYTES\)"):
        ask(compress(b"[" + b"0," * 2_000_000 + b"0]"), max_bytes=1_000_000)
    assert meter.requests == 1


def test_a_body_as_large_as_allowed_is_taken(ask: Ask) -> None:
    body = b"[" + b" " * 998 + b"]"
    assert ask(Reply.gzipped(body), max_bytes=1000).body == body


def test_a_body_that_cannot_be_decompressed_is_tried_again(ask: Ask) -> None:
    assert ask(Reply(body=b"[1]", headers={"Content-Encoding": "gzip"}), GOOD).status == 200


@pytest.mark.parametrize(
    ("replies", "words"),
    [
        ((GOOD,), ["ok"]),
        ((Reply(404),), ["ok"]),
        ((Reply(503), Reply.text("Retry later"), GOOD), ["http_error", "invalid", "ok"]),
        ((Reply(403),), ["http_error"]),
        ((Reply.json([1], delay=9), GOOD), ["timeout", "ok"]),
        ((Reply.close(), Reply.reset(), Reply(body=b"[1]", missing=5), GOOD), ["connection"] * 3 + ["ok"]),
        ((Reply(body=b"[1]", headers={"Content-Encoding": "gzip"}), GOOD), ["invalid", "ok"]),
        ((Reply(body=b"[" + b" " * 2000 + b"]"),), ["invalid"]),
        ((Reply.redirect("/users"), GOOD), ["redirected", "ok"]),
    ],
)
def test_how_each_request_ended_is_counted(ask: Ask, meter: Meter, replies: Any, words: list[str]) -> None:
    with contextlib.suppress(SourceError):
        ask(*replies, absent_ok=True, read_timeout=1, max_bytes=1000)
    assert [word for word, _ in meter.ended] == words
    assert len(words) == meter.requests
    assert {*words} <= {*REQUESTS}
    assert all(0 < seconds < 30 for _, seconds in meter.ended)


def test_connections_are_kept_also_after_errors(server: FaultServer, meter: Meter) -> None:
    server.answer("/users", Reply(500), Reply.text("Retry later"), Reply(404), GOOD)
    client = Client(sources={}, allow_private=True, pause=0.01)
    for _ in range(5):
        client.get(server.url + "/users", source="users", meter=meter, absent_ok=True)
    client.close()
    assert (meter.requests, server.connections) == (7, 1)


def test_several_threads_may_ask_at_once(server: FaultServer, meter: Meter) -> None:
    server.answer("/users", Reply.json([1], delay=1))
    client = Client(sources={}, allow_private=True, pool_size=8)
    threads = [
        threading.Thread(target=client.get, args=(server.url + "/users",), kwargs={"source": "users", "meter": meter})
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    client.close()
    # One after the other they would have gone over one connection, which is kept.
    assert (meter.requests, server.connections) == (8, 8)


def test_the_authorization_goes_to_its_own_source_only(server: FaultServer, meter: Meter) -> None:
    server.answer("/users", GOOD)
    with FaultServer() as other:
        other.answer("/users", GOOD)
        sources = {"users": Origin(server.url + "/users", "Bearer ключ"), "loyalty": Origin(other.url)}
        client = Client(sources=sources, allow_private=True)
        client.get(server.url + "/users", source="users", meter=meter)
        client.get(other.url + "/users", source="loyalty", meter=meter)
        with pytest.raises(SourceError, match="names another server"):
            client.get(other.url + "/users", source="users", meter=meter)
        client.close()
        assert [request.headers.get("authorization") for request in other.requests] == [None]
    assert server.requests[0].headers["authorization"].encode("latin-1").decode() == "Bearer ключ"


def test_a_redirect_on_the_same_host_is_followed_with_the_authorization(
    ask: Ask, server: FaultServer, meter: Meter
) -> None:
    server.answer("/there", GOOD)
    assert ask(Reply.redirect("/there?x=1", 308), authorization="Bearer geheimnis").url == server.url + "/there?x=1"
    assert [request.headers["authorization"] for request in server.requests] == ["Bearer geheimnis"] * 2
    assert (meter.requests, meter.retries) == (2, 0)


def test_a_redirect_to_another_host_is_refused(ask: Ask, server: FaultServer) -> None:
    with FaultServer() as other:
        with pytest.raises(SourceError, match="not followed"):
            ask(Reply.redirect(other.url + "/users"))
        with pytest.raises(SourceError, match="redirects elsewhere"):
            ask(Reply.redirect(other.url + "/users"), sources={})
        with pytest.raises(SourceError, match="not an http or https URL"):
            ask(Reply.redirect("ftp://127.0.0.1/users"))
        assert not other.requests


@pytest.mark.parametrize("how", HOW_TO_LEAD_AWAY)
def test_a_redirect_leads_no_authorization_away_however_it_is_written(ask: Ask, server: FaultServer, how: str) -> None:
    with FaultServer(host="127.0.0.2") as other:
        target = how.format(here=f"127.0.0.1:{server.port}", there=f"127.0.0.2:{other.port}", port=other.port)
        with pytest.raises(SourceError):
            ask(Reply.redirect(target), authorization="Bearer geheimnis")
        assert not other.requests
    assert [request.path for request in server.requests] == ["/users"]


@pytest.mark.parametrize("target", ["http://[", "//[::", "http://h:x/"])
def test_a_redirect_to_nowhere_is_refused(ask: Ask, target: str) -> None:
    with pytest.raises(SourceError, match=r"cannot be asked|names another server|redirects"):
        ask(Reply.redirect(target))


def test_redirects_in_a_circle_end(ask: Ask, meter: Meter) -> None:
    with pytest.raises(SourceError, match="more than 5 redirects"):
        ask(Reply.redirect("/users"))
    assert meter.requests == 6


def test_the_body_of_a_redirect_is_not_read(ask: Ask, server: FaultServer) -> None:
    server.answer("/there", GOOD)
    began = time.monotonic()
    ask(Reply(302, b"x" * 100, {"Location": "/there"}, trickle=0.1))
    assert time.monotonic() - began < 9  # the body takes 10


def test_cookies_are_not_kept(ask: Ask, server: FaultServer) -> None:
    ask(Reply(500, headers={"Set-Cookie": "a=b"}), GOOD)
    assert "cookie" not in server.requests[1].headers


def test_proxies_of_the_environment_are_not_used(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    assert ask(GOOD).status == 200


def test_a_certificate_that_nobody_signed_is_refused_at_once(meter: Meter) -> None:
    with FaultServer(tls=True) as server:
        client = Client(sources={}, allow_private=True)
        with pytest.raises(SourceError, match=r"cannot be trusted: the certificate of https://127\.0\.0\.1"):
            client.get(server.url + "/users", source="users", meter=meter)
        client.close()
        assert (server.requests, meter.requests) == ([], 0)
        assert [word for word, _ in meter.ended] == ["connection"]


def test_neither_certificates_nor_passwords_come_from_the_environment(
    ask: Ask, server: FaultServer, meter: Meter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password geheim\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    ask(GOOD)
    assert "authorization" not in server.requests[0].headers
    with FaultServer(tls=True) as signed_by_itself:
        bundle = tmp_path / "bundle.pem"
        bundle.write_text(ssl.get_server_certificate(("127.0.0.1", signed_by_itself.port)))
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
            monkeypatch.setenv(name, str(bundle))
        client = Client(sources={}, allow_private=True)
        with pytest.raises(SourceError, match="cannot be trusted"):
            client.get(signed_by_itself.url + "/users", source="users", meter=meter)
        client.close()
        assert signed_by_itself.requests == []


@pytest.mark.parametrize("host", PRIVATE_HOSTS)
def test_private_addresses_are_refused_unless_allowed(server: FaultServer, meter: Meter, host: str) -> None:
    client = Client(sources={})
    with pytest.raises(SourceError, match="lies on a private address") as caught:
        client.get(f"http://{host}:{server.port}/users", source="users", meter=meter)
    client.close()
    assert "ALLOW_PRIVATE_SOURCES=1" in caught.value.fix
    assert not server.requests


def test_what_is_connected_to_is_the_address_that_was_looked_at(
    server: FaultServer, meter: Meter, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answers = [], ["93.184.216.34", "127.0.0.1"]

    def rebind(host: str, port: int, *_: Any, **__: Any) -> Any:
        asked.append(host)
        if host == "93.184.216.34":
            raise OSError(errno.ENETUNREACH, "Network is unreachable")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answers.pop(0), port))]

    monkeypatch.setattr(socket, "getaddrinfo", rebind)
    client = Client(sources={}, max_tries=1)
    with pytest.raises(SourceUnreachableError, match="no connection in time"):
        client.get(f"http://rebind.example:{server.port}/users", source="users", meter=meter)
    with pytest.raises(SourceError, match=r"127\.0\.0\.1 is not an address of the open internet"):
        client.get(f"http://rebind.example:{server.port}/users", source="users", meter=meter)
    client.close()
    assert asked == ["rebind.example", "93.184.216.34", "rebind.example"]
    assert server.requests == []


def test_the_total_time_out_holds_however_many_addresses_a_name_has(
    meter: Meter, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = socket.getaddrinfo
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf, contextlib.ExitStack() as waiting:
        place = deaf.getsockname()[:2]
        for _ in range(4):  # what does not fit in is not answered
            waiting.enter_context(contextlib.closing(connecting(place)))
        several = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", place)] * 100
        monkeypatch.setattr(
            socket, "getaddrinfo", lambda *asked, **how: several if asked[0] == "many" else usual(*asked, **how)
        )
        client = Client(sources={}, allow_private=True, connect_timeout=0.3, total_timeout=1, max_tries=1)
        began = time.monotonic()
        with pytest.raises(SourceUnreachableError, match="no connection in time"):
            client.get(f"http://many:{place[1]}/", source="users", meter=meter)
        client.close()
    assert time.monotonic() - began < 15  # all of them would take 30


def connecting(place: tuple[str, int]) -> socket.socket:
    """A connection under way."""
    sock = socket.socket()
    sock.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        sock.connect(place)
    return sock


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "http:///users", "http://[::1/", "http://h:99999/", "users"])
def test_what_is_no_url_is_refused(meter: Meter, url: str) -> None:
    client = Client(sources={})
    with pytest.raises(SourceError, match="not an http or https URL"):
        client.get(url, source="users", meter=meter)
    client.close()


def test_an_authorization_with_a_line_break_is_refused_and_not_shown(ask: Ask) -> None:
    with pytest.raises(SourceError, match="its Authorization header is not well-formed") as caught:
        ask(GOOD, authorization="Bearer geheim\nX: y")
    assert "geheim" not in str(caught.value)


@pytest.fixture(params=["memory", "redis"])
def storage(request: pytest.FixtureRequest) -> str | None:
    return request.getfixturevalue("redis_url") if request.param == "redis" else None


def test_a_budget_lets_through_what_its_rate_allows(ask: Ask, storage: str | None) -> None:
    began = time.monotonic()
    budget = RateBudget({"users": "5/s"}, storage)
    for _ in range(6):
        ask(GOOD, budget=budget)
    assert time.monotonic() - began > 0.9


def test_a_budget_in_redis_is_one_for_all_processes(redis_url: str) -> None:
    began = time.monotonic()
    for _ in range(3):
        for budget in (RateBudget({"users": "5/s"}, redis_url), RateBudget({"users": "5/s"}, redis_url)):
            budget.wait("users")
    assert time.monotonic() - began > 0.9


def test_waiting_for_the_budget_does_not_use_up_the_time_for_the_answer(ask: Ask) -> None:
    budget, began = RateBudget({}), time.monotonic()
    budget.pause("users", 3)
    assert ask(GOOD, budget=budget, total_timeout=2).status == 200
    assert time.monotonic() - began > 2


def test_a_retry_after_holds_for_everybody_who_shares_the_budget(ask: Ask, storage: str | None) -> None:
    busy = Reply.text("Retry later", 429, headers={"Retry-After": "1"})
    with pytest.raises(SourceUnreachableError):
        ask(busy, budget=RateBudget({}, storage) if storage else (one := RateBudget({})), max_tries=1)
    began = time.monotonic()
    ask(GOOD, budget=RateBudget({}, storage) if storage else one)
    assert time.monotonic() - began > 0.4


def test_a_pause_that_somebody_else_has_set_is_noticed_while_it_lasts(redis_url: str) -> None:
    ours, theirs = RateBudget({}, redis_url), RateBudget({}, redis_url)
    ours.wait("users")
    theirs.pause("users", 5)

    def waits() -> bool:
        began = time.monotonic()
        ours.wait("users")
        return time.monotonic() - began > 0.2

    assert eventually(waits, within=4.5)


def test_a_budget_whose_redis_is_away_says_so() -> None:
    budget = RateBudget({"users": "5/s"}, "redis://:geheim@127.0.0.1:9/0")
    for ask in (lambda: budget.wait("users"), lambda: budget.pause("users", 1)):
        with pytest.raises(BrokerUnreachableError) as caught:
            ask()
        assert "geheim" not in f"{caught.value} {caught.value.fix}"
