import subprocess
from pathlib import Path

import pytest

from celeryctl.local.gate import gated

pytestmark = pytest.mark.unit

NOTE = ["/bin/sh", "-c", "echo $$ > pid"]


def test_it_begins_when_the_block_is_over_under_the_pid_that_was_known(tmp_path: Path) -> None:
    with gated(subprocess.Popen[bytes], NOTE, cwd=tmp_path) as process:
        assert process.poll() is None
        assert not list(tmp_path.iterdir())
    assert process.wait(10) == 0
    assert (tmp_path / "pid").read_text() == f"{process.pid}\n"


def test_it_never_begins_where_the_block_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), gated(subprocess.Popen[bytes], NOTE, cwd=tmp_path) as process:
        raise ZeroDivisionError
    assert process.wait(10) != 0
    assert not list(tmp_path.iterdir())


def test_one_that_somebody_ends_meanwhile_is_no_error(tmp_path: Path) -> None:
    with gated(subprocess.Popen[bytes], NOTE, cwd=tmp_path) as process:
        process.kill()
        process.wait(10)
    assert not list(tmp_path.iterdir())
