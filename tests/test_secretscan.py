"""The scan for secrets: it finds what was planted, says where and not what, and passes what is made up."""

import base64
import os
import secrets
import subprocess
from pathlib import Path

import pytest
import secretscan
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[1]


def pem() -> str:
    return (
        ec.generate_private_key(ec.SECP256R1())
        .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        .decode()
    )


# Made here: written out, they would be found in this file.
PLANTED = {
    "AWS Access Key": "AKIA" + "Q" * 12 + "3Z7X",
    "Private Key": pem(),
    "AES key": base64.b64encode(os.urandom(32)).decode(),
    "GitHub Token": "ghp_" + secrets.token_hex(18),
    "Password in a URL": f"redis://:{secrets.token_hex(16)}@127.0.0.1:6379/0",
}


@pytest.mark.parametrize("kind", PLANTED)
@pytest.mark.parametrize("line", ["KEY={}", 'key = "{}"', "# {}", "  - {}"])
def test_what_was_planted_is_found_wherever_it_stands(
    kind: str, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    (tmp_path / "notes ü").write_text(f"one\n{line.format(PLANTED[kind])}\n")
    assert secretscan.main([str(tmp_path)]) == 0, "git does not know it yet"
    subprocess.run(["git", "add", "."], cwd=tmp_path, check=True)
    assert secretscan.main([str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert out == f"notes ü:2: {kind}\n"


MADE_UP = ["redis://:s3cret@h", "postgresql://me:my-password@h/d", "redis://:{password}@h"]
MADE_UP += ["MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", "127.0.0.1", "sha256:" + "0a" * 32]


@pytest.mark.parametrize("text", MADE_UP)
def test_what_was_made_up_is_passed(text: str) -> None:
    assert list(secretscan.found(f"x = {text}")) == []


def test_there_is_no_secret_here() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("this is no checkout of git")
    assert secretscan.main([str(ROOT)]) == 0
