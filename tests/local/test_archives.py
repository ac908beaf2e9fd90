"""What is looked at before pg_dump and pg_restore run: their words, the file, and where an archive comes from."""

import os
from pathlib import Path

import pytest
from cluster.kit import run
from servers import KEY

from celeryctl.errors import CeleryctlError, UsageError
from celeryctl.local import archives
from celeryctl.local.access import LOCAL
from celeryctl.local.postgres import DATABASE, Postgres
from celeryctl.local.shell import Program
from celeryctl.pipeline.context import Context
from celeryctl.storage import database as db
from celeryctl.storage import schema

from .embedded import ask


def named(url: str) -> Context:
    return Context.read({"DATABASE_URL": url, "CARD_ENCRYPTION_KEYS": KEY})


@pytest.mark.unit
@pytest.mark.parametrize("words", [["-f", "copy"], ["-Fc", "-fcopy"], ["--clean", "--file=copy"], ["-vf", "copy"]])
def test_others_can_no_longer_read_a_file_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    archives.keep_private(words)
    assert not Path("copy").exists()
    Path("copy").write_text("what was there")
    Path("copy").chmod(0o664)
    archives.keep_private(words)
    assert Path("copy").stat().st_mode & 0o777 == 0o600
    assert Path("copy").read_text() == "what was there"


@pytest.mark.unit
@pytest.mark.parametrize(
    ("program", "words", "needed"),
    [
        ("pg_dump", ["-eltree", "-f", "copy"], True),
        ("pg_dump", ["--vers"], False),
        ("pg_restore", ["-el", "copy"], False),
        ("pg_restore", ["--job", "4", "copy"], True),
    ],
)
def test_what_each_of_the_programs_is_asked_for(program: Program, words: list[str], needed: bool) -> None:
    assert archives.needs_database(program, words) == needed


@pytest.mark.unit
def test_a_pipe_is_not_read_before_it_is_restored(tmp_path: Path) -> None:
    pipe, sent = tmp_path / "pipe", b"what pg_restore is to read"
    os.mkfifo(pipe)
    descriptor = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    try:
        os.write(descriptor, sent)
        archives.require(named("postgresql://127.0.0.1/celeryapp"), ["--job", "4", str(pipe)])
        assert os.read(descriptor, 100) == sent
    finally:
        os.close(descriptor)


@pytest.mark.unit
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_no_copy_is_written_into_a_file_of_somebody_else(tmp_path: Path) -> None:
    file = tmp_path / "copy"
    file.touch()
    os.chown(file, 12345, 12345)
    with pytest.raises(CeleryctlError, match="belongs to another user"):
        archives.keep_private(["-f", str(file)])


@pytest.mark.integration
@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--version"], 0, "pg_restore (PostgreSQL)"),
        (["-V"], 0, "pg_restore (PostgreSQL)"),
        (["--no-owner", "none"], 2, "Error: none cannot be restored"),
        (["-j", "2", "-1", "text"], 2, "Error: text cannot be restored"),
        (["-l", "none"], 1, "could not open input file"),
    ],
)
def test_no_database_is_made_for_what_cannot_be_restored_or_needs_none(
    tmp_path: Path, words: list[str], code: int, told: str
) -> None:
    (tmp_path / "text").write_text("SELECT 1;\n")
    done = run({"CELERYCTL_HOME": str(tmp_path / "home")}, tmp_path, "pg_restore", *words)
    assert (done.returncode, told in done.stdout + done.stderr) == (code, True), done
    assert not (tmp_path / "home").exists()


@pytest.mark.integration
@pytest.mark.slow
def test_made_up_records_are_copied_with_a_word_and_not_restored_into_the_live_database(
    server_home: Path, tmp_path: Path
) -> None:
    server = Postgres(server_home)
    server.ensure()
    local, live = server.url(LOCAL), server.url(DATABASE)
    schema.create_database(local)
    db.configure(local)
    schema.migrate([])
    copied = run({"CELERYCTL_HOME": str(server_home)}, tmp_path, "pg_dump", "-Fc", "-f", "copy")
    assert (copied.returncode, copied.stderr) == (0, f"This copies {LOCAL}: records that local sources have made up.\n")
    refused = run({"CELERYCTL_HOME": str(server_home)}, tmp_path, "pg_restore", "--no-owner", "copy")
    assert (refused.returncode, "copy holds made-up records" in refused.stderr) == (2, True)
    db.close()
    assert ask(live, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == "0"
    with pytest.raises(UsageError):
        archives.require(named(live), [str(tmp_path / "copy")])
    archives.require(named(local), [str(tmp_path / "copy")])
