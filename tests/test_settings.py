import json
import os
import stat
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from celeryctl import datasets, home
from celeryctl.errors import HomeError, SettingsError
from celeryctl.settings import (
    SETTINGS,
    Environment,
    Secret,
    Settings,
    SourceDefaults,
    add_key,
    declared,
    example,
    home_keys,
    load,
    masked,
    new_key,
    parse_duration,
    parse_rate,
    parse_size,
)

pytestmark = pytest.mark.unit
HERE = quote(__file__)  # the folder may hold spaces

KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
USERS = SourceDefaults("users", "https://users.example/users", timedelta(seconds=300))
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")


def read(folder: Path, environ: Mapping[str, str] | None = None, **flags: str) -> Settings:
    return load(Environment.read(environ or {}, folder, flags), [USERS])


def dotenv(folder: Path, text: str) -> Path:
    path = folder / ".env"
    path.write_text(text)
    path.chmod(0o600)
    return path


def running(stack: ExitStack, folder: Path, sources: str = "live", /, **settings: str) -> None:
    """As if `up` ran in this folder with these settings."""
    place = home.create(folder / ".celeryctl")
    home.write_private(place / "up.json", json.dumps({"pid": 1, "sources": sources, "settings": settings}))
    stack.enter_context(home.lock(place / "up.lock"))


def test_the_sources_of_an_up_with_local_ones_win_and_that_is_told(tmp_path: Path) -> None:
    with ExitStack() as stack:
        local = {"USERS_URL": "http://127.0.0.1:1/users", "ALLOW_PRIVATE_SOURCES": "1"}
        running(stack, tmp_path, "local", REDIS_URL="redis://127.0.0.1:1", **local)
        dotenv(tmp_path, "USERS_URL=https://live.example/users\nLOG_LEVEL=ERROR")
        environ = {"ALLOW_PRIVATE_SOURCES": "0", "REDIS_URL": "redis://127.0.0.1:2"}
        found = read(tmp_path, environ)
        assert (found.sources["users"].url, found.allow_private_sources) == (local["USERS_URL"], True)
        assert (found.redis_url, found.log_level) == ("redis://127.0.0.1:2", "ERROR")
        assert found.environment.origin("USERS_URL") == "up"
        assert [notice.split()[0] for notice in found.environment.notices] == ["ALLOW_PRIVATE_SOURCES", "USERS_URL"]
        elsewhere = read(tmp_path, {**environ, "DATABASE_URL": "postgresql://127.0.0.1:1/mine"})
        assert elsewhere.sources["users"].url == "https://live.example/users"
        assert elsewhere.environment.notices == ()


def test_nothing_set_means_the_defaults(tmp_path: Path) -> None:
    found = read(tmp_path)
    assert (found.home, found.database_url, found.redis_url) == (tmp_path / ".celeryctl", None, None)
    assert found.sources["users"].url == USERS.url
    assert found.sources["users"].every == timedelta(minutes=5)
    assert found.sources["users"].max_age is None
    assert (found.card_encryption_keys, found.datasets, found.allow_private_sources) == ((), (), False)
    assert (found.http_connect_timeout, found.http_read_timeout, found.http_total_timeout) == (5, 30, 120)
    assert (found.http_max_bytes, found.http_max_tries, found.max_attempts) == (16 * 2**20, 5, 5)
    assert found.worker_concurrency >= 1
    assert not list(tmp_path.iterdir()), "reading creates nothing"


def test_flag_beats_environment_beats_dotenv_beats_up_beats_default(tmp_path: Path) -> None:
    with ExitStack() as stack:
        origins: list[tuple[str, int]] = []
        environ: dict[str, str] = {}
        flags: dict[str, str] = {}
        steps = (
            lambda: None,
            lambda: running(stack, tmp_path, FLOWER_PORT="1001"),
            lambda: dotenv(tmp_path, "FLOWER_PORT=1002"),
            lambda: environ.update(FLOWER_PORT="1003"),
            lambda: flags.update(FLOWER_PORT="1004"),
        )
        for step in steps:
            step()
            found = read(tmp_path, environ, **flags)
            origins.append((found.environment.origin("FLOWER_PORT"), found.flower_port))
    assert origins == [("default", 5555), ("up", 1001), (".env", 1002), ("environment", 1003), ("flag", 1004)]


@pytest.mark.parametrize("empty", ["", " ", "\t"])
def test_an_empty_value_means_unset_and_lets_weaker_ones_through(tmp_path: Path, empty: str) -> None:
    dotenv(tmp_path, "LOG_LEVEL=debug\nDATABASE_URL=\n")
    found = read(tmp_path, {"LOG_LEVEL": empty, "DATABASE_URL": empty, "CARD_ENCRYPTION_KEYS": empty})
    assert (found.log_level, found.database_url, found.card_encryption_keys) == ("DEBUG", None, ())
    assert found.environment.origin("LOG_LEVEL") == ".env"


def test_values_are_read_once(tmp_path: Path) -> None:
    environ = {"FLOWER_PORT": "1001"}
    environment = Environment.read(environ, tmp_path)
    environ["FLOWER_PORT"] = "1002"
    assert environment.get("FLOWER_PORT") == "1001"


def test_dotenv_is_found_beside_the_home_from_below_and_not_interpolated(tmp_path: Path) -> None:
    home.create(tmp_path / ".celeryctl")
    dotenv(tmp_path, "export USERS_AUTHORIZATION='Bearer ${PATH} $x'  # a comment\nFETCH_USERS_INTERVAL=5m\n")
    (tmp_path / "below").mkdir()
    found = read(tmp_path / "below").sources["users"]
    assert (found.authorization, found.every) == ("Bearer ${PATH} $x", timedelta(minutes=5))


def test_a_dotenv_that_others_can_write_is_ignored_with_a_notice(tmp_path: Path) -> None:
    path = dotenv(tmp_path, "DATABASE_URL=postgresql://evil/db")
    path.chmod(0o666)
    found = read(tmp_path)
    assert found.database_url is None
    assert found.environment.notices == (f"{path} is ignored: it can be written by others",)


@as_root
def test_a_dotenv_and_a_home_of_another_user_are_ignored_with_a_notice(tmp_path: Path) -> None:
    with ExitStack() as stack:
        running(stack, tmp_path, DATABASE_URL="postgresql://evil/db")
        for path in (dotenv(tmp_path, "REDIS_URL=redis://evil"), tmp_path / ".celeryctl"):
            os.chown(path, 1001, 1001)
        found = read(tmp_path)
    assert (found.database_url, found.redis_url) == (None, None)
    assert [notice.split(" is ignored: ")[1] for notice in found.environment.notices] == ["it belongs to user 1001"] * 2


@as_root
@pytest.mark.parametrize("how", ["group", "link", "link of another"])
def test_a_dotenv_that_others_have_a_hand_in_is_ignored_with_a_notice(tmp_path: Path, how: str) -> None:
    path = dotenv(tmp_path, "LOG_LEVEL=DEBUG")
    if how == "group":
        os.chown(path, -1, 65534)
        path.chmod(0o620)
    else:
        target = path.rename(tmp_path / "elsewhere")
        path.symlink_to(target)
        owned = {"link": target, "link of another": path}[how]
        os.chown(owned, 1001, 1001, follow_symlinks=False)
    found = read(tmp_path)
    assert found.log_level == "INFO"
    assert [notice.split(" is ignored: it ")[0] for notice in found.environment.notices] == [str(path)]


def test_a_line_of_dotenv_that_is_no_assignment_is_told(tmp_path: Path) -> None:
    path = dotenv(tmp_path, "LOG_LEVEL=DEBUG\nthis is 'not\nFLOWER_PORT=1\n")
    found = read(tmp_path)
    assert found.log_level == "DEBUG"
    assert found.environment.notices == (f"line 2 of {path} is ignored: it is no NAME=value",)


def test_a_dotenv_that_is_no_text_is_an_error_and_a_folder_is_none(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    assert read(tmp_path).log_level == "INFO"
    (tmp_path / ".env").rmdir()
    (tmp_path / ".env").write_bytes(b"LOG_LEVEL=\xff\xfe")
    with pytest.raises(SettingsError, match="not UTF-8"):
        read(tmp_path)


def test_dotenv_may_name_the_home(tmp_path: Path) -> None:
    dotenv(tmp_path, "CELERYCTL_HOME=elsewhere/home\n")
    found = read(tmp_path)
    assert found.home == tmp_path / "elsewhere" / "home"
    assert found.environment.env_file == tmp_path / ".env"
    assert read(tmp_path, {"CELERYCTL_HOME": f"{tmp_path}/mine"}).home == tmp_path / "mine"


def test_what_up_runs_is_not_mixed_with_a_database_of_ones_own(tmp_path: Path) -> None:
    with ExitStack() as stack:
        running(
            stack, tmp_path, DATABASE_URL="postgresql://h/up", REDIS_URL="redis://h", USERS_URL="http://local/users"
        )
        assert read(tmp_path).sources["users"].url == "http://local/users"
        assert read(tmp_path, {"DATABASE_URL": "postgresql://h/up"}).redis_url == "redis://h"
        own = read(tmp_path, {"DATABASE_URL": "postgresql://h/own"})
    assert (own.redis_url, own.sources["users"].url) == (None, USERS.url)


SECRETS = {
    "DATABASE_URL": "postgresql://me:s3cret@h/db?sslpassword=s3cret",
    "REDIS_URL": "redis://:s3cret@h",
    "USERS_AUTHORIZATION": "Bearer s3cret://x",
    "FLOWER_BASIC_AUTH": "me:s3cret",
    "CARD_ENCRYPTION_KEYS": KEY,
    "USERS_URL": "https://h/users?token=s3cret",
}


def test_no_repr_shows_a_secret(tmp_path: Path) -> None:
    with ExitStack() as stack:
        running(stack, tmp_path, DATABASE_URL=SECRETS["DATABASE_URL"])
        secrets = {name: value for name, value in SECRETS.items() if name != "USERS_URL"}
        found = read(tmp_path, secrets)
    assert found.sources["users"].authorization == "Bearer s3cret://x"
    assert "s3cret" not in f"{found!r} {found.environment!r} {found.sources!r}"
    assert KEY not in repr(found)


def test_shown_values_hide_every_secret() -> None:
    shown = {
        setting.variable: setting.show(SECRETS[setting.variable])
        for setting in declared([USERS])
        if setting.variable in SECRETS
    }
    assert len(shown) == len(SECRETS)
    assert "s3cret" not in str(shown)
    assert shown["REDIS_URL"] == "redis://:****@h"
    assert masked("postgresql://me@h/db") == "postgresql://me@h/db"
    assert repr(Secret("x")) == "'****'"


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("30", 30), ("30s", 30), ("0.5s", 0.5), ("5m", 300), ("24h", 86_400), ("1d", 86_400), ("365d", 365 * 86_400)],
)
def test_durations_are_read(written: str, seconds: float) -> None:
    assert parse_duration(written).total_seconds() == seconds


@pytest.mark.parametrize(
    ("written", "size"), [("1", 1), ("64kB", 64_000), ("64KiB", 65_536), ("16MiB", 16 << 20), ("1GiB", 1 << 30)]
)
def test_sizes_are_read(written: str, size: int) -> None:
    assert parse_size(written) == size


@pytest.mark.parametrize("written", ["10/s", "600/m", "600/min", "5000 / h", "20000/d"])
def test_rates_are_read(written: str) -> None:
    assert parse_rate(written) == written


NONSENSE = [
    "0",
    "-1",
    "nan",
    "inf",
    "1e99",
    "soon",
    "x" * 5000,
    "+5",
    "1_0",
    "\uff15",
    "5 m",
    "5M",
    "5x",
    "1,5",
    "0x10",
    "\x1b[31m",
]
DATABASES = ["mysql://u:s3cret@h/d", "host=h password=s3cret", "postgresql://u:s3c@ret@h/d", "postgresql://h:0/d",
             "postgresql://h:65536/d", "postgresql://h:x/d", "postgresql://u:s3/cret@h/d", "postgresql://[::1/d",
             "postgresql://h/d?nonsense=1", "postgresql://u:%zz@h/d", "h", "postgresql://h/d\x01x"]  # fmt: skip
BROKERS = ["http://h", "redis://", "redis:///0", "redis://h:0", "redis://h:65536", "redis://h:x", "redis://h/zero", "amqp://h",
           "redis://:s3/cret@h", "redis://:s3#cret@h", "redis://:s3 cret@h", "h:6379", "redis+socket:///x",
           "rediss://h?ssl_cert_reqs=none", "rediss://h?ssl_cert_reqs=optional", "rediss://h?ssl_cert_reqs=CERT_NONE",
           "rediss://h?ssl_check_hostname=false", "rediss://h?ssl_ca_certs=/nowhere/ca.pem", "rediss://h?db=3",
           "rediss://h?ssl_cert_reqs=required&ssl_cert_reqs=none", "rediss://h?ssl_cert_reqs=", "rediss://h?x",
           "redis://h?ssl_cert_reqs=required", "redis://h?db=3"]  # fmt: skip
SITES = ["ftp://h", "http://", "https:///users", "h/users",
         "http://me:s3cret@h", "http://h:0", "http://h:99999", "http://h /", "file:///etc"]  # fmt: skip
WRONG: dict[str, list[str]] = {
    "FETCH_USERS_INTERVAL": [*NONSENSE, "0.5", "366d"],
    "USERS_MAX_AGE": NONSENSE,
    "HTTP_READ_TIMEOUT": [*NONSENSE, "2h"],
    "HTTP_MAX_BYTES": [*NONSENSE, "5", "16mib", "16 MiB", "2GiB"],
    "BATCH_SIZE": [*NONSENSE, "100001", "1.5"],
    "WORKER_CONCURRENCY": [*NONSENSE, "1001"],
    "FLOWER_PORT": [*NONSENSE, "65536"],
    "METRICS_PORT": [*NONSENSE, "65536"],
    "METRICS_HOST": ["http://h", "a b", "x" * 5000],
    "FLOWER_HOST": ["http://h", "a b", "x" * 5000],
    "USERS_RATE_LIMIT": [*NONSENSE, "10", "0/s", "-1/s", "10/year", "1.5/s", "10/s/s"],
    "LOG_LEVEL": ["loud", "10", "x" * 5000],
    "LOG_FORMAT": ["xml"],
    "HEARTBEAT_FILE": ["heartbeat", "~/heartbeat", "/tmp/"],
    "ALLOW_PRIVATE_SOURCES": ["2", "maybe"],
    "DATABASE_URL": DATABASES,
    "REDIS_URL": BROKERS,
    "USERS_URL": SITES,
    "USERS_AUTHORIZATION": ["Bearer s3cret\nX: y", "Bearer s3cret\u20ac"],
    "FLOWER_BASIC_AUTH": ["s3cret", ":s3cret", "s3cret:", "a:s3cret,b"],
    "CARD_ENCRYPTION_KEYS": ["s3cret", "czNjcmV0", f"{KEY},s3cret", ",", KEY[:-1], KEY * 2],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_wrong_value_is_named_with_what_is_allowed_and_where_it_is(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, {name: value})
    told = f"{caught.value.what}\n{caught.value.why}\n{caught.value.fix}"
    assert caught.value.exit_code == 2
    assert caught.value.what.startswith(f"{name} is ")
    assert "in the environment" in caught.value.what
    assert caught.value.why.startswith("allowed: ")
    assert name in caught.value.fix
    assert len(told) < 500
    assert "\x1b" not in told
    assert not any(part in told for part in ("s3cret", "cret@", "ret@"))
    assert caught.value.__cause__ is None, "the parser's own error repeats the value"


def test_who_wants_no_certificate_checked_is_told_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"leave ssl_cert_reqs out; ssl_ca_certs=/path names your own"):
        read(tmp_path, {"REDIS_URL": "rediss://h?ssl_cert_reqs=none"})


@pytest.mark.parametrize("origin", ["flag", ".env", "up"])
def test_a_wrong_value_says_where_it_was_set(tmp_path: Path, origin: str) -> None:
    with ExitStack() as stack:
        flags = {"BATCH_SIZE": "0"} if origin == "flag" else {}
        if origin == ".env":
            dotenv(tmp_path, "BATCH_SIZE=0")
        if origin == "up":
            running(stack, tmp_path, BATCH_SIZE="0")
        with pytest.raises(SettingsError) as caught:
            read(tmp_path, {}, **flags)
    place = {"flag": "on the command line", ".env": str(tmp_path / ".env"), "up": "`celeryctl up`"}[origin]
    assert caught.value.what.startswith("BATCH_SIZE is '0', set ")
    assert place in caught.value.what


def test_a_wrong_declaration_is_told_from_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="USERS_URL is 'ftp://x', set by the data set's declaration"):
        load(Environment.read({}, tmp_path), [replace(USERS, url="ftp://x")])


RIGHT: dict[str, list[tuple[str, Any]]] = {
    "DATABASE_URL": [(url, url) for url in (
        "postgresql://postgres:password@localhost:5432/celeryapp", "postgres://h", "postgresql:///db?host=/var/run/postgresql",
        "postgresql://%2Ftmp%2Fsocket/db", "postgresql://u:p%40%2F@h1:1,h2:2/db?target_session_attrs=any",
        "postgresql://[::1]:5432/db", "postgresql://h/db?sslmode=verify-full&sslrootcert=/etc/ca.pem&sslpassword=x")],
    "REDIS_URL": [(url, url) for url in ("redis://localhost:6379/0", "redis://h", "redis://:p%40@h:1", "redis://[::1]:6379",
                                         "rediss://u:p@h:6380/15?ssl_cert_reqs=required")] + [
        ("rediss://h?ssl_cert_reqs=CERT_REQUIRED", "rediss://h?ssl_cert_reqs=required"),
        (f"rediss://h?ssl_cert_reqs=CERT%5FREQUIRED&ssl_ca_certs={HERE}",
         f"rediss://h?ssl_ca_certs={HERE}&ssl_cert_reqs=required"),
        ("rediss://h", "rediss://h?ssl_cert_reqs=required"), ("rediss://h/1?", "rediss://h/1?ssl_cert_reqs=required"),
        (f"rediss://h?ssl_ca_certs={HERE}", f"rediss://h?ssl_ca_certs={HERE}&ssl_cert_reqs=required")],
    "ALLOW_PRIVATE_SOURCES": [("1", True), ("0", False), ("true", True), ("No", False)],
    "LOG_LEVEL": [("debug", "DEBUG")],
    "LOG_FORMAT": [("JSON", "json")],
    "HEARTBEAT_FILE": [("/tmp/heartbeat", Path("/tmp/heartbeat"))],
    "CELERYCTL_DATASETS": [(" a, b ,,", ("a", "b"))],
    "CARD_ENCRYPTION_KEYS": [(f"{KEY}, {KEY}", (KEY, KEY))],
    "FLOWER_BASIC_AUTH": [("me:p:w", "me:p:w"), ("a:1,b:2", "a:1,b:2")],
    "WORKER_CONCURRENCY": [("3", 3)],
    "HTTP_READ_TIMEOUT": [("0.25", 0.25), ("1m", 60.0)],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "expected"), [(name, *pair) for name, pairs in RIGHT.items() for pair in pairs]
)
def test_a_right_value_is_taken(tmp_path: Path, name: str, value: str, expected: object) -> None:
    field = next(setting.field for setting in SETTINGS if setting.variable == name)
    assert getattr(read(tmp_path, {name: value}), field) == expected


def test_every_declared_setting_is_a_field_and_every_field_is_declared() -> None:
    assert {setting.field for setting in SETTINGS} == {field.name for field in fields(Settings)} - {
        "sources",
        "environment",
    }


@pytest.mark.parametrize("name", ["DATABASE_URL", "REDIS_URL"])
def test_half_a_cluster_is_refused(tmp_path: Path, name: str) -> None:
    urls = {"DATABASE_URL": "postgresql://h/db", "REDIS_URL": "redis://h"}
    read(tmp_path).require_both("worker")
    read(tmp_path, urls).require_both("worker")
    with ExitStack() as stack:
        running(stack, tmp_path, **urls)
        read(tmp_path).require_both("worker")
        with pytest.raises(SettingsError, match=f"only {name} is set") as caught:
            read(tmp_path, {name: urls[name]}).require_both("worker")
    assert caught.value.what.startswith("worker needs both")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.1", "example.org", "localhost.example", "127.example"])
def test_flower_beyond_loopback_needs_a_password(tmp_path: Path, host: str) -> None:
    with pytest.raises(SettingsError, match="FLOWER_BASIC_AUTH"):
        read(tmp_path, {"FLOWER_HOST": host}).require_flower_auth()
    read(tmp_path, {"FLOWER_HOST": host, "FLOWER_BASIC_AUTH": "me:pw"}).require_flower_auth()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_flower_on_loopback_needs_none(tmp_path: Path, host: str) -> None:
    found = read(tmp_path, {"FLOWER_HOST": host})
    assert (found.flower_host, found.flower_basic_auth) == (host, None)
    found.require_flower_auth()


def built_in() -> list[SourceDefaults]:
    found = datasets.load()
    return [SourceDefaults(name, found[name].source.url, found[name].every) for name in datasets.BUILT_IN]


def test_the_committed_example_names_every_setting() -> None:
    committed = (Path(__file__).parent.parent / ".env.example").read_text()
    assert committed == example(built_in()), "write it again with celeryctl.settings.example()"
    assert all(f"\n# {setting.variable}=" in committed for setting in declared(built_in()))


def test_the_example_changes_nothing_as_it_is_or_with_its_defaults_uncommented(tmp_path: Path) -> None:
    before = load(Environment.read({}, tmp_path), built_in())
    text = example(built_in())
    defaults = "\n".join(
        line.removeprefix("# ") for line in text.splitlines() if "=" in line and "_URL=postgresql" not in line
    )
    for written in (text, defaults.replace("REDIS_URL=redis://localhost:6379/0", "")):
        dotenv(tmp_path, written)
        after = load(Environment.read({}, tmp_path), built_in())
        assert replace(after, environment=before.environment) == before
        assert not after.environment.notices


def test_the_key_is_made_once_and_read_by_its_owner_alone(tmp_path: Path) -> None:
    place = tmp_path / ".celeryctl"
    assert home_keys(place, create=False) == ()
    assert not place.exists()
    (key,) = home_keys(place, create=True)
    assert repr(key) == "'****'"
    assert stat.S_IMODE((place / "card.key").stat().st_mode) == 0o600
    assert home_keys(place, create=True) == home_keys(place, create=False) == (key,)
    assert new_key() != new_key()


def test_a_new_key_stands_before_the_older_ones(tmp_path: Path) -> None:
    place = tmp_path / ".celeryctl"
    (first,) = add_key(place)
    newest = add_key(place)
    assert newest[1:] == (first,)
    assert home_keys(place, create=True) == home_keys(place, create=False) == newest
    assert len(set(newest)) == 2
    assert stat.S_IMODE((place / "card.key").stat().st_mode) == 0o600


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    home_keys(tmp_path / "home", create=True)
    (tmp_path / "home" / "card.key").chmod(0o640)
    with pytest.raises(SettingsError, match="others can read") as caught:
        home_keys(tmp_path / "home", create=False)
    assert caught.value.fix == f"chmod 600 {tmp_path}/home/card.key"


@pytest.mark.parametrize("text", ["", "s3cret", "czNjcmV0", f"{KEY}\n{KEY}", f"{KEY},s3cret", "\u20ac"])
def test_a_damaged_key_is_an_error_and_never_replaced(tmp_path: Path, text: str) -> None:
    place = home.create(tmp_path / "home")
    home.write_private(place / "card.key", text)
    with pytest.raises(SettingsError, match="holds no key") as caught:
        home_keys(place, create=True)
    assert "s3cret" not in str(caught.value)
    assert (place / "card.key").read_text() == text


def test_a_key_is_taken_neither_through_a_link_nor_from_a_home_that_others_can_write(tmp_path: Path) -> None:
    place = home.create(tmp_path / "home")
    home.write_private(tmp_path / "other", KEY)
    (place / "card.key").symlink_to(tmp_path / "other")
    with pytest.raises(SettingsError, match="cannot be read"):
        home_keys(place, create=False)
    (place / "card.key").unlink()
    home.write_private(place / "card.key", KEY)
    place.chmod(0o777)
    with pytest.raises(SettingsError, match="written by others"):
        home_keys(place, create=False)
    with pytest.raises(HomeError):
        home_keys(place, create=True)


@as_root
def test_a_key_of_another_user_is_refused(tmp_path: Path) -> None:
    home_keys(tmp_path / "home", create=True)
    os.chown(tmp_path / "home" / "card.key", 1001, 1001)
    with pytest.raises(SettingsError, match="belongs to user 1001"):
        home_keys(tmp_path / "home", create=False)


@pytest.mark.parametrize(
    "url", ["redis://?:s3cret@h", "postgresql://?:s3cret@:x/d", "redis://a/b:s3cret@h", "x://#:s3cret@"]
)
def test_a_url_that_is_none_does_not_show_its_password_wherever_that_stands(tmp_path: Path, url: str) -> None:
    for name in ("REDIS_URL", "DATABASE_URL"):
        with pytest.raises(SettingsError) as caught:
            read(tmp_path, {name: url})
        assert "s3cret" not in str(caught.value)
        assert "://****@" in str(caught.value)


def test_a_quotation_mark_that_is_missing_shows_nothing_of_the_next_line(tmp_path: Path) -> None:
    dotenv(tmp_path, "BATCH_SIZE='many\nFLOWER_BASIC_AUTH=u:s3cret\nLOG_LEVEL='\n")
    with pytest.raises(SettingsError, match="BATCH_SIZE is 'many …'") as caught:
        read(tmp_path)
    assert "s3cret" not in str(caught.value)
