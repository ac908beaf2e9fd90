from pathlib import Path

import pytest
from servers import KEY

from .kit import look, mend

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_wrong_setting_is_named_and_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCH_SIZE", "many")
    monkeypatch.setenv("USERS_RATE_LIMIT", "often")
    monkeypatch.setenv("CARD_ENCRYPTION_KEYS", "s3cret")
    found = look("settings")
    assert found.state == "failed"
    for part in ("BATCH_SIZE is 'many'", "USERS_RATE_LIMIT", "CARD_ENCRYPTION_KEYS"):
        assert part in found.why
    assert "s3cret" not in str(found)
    assert found.fix


def test_a_line_of_env_that_is_ignored_is_a_warning(folder: Path) -> None:
    (folder / ".env").write_text("what is this\n")
    found = look("settings")
    assert found.state == "warning"
    assert "line 1" in found.why


def test_an_env_that_is_no_text_is_a_finding(folder: Path) -> None:
    (folder / ".env").write_bytes(b"A=\xff\xfe\n")
    found = look("settings")
    assert found.state == "failed"
    assert "not UTF-8" in found.why
    assert look("home").state == "ok"


def test_a_data_set_that_does_not_load_is_a_finding(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "broken.py").write_text("1 / 0\n")
    monkeypatch.setenv("CELERYCTL_DATASETS", "broken.py")
    found = look("data sets")
    assert found.state == "failed"
    assert "ZeroDivisionError" in found.why
    assert look("settings").state == "ok"


@pytest.mark.parametrize("only", ["DATABASE_URL", "REDIS_URL"])
def test_half_a_cluster_is_a_finding(only: str, monkeypatch: pytest.MonkeyPatch) -> None:
    urls = {"DATABASE_URL": "postgresql://127.0.0.1:1/db", "REDIS_URL": "redis://127.0.0.1:1/0"}
    monkeypatch.setenv(only, urls[only])
    found = look("both servers")
    assert found.state == "failed"
    assert f"only {only} is set" in found.why
    for name, url in urls.items():
        monkeypatch.setenv(name, url)
    assert look("both servers").state == "ok"


def test_a_key_that_others_can_read_is_closed_to_them(folder: Path) -> None:
    home = folder / ".celeryctl"
    home.mkdir(0o700)
    (home / "card.key").write_text(KEY)
    (home / "card.key").chmod(0o644)
    found = look("card key")
    assert (found.state, found.fix) == ("failed", f"chmod 600 {home / 'card.key'}")
    assert mend("card key") == found.fix
    assert look("card key").state == "ok"
    assert KEY not in str(look("card key"))


def test_a_database_of_ones_own_wants_a_key_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1:1/db")
    assert look("card key").state == "failed"
    monkeypatch.setenv("CARD_ENCRYPTION_KEYS", KEY)
    assert look("card key").state == "ok"
