"""What a second user of this machine can see of an `up`: nothing, wherever its home lies and whatever the umask."""

import os
import pwd
import stat
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import psutil
import psycopg2
import pytest
import redis

from celeryctl.local.account import Account
from celeryctl.local.ports import free_port

from .accounts import NOBODY, as_nobody, as_stranger
from .cockpit import CELERYCTL, Cockpit

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user"),
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="reads /proc"),
]

OPEN = ["sh", "-c", 'umask 000 && exec "$@"', "sh"]  # what others could do to us were no mode given
GIVEN = {"FLOWER_BASIC_AUTH": "ann:geheimes-wort", "USERS_AUTHORIZATION": "Bearer geheimer-schein"}
SHORT, SPACED, LONG, ANOTHERS = "a", "a folder with spaces", "/".join(["deep" * 10] * 4), "another's"


@pytest.fixture(params=[SHORT, SPACED, LONG, ANOTHERS])
def up(request: pytest.FixtureRequest, place: Path) -> Iterator[Cockpit]:
    """The terminal of an `up` with all its parts; root's, and once another user's."""
    folder = place / request.param
    folder.mkdir(parents=True)
    command = [*OPEN, *CELERYCTL]
    if request.param == ANOTHERS:
        command = [*OPEN, *as_nobody(place), "-m", "celeryctl"]
        os.chown(folder, pwd.getpwnam(NOBODY).pw_uid, -1)
    (place / "tmp").mkdir()
    (place / "tmp").chmod(0o1777)
    environment = {**GIVEN, "TMPDIR": str(place / "tmp"), "HOME": str(folder), "FLOWER_PORT": str(free_port())}
    cockpit = Cockpit(folder, environment, command)
    try:
        cockpit.ok("up", "--detach", "--flower", "--sources", "local")
        cockpit.until_filled()
        yield cockpit
    finally:
        cockpit.clear()
        Account.of(cockpit.home).remove()


def everything(*places: Path) -> list[Path]:
    return [path for place in places if place.exists() for path in (place, *place.rglob("*"))]


def within_reach(paths: Iterable[Path]) -> list[str]:
    """Those of the files that we can read or write, and the folders that we can look into or put something in."""
    return [str(path) for path in paths if _opens(path, os.O_RDONLY) or _opens(path, os.O_WRONLY) or _takes(path)]


def _opens(path: Path, flags: int) -> bool:
    try:
        os.close(os.open(path, flags | os.O_NONBLOCK))
    except OSError:
        return False
    return True


def _takes(path: Path) -> bool:
    return _opens(path / "planted", os.O_WRONLY | os.O_CREAT | os.O_EXCL)


def let_in(broker: str, database: str) -> list[str]:
    """The servers that answer who has no password, or a wrong one."""
    found = []
    for password in ("", "wrong"):
        client = redis.Redis.from_url(f"redis://:{password}@{broker.split('@')[1]}")
        with closing(client), suppress(redis.AuthenticationError):
            found.append(f"broker: {client.ping()}")
        for user in ("postgres", "nobody", "root"):
            try:
                psycopg2.connect(f"postgresql://{user}:{password}@{database.split('@')[1]}").close()
                found.append(f"database: {user} with {password!r}")
            except psycopg2.OperationalError as error:
                found += [str(error)] * ("password" not in str(error))
    return found


def secrets_of(cockpit: Cockpit) -> list[str]:
    """All that nobody else may read, as it is in the files and the environment."""
    urls = cockpit.document()["settings"]
    passwords = [urls[name].split("@")[0].rsplit(":", 1)[1] for name in ("DATABASE_URL", "REDIS_URL")]
    files = [(cockpit.home / name).read_text().strip() for name in ("card.key", "postgres/password")]
    found = [*passwords, *files, *(value.replace(":", " ").split()[1] for value in GIVEN.values())]
    assert all(len(secret) > 10 for secret in found)
    return found


def test_a_stranger_sees_nothing(up: Cockpit) -> None:
    assert_private(up)
    processes, secrets = up.left(), secrets_of(up)
    assert len(processes) > 8
    assert [line for line in command_lines() if any(secret in line for secret in secrets)] == []
    proc = [Path(f"/proc/{process.pid}/{name}") for process in processes for name in ("environ", "mem", "fd", "maps")]
    assert as_stranger(lambda: within_reach(proc)) == []
    urls = up.document()["settings"]
    assert as_stranger(lambda: let_in(urls["REDIS_URL"], urls["DATABASE_URL"])) == []
    bound = [use.laddr for process in processes for use in process.net_connections("unix") if use.laddr]
    assert bound == [], "a socket that has a name, which others may find"
    addresses = {use.laddr.ip for one in processes for use in one.net_connections("inet") if use.status == "LISTEN"}
    assert addresses == {"127.0.0.1"}
    given = {name: _given(up.child(name), secrets) for name in ("api", "flower", "worker1")}
    assert given == {"api": [], "flower": ["FLOWER_BASIC_AUTH"], "worker1": sorted(GIVEN)}
    up.ok("down")
    assert_private(up)


def command_lines() -> list[str]:
    """What anybody can read of any process: what it is called, and with what it was started; an `up` among them."""
    shown = [f"{one.info['name']} {one.info['cmdline']}" for one in psutil.process_iter(["name", "cmdline"])]
    assert any("celeryctl" in line for line in shown)
    return shown


def _given(process: psutil.Process, secrets: list[str]) -> list[str]:
    """The variables of the process that hold a secret."""
    return sorted(name for name, value in process.environ().items() if any(secret in value for secret in secrets))


def assert_private(up: Cockpit) -> None:
    """Nothing of the home, of the database's folder and of what is temporary is in a stranger's reach."""
    home, data, temporary = up.home, Account.of(up.home).folder, Path(up.environment["TMPDIR"])
    paths = everything(home, data) + everything(*temporary.iterdir()) + list(Path("/dev/shm").glob("PostgreSQL.*"))
    assert len(paths) > 1000
    assert as_stranger(lambda: within_reach(paths)) == []
    loose = [str(path) for path in everything(home, data) if _mode(path) & 0o077]
    assert loose == []


def _mode(path: Path) -> int:
    try:
        return stat.S_IMODE(path.lstat().st_mode)
    except FileNotFoundError:
        return 0
