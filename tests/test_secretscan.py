"""The scan for secrets: it finds what was planted, says where and not what, and passes what is made up."""

import base64
import os
import secrets
import shutil
import subprocess
import sys
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
    "Password by its name": f"POSTGRES_PASSWORD={secrets.token_hex(8)}",
}


@pytest.mark.parametrize("kind", PLANTED)
@pytest.mark.parametrize("line", ["KEY={}", 'key = "{}"', "# {}", "  - {}"])
def test_what_was_planted_is_found_wherever_it_stands(
    kind: str, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    (tmp_path / "notes ü").write_text(f"one\n{line.format(PLANTED[kind])}\n")
    assert secretscan.main([str(tmp_path)]) == 0, "git does not know it yet"
    subprocess.run(["git", "add", "."], cwd=tmp_path, check=True)
    assert secretscan.main([str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert out == f"notes ü:2: {kind}\n"


SHORT = "Tr0ub4dor" + "&3"
NAMED = [
    "POSTGRES_PASSWORD={}", "FLOWER_BASIC_AUTH=admin:{}", "CRM_AUTHORIZATION=Bearer {}", "https://h/?password={}&x=1",
    "password={} host=db", "PGPASSWORD='{}'", '{{"password": "{}", "x": 1}}', r'"{{\"password\": \"{}\"}}"',
    "Authorization: Basic {}", "secret_token: {}  # ours", "requirepass {}", "ALTER ROLE a PASSWORD '{}'",
    "X-Api-Key: {}",
]  # fmt: skip


@pytest.mark.parametrize(
    "secret",
    [SHORT, secrets.token_hex(8), f"{secrets.token_urlsafe(11)}-7x", "correct-h0rse"],
    ids=["short", "hexadecimal", "base64", "nearly words"],
)
@pytest.mark.parametrize("line", NAMED)
def test_what_a_name_tells_is_found(line: str, secret: str) -> None:
    assert list(secretscan.found(f"one\n{line.format(secret)}\n")) == [("Password by its name", 2)]


@pytest.mark.parametrize("url", ["postgresql://me:{}@db/x", "redis://:{}@h", "postgresql://me:a:{}@db"])
def test_a_short_password_in_a_url_is_found(url: str) -> None:
    assert ("Password in a URL", 1) in list(secretscan.found(url.format(SHORT)))


@pytest.mark.parametrize("before", ["\\n", "\\r\\n", "\\t", "KEYS=", " "])
def test_a_key_is_found_whatever_stands_before_it(before: str) -> None:
    assert list(secretscan.found(f'"# keys{before}{PLANTED["AES key"]}"')) == [("AES key", 1)]


MADE_UP = ["redis://:s3cret@h", "postgresql://me:my-password@h/d", "redis://:{password}@h"]
MADE_UP += ["MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", "127.0.0.1", "sha256:" + "0a" * 32]
MADE_UP += ["password=secrets.token_hex(16)", "PASSWORD: ${POSTGRES_PASSWORD:?run it}", "--auth=scram-sha-256"]
MADE_UP += ["BASIC_AUTH=<user>:<password>", "PASSWORD='my-long-secret-2'", "secret = EncryptedField()"]


@pytest.mark.parametrize("text", MADE_UP)
def test_what_was_made_up_is_passed(text: str) -> None:
    assert list(secretscan.found(f"x = {text}")) == []


@pytest.mark.parametrize("missing", ["the clone", "git"])
def test_where_git_cannot_be_asked_that_is_said_and_nothing_fails(missing: str, tmp_path: Path) -> None:
    if missing == "git":
        (tmp_path / ".git").mkdir()
    variables = os.environ | ({"PATH": str(tmp_path)} if missing == "git" else {})
    scan = [sys.executable, ROOT / "tests" / "secretscan.py"]
    done = subprocess.run(scan, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (0, "", 1), done.stderr
    assert "only git knows which files belong to the repository" in done.stderr


def test_there_is_no_secret_here() -> None:
    if not secretscan.tracked(ROOT):
        pytest.skip(secretscan.UNKNOWN)
    assert secretscan.main([str(ROOT)]) == 0
