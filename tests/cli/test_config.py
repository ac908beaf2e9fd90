import json
import logging
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import KEY

from celeryctl import home
from celeryctl.cli import app, options
from celeryctl.settings import home_keys

pytestmark = pytest.mark.unit

Captured = pytest.CaptureFixture[str]
LOGINS = ("POSTGRES_OWNER_PASSWORD", "POSTGRES_WRITER_PASSWORD", "POSTGRES_READER_PASSWORD")
BROKER = ("REDIS_WORKER_PASSWORD", "REDIS_BEAT_PASSWORD", "REDIS_VIEWER_PASSWORD")


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder in which the command runs; logging is as before afterwards."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CELERYCTL_HOME", raising=False)
    yield tmp_path
    root.handlers[:], root.level = handlers, level


def values(path: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in path.read_text().splitlines())


def test_show_names_every_setting_its_value_and_its_origin(
    capsys: Captured, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://:s3cret@h")
    (project / ".env").write_text(
        f"CARD_ENCRYPTION_KEYS={KEY}\nUSERS_URL=https://h/users?token=s3cret\nFLOWER_PORT=1\n"
    )
    assert app.run(["config", "show"]) == 0
    out, err = capsys.readouterr()
    lines = {name: (origin, value) for name, origin, value in (line.split() for line in out.splitlines())}
    assert not err
    assert lines["REDIS_URL"] == ("environment", "redis://:****@h")
    assert lines["CARD_ENCRYPTION_KEYS"] == (".env", "****")
    assert lines["USERS_URL"] == (".env", "https://h/users?token=****")
    assert lines["FLOWER_PORT"] == (".env", "1")
    assert lines["DATABASE_URL"] == ("default", "(unset)")
    assert lines["FETCH_CREDIT_CARDS_INTERVAL"] == ("default", "900")
    assert lines["CELERYCTL_HOME"] == ("default", str(project / ".celeryctl"))
    assert not (project / ".celeryctl").exists()


def test_show_as_json_holds_the_same_and_no_secret(
    capsys: Captured, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USERS_AUTHORIZATION", "Bearer s3cret")
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:s3cret@h/d?sslpassword=s3cret")
    assert app.run(["config", "show", "--json"]) == 0
    out = capsys.readouterr().out
    document = json.loads(out)
    rows = {row["name"]: row for row in document["settings"]}
    assert document["schema"] == 1
    assert document["env_file"] == str(project / ".env")
    assert rows["USERS_AUTHORIZATION"] == {"name": "USERS_AUTHORIZATION", "value": "****", "origin": "environment"}
    assert rows["DATABASE_URL"]["value"] == "postgresql://u:****@h/d?sslpassword=****"
    assert rows["REDIS_URL"] == {"name": "REDIS_URL", "value": None, "origin": "default"}
    assert "s3cret" not in out


def test_a_wrong_setting_is_three_lines_and_exit_code_2(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "mysql://u:s3cret@h")
    assert app.run(["config", "show", "--debug"]) == 2
    err = capsys.readouterr().err
    assert "s3cret" not in err
    assert err.splitlines()[-3] == "Error: DATABASE_URL is 'mysql://u:****@h', set in the environment"


def test_an_ignored_file_is_told_once_on_stderr_unless_quiet(capsys: Captured, project: Path) -> None:
    (project / ".env").touch()
    (project / ".env").chmod(0o666)
    assert app.run(["config", "show", "--json"]) == 0
    assert capsys.readouterr().err == f"{project}/.env is ignored: it can be written by others\n"
    assert app.run(["config", "show", "-q"]) == 0
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "variable", "level"),
    [
        ((), "", "WARNING"),
        (("-v",), "", "INFO"),
        (("-vvv",), "ERROR", "DEBUG"),
        (("-q",), "DEBUG", "ERROR"),
        ((), "DEBUG", "DEBUG"),
    ],
)
def test_verbosity_sets_the_level_of_the_log(
    given: tuple[str, ...], variable: str, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOG_LEVEL", variable)
    assert app.run(["config", "show", *given]) == 0
    assert logging.getLevelName(logging.getLogger().level) == level


def test_options_are_the_strongest_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWER_PORT", "1")
    read = options.context(flower_port=2, flower_host=None).settings
    assert (read.flower_port, read.flower_host) == (2, "127.0.0.1")
    assert read.environment.origin("FLOWER_PORT") == "flag"


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_is_passed_over_is_told_in_the_form_of_the_log(capsys: Captured, project: Path, form: str) -> None:
    options.begin(no_color=False)
    (project / ".env").write_text(f"LOG_FORMAT={form}\n= nothing\n")
    for _ in range(2):
        options.context()
    (line,) = capsys.readouterr().err.splitlines()
    message = json.loads(line)["message"] if form == "json" else line
    assert message == f"line 2 of {project}/.env is ignored: it is no NAME=value"


def test_init_writes_fresh_passwords_a_key_and_no_url(capsys: Captured, project: Path) -> None:
    assert app.run(["config", "init"]) == 0
    out, err = capsys.readouterr()
    written = values(project / ".env")
    views = ("GRAFANA_PASSWORD", "FLOWER_BASIC_AUTH")
    assert list(written) == ["POSTGRES_PASSWORD", *LOGINS, *BROKER, *views, "CARD_ENCRYPTION_KEYS"]
    assert stat.S_IMODE((project / ".env").stat().st_mode) == 0o600
    assert len(set(written.values())) == 10
    assert written["FLOWER_BASIC_AUTH"].startswith("admin:")
    assert not out
    assert not any(value in err for value in written.values())
    assert not (project / ".celeryctl").exists()
    read = options.context().settings
    assert read.card_encryption_keys == (written["CARD_ENCRYPTION_KEYS"],)
    assert (read.database_url, read.redis_url) == (None, None)


def test_init_below_the_home_writes_beside_it_and_keeps_its_key(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (key,) = home_keys(home.create(project / ".celeryctl"), create=True)
    (project / "below").mkdir()
    monkeypatch.chdir(project / "below")
    assert app.run(["config", "init", "-q"]) == 0
    assert values(project / ".env")["CARD_ENCRYPTION_KEYS"] == key


def test_init_keeps_the_keys_that_are_set(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home_keys(home.create(project / ".celeryctl"), create=True)
    monkeypatch.setenv("CARD_ENCRYPTION_KEYS", KEY)
    assert app.run(["config", "init", "-q"]) == 0
    assert values(project / ".env")["CARD_ENCRYPTION_KEYS"] == KEY


@pytest.mark.parametrize("there", ["file", "link"])
def test_init_never_overwrites(capsys: Captured, project: Path, there: str) -> None:
    path = project / ".env"
    if there == "file":
        path.write_text("A=1\n")
    else:
        path.symlink_to(project / "elsewhere")
    assert app.run(["config", "init"]) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"Error: {path} is there already\n")
    assert len(err.splitlines()) == 3
    assert not (project / "elsewhere").exists()
    assert there == "link" or path.read_text() == "A=1\n"


def test_what_an_older_file_lacks_is_named_and_added_when_asked_for(capsys: Captured, project: Path) -> None:
    path = project / ".env"
    before = "\n".join(
        ["# mine", "POSTGRES_PASSWORD=s3cret", "FLOWER_BASIC_AUTH=", f"CARD_ENCRYPTION_KEYS={KEY}", "A=1"]
    )
    path.write_text(before)
    path.chmod(0o644)
    assert app.run(["config", "init"]) == 1
    err = capsys.readouterr().err
    lacking = [*LOGINS, *BROKER, "GRAFANA_PASSWORD", "FLOWER_BASIC_AUTH"]
    assert f"; it lacks {', '.join(lacking)}\n" in err
    assert err.endswith("  fix: celeryctl config init --add\n")
    assert path.read_text() == before
    assert app.run(["config", "init", "--add"]) == 0
    err = capsys.readouterr().err
    old, added = path.read_text()[: len(before)], path.read_text()[len(before) :]
    assert old == before
    assert [line.partition("=")[0] for line in added.splitlines()] == ["", *lacking]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not any(line.partition("=")[2] in err for line in added.splitlines()[1:])
    after = path.read_text()
    assert app.run(["config", "init", "--add"]) == 0
    assert capsys.readouterr().err.startswith(f"Nothing is missing in {path}")
    assert path.read_text() == after


def test_what_is_emptied_later_in_the_file_is_lacking(project: Path) -> None:
    path = project / ".env"
    assert app.run(["config", "init", "-q"]) == 0
    path.write_text(path.read_text() + "GRAFANA_PASSWORD=\n")
    path.chmod(0o600)
    assert app.run(["config", "init", "--add", "-q"]) == 0
    assert path.read_text().splitlines()[-1].startswith("GRAFANA_PASSWORD=")
    assert values(path)["GRAFANA_PASSWORD"]


@pytest.mark.parametrize("words", [["config", "init"], ["config", "init", "--add"]])
def test_a_link_to_nothing_is_named(capsys: Captured, project: Path, words: list[str]) -> None:
    path = project / ".env"
    path.symlink_to("elsewhere")
    assert app.run(words) == 1
    told = [f"Error: {path} is there already", "  why: it is a link to elsewhere, which is not there"]
    assert capsys.readouterr().err.splitlines() == [*told, f"  fix: ls -l {path}"]


def test_add_writes_a_first_file_and_none_that_others_can_write(capsys: Captured, project: Path) -> None:
    assert app.run(["config", "init", "--add", "-q"]) == 0
    path, written = project / ".env", (project / ".env").read_text()
    assert next(iter(values(path))) == "POSTGRES_PASSWORD"
    path.chmod(0o666)
    assert app.run(["config", "init", "--add"]) == 1
    assert f"Error: nothing is added to {path}\n  why: it can be written by others" in capsys.readouterr().err
    assert path.read_text() == written


def test_init_refuses_a_key_that_others_can_read(capsys: Captured, project: Path) -> None:
    home_keys(home.create(project / ".celeryctl"), create=True)
    (project / ".celeryctl" / "card.key").chmod(0o644)
    assert app.run(["config", "init"]) == 2
    assert f"  fix: chmod 600 {project}/.celeryctl/card.key" in capsys.readouterr().err
    assert not (project / ".env").exists()


def test_init_in_a_folder_that_cannot_be_written_says_so(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERYCTL_HOME", "/proc/self/nowhere/.celeryctl")
    assert app.run(["config", "init"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("Error: /proc/self/nowhere/.env cannot be written\n")
    assert len(err.splitlines()) == 3
