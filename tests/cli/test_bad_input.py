import os
from pathlib import Path

import pytest
from servers import KEY

from .commandline import Run, assert_refused

pytestmark = pytest.mark.integration

DATABASE = {"DATABASE_URL": "postgresql://me:s3cret@127.0.0.1:1/db", "CARD_ENCRYPTION_KEYS": KEY}
BROKER = {"REDIS_URL": "redis://:s3cret@127.0.0.1:1"}
SYNC = "fetch users --sync"
CASES: list[tuple[dict[str, str], str, int, tuple[str, ...]]] = [
    *((DATABASE, words, 69, ("127.0.0.1",)) for words in (SYNC, "users list", "users show 1", "init-db", "seed")),
    *((DATABASE, words, 69, ("127.0.0.1",)) for words in ("init-db --check", "fetch users --dry-run")),
    (DATABASE | BROKER, "fetch users", 69, ("127.0.0.1",)),
    (DATABASE | BROKER, "fetch users --detach", 69, ("127.0.0.1",)),
    *((DATABASE, words, 2, ("REDIS_URL",)) for words in ("fetch users", "fetch all --detach", "worker", "beat")),
    *((BROKER, words, 2, ("DATABASE_URL",)) for words in ("fetch users", "run-tasks", "worker", "beat")),
    ({"DATABASE_URL": "mysql://u:s3cret@h/d"}, SYNC, 2, ("DATABASE_URL",)),
    ({"REDIS_URL": "http://:s3cret@h"}, "stats", 2, ("REDIS_URL",)),
    ({"USERS_URL": "ftp://h/users"}, SYNC, 2, ("USERS_URL", "ftp://h")),
    *(({"FETCH_USERS_INTERVAL": text}, "config show", 2, ("FETCH_USERS_INTERVAL", text, "allowed"))
      for text in ("0", "-1", "nan", "1e99", "soon")),
    *((DATABASE | {"CARD_ENCRYPTION_KEYS": key}, SYNC, 2, ("CARD_ENCRYPTION_KEYS",)) for key in ("s3cret", "czNjcmV0")),
    ({}, "fetch loyalty --sync", 2, ("loyalty", "users", "addresses")),
    ({"CELERYCTL_DATASETS": "broken.py"}, "dataset list", 2, ("broken.py",)),
    ({"CELERYCTL_DATASETS": "nowhere"}, "dataset list", 2, ("nowhere",)),
    ({}, "dataset check broken.py", 2, ("broken.py",)),
    ({}, "dataset new Loyalty!", 2, ("Loyalty!",)),
    ({}, "dataset new users", 2, ("users",)),
    ({}, "users show one", 2, ("ID",)),
    ({}, "seed 0", 2, ("N",)),
    ({}, "seed 99999999999999999999999", 2, ("N",)),
    ({}, "api --error-rate 2", 2, ("--error-rate",)),
    ({"CELERYCTL_HOME": "/proc/nowhere/home"}, SYNC, 1, ("/proc/nowhere",)),
    ({"CELERYCTL_HOME": "/proc/nowhere/home"}, "init-db", 1, ("/proc/nowhere",)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("environment", "words", "code", "told"), CASES, ids=[f"{words} {list(changes)}" for changes, words, *_ in CASES]
)
def test_bad_input_is_told_in_three_lines(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], words: str, code: int,
    told: tuple[str, ...],
) -> None:  # fmt: skip
    (tmp_path / "broken.py").write_text("import nothing_like_this\n")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    said = run(*words.split())
    assert_refused(said, code, *told)
    assert "Traceback" not in said.err
    assert not any(secret in said.err for secret in ("s3cret", "czNjcmV0", KEY))
    assert {path.name for path in tmp_path.iterdir()} <= {"broken.py", "__pycache__"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
@pytest.mark.parametrize("words", [SYNC, "init-db", "seed"])
def test_a_home_of_another_user_is_not_used(run: Run, tmp_path: Path, words: str) -> None:
    place = tmp_path / ".celeryctl"
    place.mkdir()
    os.chown(place, 1001, 1001)
    said = run(*words.split())
    assert (said.code, said.out) == (1, "")
    assert "1001" in said.err
    assert list(place.iterdir()) == []
