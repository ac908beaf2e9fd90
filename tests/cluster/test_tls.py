"""A broker over TLS, that wants a certificate of its clients, too: everybody who speaks to it, and what is refused."""

import datetime
import json
import shutil
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from celery import Celery
from certificates import DAY, Authority
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from waiting import eventually

from celeryctl.cluster import queues
from celeryctl.cluster.remote import ANSWERED
from celeryctl.http import RateBudget
from celeryctl.local.ports import free_port

from .kit import context, process, run, settings, sources, value, worker

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not shutil.which("redis-server"), reason="no Redis here, and the embedded Valkey has no TLS"),
]

NO_DATABASE = "postgresql://127.0.0.1:1/nowhere"
DEFAULT = "user default reset on >s3cret ~* &* +@all"


class Place:
    """A folder with certificates, and a port for a server that shows one of them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.authority = Authority(folder)
        self.client = self.authority.sign("client")
        self.good = self.authority.sign("server")

    def url(self, *, host: str = "localhost", ca: Path | None = None, client: bool = True) -> str:
        certificate = f"&ssl_certfile={self.client[0]}&ssl_keyfile={self.client[1]}" if client else ""
        return f"rediss://:s3cret@{host}:{self.port}/0?ssl_ca_certs={ca or self.authority.ca}{certificate}"

    @contextmanager
    def server(
        self, certificate: tuple[Path, Path] | None = None, *, default: str = DEFAULT, clients: str = "yes"
    ) -> Iterator[None]:
        chain, key = certificate or self.good
        lines = [f"tls-port {self.port}", "port 0", "bind 127.0.0.1", 'save ""', default, f"tls-auth-clients {clients}"]
        lines += [f"tls-cert-file {chain}", f"tls-key-file {key}", f"tls-ca-cert-file {self.authority.ca}"]
        (self.folder / "redis.conf").write_text("\n".join(lines) + "\n")
        with (self.folder / "redis.log").open("ab") as log:
            before = (self.folder / "redis.log").stat().st_size
            command = ["redis-server", "redis.conf"]
            with subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log) as running:
                try:
                    eventually(lambda: b"Ready to accept" in (self.folder / "redis.log").read_bytes()[before:])
                    yield
                finally:
                    running.kill()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    folder = tmp_path / "tls"
    folder.mkdir()
    return Place(folder)


@pytest.mark.slow
def test_everybody_speaks_to_a_broker_over_tls(place: Place, database_url: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        stack.enter_context(place.server())
        api, port = stack.enter_context(sources(10)), free_port()
        more = {"api": api, "USERS_RATE_LIMIT": "100/s", "FLOWER_PORT": str(port), "FLOWER_BASIC_AUTH": "ann:geheim"}
        variables = settings(database_url, place.url(), tmp_path, **more)
        one = stack.enter_context(worker(tmp_path / "worker.log", variables))
        beat = stack.enter_context(process(["celeryctl", "beat"], tmp_path / "beat.log", variables))
        beat.assert_says("active: opens the runs that are due")
        tail = stack.enter_context(process(["celeryctl", "tail"], tmp_path / "tail.log", variables))
        flower = stack.enter_context(process(["celeryctl", "flower"], tmp_path / "flower.log", variables))
        flower.assert_says("Visit me")
        done = run(variables, tmp_path, "fetch", "all", "--refresh", "--wait")
        assert done.returncode == 0, done.stderr
        assert (value("SELECT count(*) FROM credit_cards"), value("SELECT count(*) FROM users")) == (10, 10)
        tail.assert_says("succeeded")
        stats = json.loads(run(variables, tmp_path, "stats", "--json").stdout)
        assert (stats["problems"], stats["queues"][0]["waiting"]) == ([], 0)
        assert {source["name"]: source["budget"] for source in stats["sources"]}["users"]["limit"] == "100/s"
        checks = json.loads(run(variables, tmp_path, "doctor", "--json").stdout)["checks"]
        states = {check["name"]: check["state"] for check in checks}
        assert {states[name] for name in ("broker", "consuming", "broker password", "memory policy")} == {"ok"}
        assert lengths(port) == [{"name": "celery", "messages": 0}]
        said = "".join(program.text for program in (one, beat, tail, flower))
        assert not [word for word in ("s3cret", "insecure", "CERT_NONE") if word in said]
        flower.kill()


def test_the_passphrase_of_the_key_is_told_to_nobody_who_asks_the_workers(
    place: Place, database_url: str, tmp_path: Path
) -> None:
    encrypt(place.client[1], "hu5h")
    url = f"{place.url()}&ssl_password=hu5h"
    with place.server(), worker(tmp_path / "log", settings(database_url, url, tmp_path)) as one:
        with Celery("other", broker=f"{url}&ssl_cert_reqs=required") as stranger:
            answers = {
                name: stranger.control.broadcast(name, reply=True, limit=1, timeout=10)
                for name in ANSWERED - {"query_task", "heartbeat", "enable_events"}
            }
        assert [name for name, answer in answers.items() if not answer or "hu5h" in str(answer)] == []
        (stats,) = answers["stats"][0].values()
        assert stats["broker"]["transport"] == "rediss"
        assert "hu5h" not in one.text


def encrypt(path: Path, passphrase: str) -> None:
    key = load_pem_private_key(path.read_bytes(), None)
    how = BestAvailableEncryption(passphrase.encode())
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how))


def lengths(port: int) -> object:
    """What Flower's own client of the broker finds, as soon as Flower listens."""

    request = Request(f"http://127.0.0.1:{port}/api/queues/length")
    request.add_header("Authorization", "Basic " + b64encode(b"ann:geheim").decode())

    def asked() -> object:
        try:
            with urlopen(request, timeout=20) as answer:
                return json.loads(answer.read())["active_queues"]
        except OSError:
            return None

    return eventually(asked)


def test_the_rate_budget_is_kept_over_tls(place: Place, tmp_path: Path) -> None:
    with place.server():
        one = context(settings(NO_DATABASE, place.url(), tmp_path, USERS_RATE_LIMIT="5/m"), tmp_path)
        budgets = [RateBudget.from_settings(one.settings) for _ in range(2)]
        for budget in budgets:
            budget.wait("users")
        assert budgets[0].remaining("users") == 3


@pytest.mark.parametrize(
    ("default", "client", "open_"),
    [("nopass", "yes", False), ("nopass", "no", True), (">s3cret", "no", False)],
    ids=["a certificate is asked for", "nothing is asked for", "a password is asked for"],
)
def test_a_broker_that_asks_for_a_certificate_does_not_let_anybody_in(
    place: Place, default: str, client: str, open_: bool
) -> None:
    with place.server(default=f"user default reset on {default} ~* &* +@all", clients=client):
        assert queues.lets_anybody_in(place.url()) == open_


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("authority", "CERTIFICATE_VERIFY_FAILED"),
        ("expired", "certificate has expired"),
        ("host", "Hostname mismatch"),
        ("no client certificate", "it may want a client's certificate"),
        ("plain", "Connection"),
    ],
)
@pytest.mark.parametrize("words", ["worker", "beat", "fetch users --detach", "stats --json", "doctor --json"])
def test_who_cannot_trust_the_broker_says_so_and_does_not_speak_to_it(
    place: Place, wrong: str, reason: str, words: str, database_url: str, tmp_path: Path
) -> None:
    shown = {
        "expired": place.authority.sign("expired", until=-DAY),
        "host": place.authority.sign("host", "elsewhere.example"),
    }
    url = place.url(
        ca=Authority(place.folder, "other").ca if wrong == "authority" else None,
        client=wrong != "no client certificate",
    )
    if wrong == "plain":
        url = f"redis://:s3cret@localhost:{place.port}/0"
    with place.server(shown.get(wrong)):
        done = run(settings(database_url, url, tmp_path), tmp_path, *words.split())
    assert "Traceback" not in done.stderr
    assert "s3cret" not in done.stdout + done.stderr
    if words.startswith("stats"):
        assert (done.returncode, json.loads(done.stdout)["queues"]) == (0, None)
        assert "the broker does not answer" in done.stdout
        assert reason.lower() in done.stdout.lower()
        return
    assert done.returncode == 69, done.stderr
    assert reason.lower() in (done.stdout + done.stderr).lower()
    if not words.startswith("doctor"):
        assert [line[:6] for line in done.stderr.splitlines()] == ["Error:", "  why:", "  fix:"]


@pytest.mark.slow
def test_a_worker_says_why_it_does_not_come_back_and_comes_back(
    place: Place, database_url: str, tmp_path: Path
) -> None:
    variables = settings(database_url, place.url(), tmp_path)
    with ExitStack() as stack:
        first = stack.enter_context(ExitStack())
        first.enter_context(place.server())
        one = stack.enter_context(worker(tmp_path / "worker.log", variables))
        first.close()
        with place.server(place.authority.sign("expired", until=datetime.timedelta(hours=-1))):
            one.assert_says("certificate has expired", within=60)
            assert one.lives
        with place.server():
            one.assert_says("Connected to rediss", times=2, within=60)
