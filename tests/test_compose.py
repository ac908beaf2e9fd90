"""docker-compose.yml: the services, in which order, with which secrets, and who can reach them."""

import os
import re
import shutil
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis
import yaml
from cluster.kit import sources
from composed import ACL, PASSWORDS, SERVICE, USERS, answers, composed, environment, is_well, script, servers
from redis.exceptions import NoPermissionError

from celeryctl.local.routes import ROUTES

ROOT = Path(__file__).parents[1]
FILE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
OURS = {name: command for name, command in SERVICES.items() if "build" in command}
IMAGE = (ROOT / "Dockerfile").read_text().splitlines()
# What `celeryctl config init` writes.
SECRETS = {
    "POSTGRES_PASSWORD": "postgres-secret",
    "POSTGRES_OWNER_PASSWORD": "owner-secret",
    "POSTGRES_WRITER_PASSWORD": "writer-secret",
    "POSTGRES_READER_PASSWORD": "reader-secret",
    **PASSWORDS,
    "FLOWER_BASIC_AUTH": "admin:flower-secret",
    "GRAFANA_PASSWORD": "grafana-secret",
    "CARD_ENCRYPTION_KEYS": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
}


def demanded(value: object) -> set[str]:
    """The variables without which Compose refuses to start, named in this part of the file."""
    return set(re.findall(r"\$\{(\w+):\?run celeryctl config init\}", str(value)))


@pytest.mark.unit
def test_there_are_the_documented_services_and_more_for_who_wants_them() -> None:
    profiles = {name: service.get("profiles") for name, service in SERVICES.items()}
    usual = ("postgres", "redis", "db-roles", "db-init", "celery-worker", "celery-beat", "celery-flower")
    monitoring = {name: ["monitoring"] for name in ("celery-metrics", "prometheus", "grafana")}
    assert profiles == dict.fromkeys(usual) | {"offline-api": ["offline"]} | monitoring
    commands = {name: service["command"] for name, service in OURS.items()}
    assert commands == {
        "db-init": ["init-db"],
        "celery-worker": ["worker"],
        "celery-beat": ["beat"],
        "celery-flower": ["flower"],
        "offline-api": ["api", "--host", "0.0.0.0", "--port", "8080"],
        "celery-metrics": ["metrics"],
    }


@pytest.mark.unit
def test_several_of_a_service_can_run() -> None:
    for service in OURS.values():
        assert not {"container_name", "hostname"} & set(service)
    assert "ports" not in SERVICES["celery-worker"]


@pytest.mark.unit
def test_ports_are_the_documented_ones_and_on_loopback_only() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {
        "postgres": ["127.0.0.1:5432:5432"],
        "redis": ["127.0.0.1:6379:6379"],
        "celery-flower": ["127.0.0.1:5555:5555"],
        "celery-metrics": ["127.0.0.1:9808:9808"],
        "prometheus": ["127.0.0.1:9090:9090"],
        "grafana": ["127.0.0.1:3000:3000"],
    }


@pytest.mark.unit
def test_workers_beat_and_metrics_start_when_the_tables_are_there() -> None:
    for name in ("celery-worker", "celery-beat", "celery-metrics"):
        assert SERVICES[name]["depends_on"] == {
            "redis": {"condition": "service_healthy"},
            "db-init": {"condition": "service_completed_successfully"},
        }
    assert SERVICES["db-init"]["depends_on"] == {"db-roles": {"condition": "service_completed_successfully"}}
    assert SERVICES["db-roles"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}


@pytest.mark.unit
def test_whatever_goes_on_running_is_asked_whether_it_is_well() -> None:
    for name, service in SERVICES.items():
        if name.startswith("db-"):
            assert service["restart"] == "no"
            assert service.get("healthcheck", {"disable": True}) == {"disable": True}
        else:
            assert service["restart"] == "unless-stopped"
            assert service["healthcheck"]["test"]


@pytest.mark.integration
def test_the_sources_in_place_of_the_real_ones_are_well_while_they_answer() -> None:
    with sources() as api:
        port = int(api.rpartition(":")[2])
        assert is_well("offline-api", port)
        assert not is_well("celery-flower", port), "it answers, and with 404"
    assert not is_well("offline-api", port)


@pytest.mark.integration
@pytest.mark.parametrize("server", servers())
def test_the_broker_keeps_its_messages_and_gives_none_up(server: str) -> None:
    assert "redis:/data" in SERVICES["redis"]["volumes"]
    assert "redis" in FILE["volumes"]
    with composed(server) as broker:
        with closing(redis.Redis.from_url(broker.url("worker"))) as client:
            client.lpush("celery", "x")
        broker.again()
        with closing(redis.Redis.from_url(broker.url("admin"), decode_responses=True)) as client:
            assert client.lrange("celery", 0, -1) == ["x"]
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


@pytest.mark.unit
def test_workers_and_beat_are_asked_as_the_image_says() -> None:
    (line,) = [step.partition("CMD ")[2] for step in IMAGE if step.strip().startswith("CMD ")]
    for name in ("celery-worker", "celery-beat"):
        (kind, test) = SERVICES[name]["healthcheck"]["test"]
        assert (kind, test.replace("$$", "$").replace("'", '"')) == ("CMD-SHELL", line.replace("'", '"'))


@pytest.mark.unit
def test_every_secret_is_demanded_and_none_has_a_default() -> None:
    assert demanded(SERVICES) == set(SECRETS)
    assert re.findall(r"\$\{\w+(?!:\?)\W", str(SERVICES)) == []


@pytest.mark.unit
def test_flower_gets_neither_the_database_nor_the_card_keys() -> None:
    assert demanded(SERVICES["celery-flower"]) == {"REDIS_VIEWER_PASSWORD", "FLOWER_BASIC_AUTH"}


@pytest.mark.unit
def test_what_monitors_gets_no_card_keys() -> None:
    assert demanded(SERVICES["celery-metrics"]) == {"POSTGRES_READER_PASSWORD", "REDIS_VIEWER_PASSWORD"}
    assert demanded(SERVICES["prometheus"]) == set()
    assert demanded(SERVICES["grafana"]) == {"GRAFANA_PASSWORD"}


@pytest.mark.unit
def test_each_program_gets_its_own_user_of_the_broker_and_nobody_elses_password() -> None:
    given = {name: {one for one in demanded(service) if one.startswith("REDIS")} for name, service in SERVICES.items()}
    assert given == {
        "postgres": set(),
        "db-roles": set(),
        "db-init": set(),
        "offline-api": set(),
        "redis": {"REDIS_WORKER_PASSWORD", "REDIS_BEAT_PASSWORD", "REDIS_VIEWER_PASSWORD"},
        "celery-worker": {"REDIS_WORKER_PASSWORD"},
        "celery-beat": {"REDIS_BEAT_PASSWORD"},
        "celery-flower": {"REDIS_VIEWER_PASSWORD"},
        "celery-metrics": {"REDIS_VIEWER_PASSWORD"},
        "prometheus": set(),
        "grafana": set(),
    }


@pytest.mark.unit
def test_each_program_gets_its_own_login_to_the_database_and_nobody_elses_password() -> None:
    given = {name: {one for one in demanded(service) if one.startswith("POSTGRES")} for name, service in OURS.items()}
    assert given == {
        "db-init": {"POSTGRES_OWNER_PASSWORD"},
        "celery-worker": {"POSTGRES_WRITER_PASSWORD"},
        "celery-beat": {"POSTGRES_WRITER_PASSWORD"},
        "celery-flower": set(),
        "celery-metrics": {"POSTGRES_READER_PASSWORD"},
        "offline-api": set(),
    }
    assert "secret" not in filled(str(SERVICES["db-roles"]["command"]))


@pytest.mark.unit
def test_every_setting_can_be_given_in_the_env_file() -> None:
    from celeryctl.datasets import load
    from celeryctl.settings import SourceDefaults, declared

    sources = [
        SourceDefaults(name, one.source.url, one.every) for name, one in load().items() if one.origin == "built in"
    ]
    # What the containers decide for themselves.
    ours = {"DATABASE_URL", "REDIS_URL", "CARD_ENCRYPTION_KEYS", "CELERYCTL_HOME"}
    ours |= {"FLOWER_HOST", "FLOWER_PORT", "FLOWER_BASIC_AUTH", "HEARTBEAT_FILE"}
    assert set(FILE["x-settings"]) == {setting.variable for setting in declared(sources)} - ours
    assert set(FILE["x-settings"].values()) == {None}


@pytest.mark.unit
@pytest.mark.parametrize("name", OURS)
def test_each_of_ours_logs_as_the_env_file_says(name: str) -> None:
    asked = SERVICES[name]["environment"]
    assert {key: asked[key] for key in ("LOG_LEVEL", "LOG_FORMAT")} == {"LOG_LEVEL": None, "LOG_FORMAT": None}


@pytest.mark.integration
@pytest.mark.parametrize("name", ["celery-worker", "celery-beat", "celery-flower"])
def test_celery_starts_with_what_its_container_is_given(tmp_path: Path, name: str) -> None:
    given = {key: filled(value) for key, value in SERVICES[name]["environment"].items() if value is not None}
    report = [sys.executable, "-P", "-m", "celery", "-A", "celeryctl", "report"]
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)} | given
    done = subprocess.run(report, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


def filled(value: str) -> str:
    return re.sub(r"\$\{(\w+):\?[^}]+\}", lambda found: SECRETS[found[1]], value)


@pytest.mark.unit
def test_our_containers_run_without_root_and_without_privileges() -> None:
    for service in (*OURS.values(), SERVICES["prometheus"], SERVICES["grafana"]):
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
    assert [SERVICES[name]["user"].split(":")[0] for name in ("prometheus", "grafana")] == ["65534", "472"]
    assert IMAGE.index("USER celeryctl") < IMAGE.index('ENTRYPOINT ["celeryctl"]')


@pytest.mark.unit
def test_the_image_is_built_on_one_base_that_can_be_pinned() -> None:
    base, *others = [line for line in IMAGE if line.startswith("FROM")]
    assert base == "FROM python:3.13-slim${PYTHON_DIGEST:+@$PYTHON_DIGEST} AS base"
    assert others == ["FROM base AS build", "FROM base"]


@pytest.mark.unit
def test_the_image_holds_nothing_that_installs_and_says_what_it_is() -> None:
    last = "\n".join(IMAGE[IMAGE.index("FROM base") :])
    assert "pip uninstall --yes --root-user-action=ignore pip" in last
    assert "pip install" not in last
    assert "apt-get" not in "\n".join(IMAGE)
    labels = set(re.findall(r"org\.opencontainers\.image\.(\w+)=", last))
    assert labels == {"title", "description", "source", "licenses", "version", "revision"}
    assert "STOPSIGNAL SIGTERM" in IMAGE


@pytest.mark.integration
@pytest.mark.skipif(not shutil.which("docker-compose"), reason="docker-compose is not installed")
def test_docker_compose_accepts_the_file_and_passes_settings_on(tmp_path: Path) -> None:
    shutil.copy(ROOT / "docker-compose.yml", tmp_path)
    lines = [f"{name}={value}" for name, value in SECRETS.items()]
    (tmp_path / ".env").write_text("\n".join([*lines, "FETCH_USERS_INTERVAL=60"]))
    shown = compose(tmp_path, "config")
    assert shown.returncode == 0, shown.stderr
    services = yaml.safe_load(shown.stdout)["services"]
    worker = services["celery-worker"]["environment"]
    assert worker["DATABASE_URL"] == "postgresql://celeryctl_work:writer-secret@postgres:5432/celeryapp"
    assert worker["REDIS_URL"] == "redis://worker:worker-secret@redis:6379/0"
    assert worker["FETCH_USERS_INTERVAL"] in (60, "60")
    assert worker["FETCH_ADDRESSES_INTERVAL"] is None
    assert services["celery-flower"]["environment"]["FLOWER_BASIC_AUTH"] == "admin:flower-secret"


@pytest.mark.integration
@pytest.mark.skipif(not shutil.which("docker-compose"), reason="docker-compose is not installed")
def test_without_a_network_every_source_is_the_container_that_serves_them(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("\n".join(f"{name}={value}" for name, value in SECRETS.items()))
    shutil.copy(ROOT / "docker-compose.yml", tmp_path)
    # As a shell reads it, which is how it says that it is used.
    read = ["sh", "-c", 'set -a; . "$1"; env', "sh", str(ROOT / "deploy/offline.env")]
    told = subprocess.run(read, env={}, capture_output=True, text=True, check=True).stdout
    given = dict(line.split("=", 1) for line in told.splitlines() if not line.startswith(("PWD=", "_=", "SHLVL=")))
    shown = compose(tmp_path, "config", **given)
    assert shown.returncode == 0, shown.stderr
    worker = yaml.safe_load(shown.stdout)["services"]["celery-worker"]["environment"]
    port = SERVICES["offline-api"]["command"][-1]
    assert {name: worker[name] for name in ROUTES} == {
        name: f"http://offline-api:{port}{route}" for name, route in ROUTES.items()
    }
    assert worker["ALLOW_PRIVATE_SOURCES"] in (1, "1")
    # Made-up records and real ones never share a database.
    assert (given["COMPOSE_PROFILES"], given["COMPOSE_PROJECT_NAME"]) == ("offline", "celeryctl-offline")


@pytest.mark.integration
@pytest.mark.skipif(not shutil.which("docker-compose"), reason="docker-compose is not installed")
@pytest.mark.parametrize("missing", SECRETS)
def test_without_a_secret_docker_compose_says_how_to_make_one(tmp_path: Path, missing: str) -> None:
    shutil.copy(ROOT / "docker-compose.yml", tmp_path)
    refused = compose(tmp_path, "config", **{name: value for name, value in SECRETS.items() if name != missing})
    assert refused.returncode == 1
    assert "run celeryctl config init" in refused.stderr


def compose(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    return subprocess.run(
        ["docker-compose", *arguments],
        cwd=folder,
        env=own | environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.integration
@pytest.mark.parametrize("server", servers())
def test_the_start_script_gives_the_broker_its_users(server: str) -> None:
    with composed(server) as broker:
        found = {user: answers(broker.url(user)) for user in USERS}
        assert found == {"worker": True, "beat": True, "viewer": True}
        users = (broker.folder / "users.acl").read_text().strip().splitlines()
        assert [line.split()[1] for line in users] == [*USERS, "default", "admin"]
        assert stat.S_IMODE((broker.folder / "users.acl").stat().st_mode) == 0o600
        assert "secret" not in " ".join(psutil.Process(broker.process.pid).cmdline())


@pytest.mark.integration
@pytest.mark.parametrize("server", servers())
def test_who_has_no_password_gets_no_answer_and_redis_cli_in_the_container_does(server: str) -> None:
    with composed(server) as broker:
        nobody = f"redis://127.0.0.1:{broker.port}/0"
        assert not answers(nobody)
        assert not answers(broker.url("worker").replace("worker-secret", "wrong"))
        # redis-cli says AUTH with REDISCLI_AUTH, and so is the user "default".
        inside = nobody.replace("//", f"//:{environment()['REDISCLI_AUTH']}@")
        assert answers(inside)
        with closing(redis.Redis.from_url(inside)) as client, pytest.raises(NoPermissionError):
            client.llen("celery")


@pytest.mark.integration
@pytest.mark.parametrize("server", servers())
def test_the_file_may_have_further_users_and_end_without_a_newline(server: str) -> None:
    more = "\nuser more reset on >more-secret\n# a comment\n+ping\nuser most reset on >most-secret +ping\n+llen ~celery"
    with composed(server, acl=ACL.rstrip() + more) as broker:
        assert {user: answers(broker.url(user)) for user in (*USERS, "more")} == dict.fromkeys((*USERS, "more"), True)
        with closing(redis.Redis.from_url(broker.url("most"))) as client:
            assert client.llen("celery") == 0


@pytest.mark.integration
@pytest.mark.parametrize("server", servers())
def test_what_stands_in_a_password_gives_no_rights(server: str) -> None:
    password = 'a "b" %s \\n $HOME ~* +@all'
    with (
        composed(server, REDIS_WORKER_PASSWORD=password) as broker,
        closing(redis.Redis(port=broker.port, username="worker", password=password)) as client,
    ):
        assert client.llen("celery") == 0
        with pytest.raises(NoPermissionError):
            client.flushall()
        assert password not in (broker.folder / "users.acl").read_text()


@pytest.mark.integration
def test_a_file_that_the_broker_may_not_read_is_named_with_what_to_do(tmp_path: Path) -> None:
    command = [*SERVICE["command"][:-1], script(tmp_path, "redis-server", 1)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False, timeout=20)
    assert (done.returncode, done.stdout) == (1, "")
    assert "chmod a+r deploy/redis.acl" in done.stderr
    assert len(done.stderr.splitlines()) == 1
