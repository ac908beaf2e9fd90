"""A PostgreSQL that is reached by TLS alone, with certificates of its own. The embedded one knows no TLS: Debian's."""

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from celeryctl.local.ports import free_port

BINARIES = Path("/usr/lib/postgresql/15/bin")
HOST = "db.example"  # the server's name; every URL says that it is on loopback
KEY_PASSWORD = "key-secret"
HBA = "hostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca\n"


class Authority:
    """A certificate authority; what it signs lies in a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self._name = folder, name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._write(name, self._key, name, ca=True)

    def sign(self, file: str, name: str, *, password: str | None = None) -> tuple[Path, Path]:
        """A certificate for this name, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        return self._write(file, key, name), self._write_key(file, key, password)

    def _write(self, file: str, key: Any, name: str, *, ca: bool = False) -> Path:
        now = datetime.now(UTC)
        built = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self._name)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        path = self.folder / f"{file}.crt"
        path.write_bytes(built.public_bytes(serialization.Encoding.PEM))
        return path

    def _write_key(self, file: str, key: Any, password: str | None) -> Path:
        path = self.folder / f"{file}.key"
        hidden = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
        kind = serialization.PrivateFormat.TraditionalOpenSSL if password else serialization.PrivateFormat.PKCS8
        path.touch(0o600)
        path.write_bytes(key.private_bytes(serialization.Encoding.PEM, kind, hidden))
        return path


@dataclass(frozen=True)
class TlsServer:
    """Where it listens, its superuser's password, and the parameters with which one gets in."""

    port: int
    password: str
    trusted: dict[str, str]
    foreign: str  # the certificate of an authority that has signed nothing here
    locked: str  # the key of a client, encrypted
    locked_certificate: str

    def url(self, name: str, *, host: str = HOST, **parameters: str | None) -> str:
        """The URL of a database; a parameter that is None is left out."""
        asked = {"hostaddr": "127.0.0.1", **self.trusted, **parameters}
        query = urlencode({name: value for name, value in asked.items() if value is not None})
        return f"postgresql://postgres:{self.password}@{host}:{self.port}/{name}?{query}"


@contextmanager
def tls_server() -> Iterator[TlsServer]:
    with tempfile.TemporaryDirectory(prefix="celeryctl-tests-") as top:
        folder = Path(top)
        folder.chmod(0o755)
        ours, foreign = Authority(folder, "ours"), Authority(folder, "foreign")
        ours.sign("server", HOST)
        certificate, key = ours.sign("client", "client")
        locked_certificate, locked = ours.sign("locked", "client", password=KEY_PASSWORD)
        trusted = {"sslmode": "verify-full", "sslrootcert": ours.certificate, "sslcert": certificate, "sslkey": key}
        password, port = secrets.token_hex(16), free_port()
        with _running(folder, port, password):
            yield TlsServer(port, password, {name: str(value) for name, value in trusted.items()},
                            str(foreign.certificate), str(locked), str(locked_certificate))  # fmt: skip


@contextmanager
def _running(folder: Path, port: int, password: str) -> Iterator[None]:
    data, file = folder / "server" / "data", folder / "server" / "password"
    data.parent.mkdir()
    file.write_text(password)
    for name in ("server.crt", "server.key"):
        shutil.copy(folder / name, data.parent)
    (data.parent / "server.key").chmod(0o600)
    own: dict[str, Any] = {}
    if os.geteuid() == 0:
        found = pwd.getpwnam("postgres")
        own = {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}
        for path in (data.parent, *data.parent.iterdir()):
            os.chown(path, found.pw_uid, found.pw_gid)

    def do(program: str, *words: str) -> None:
        subprocess.run([BINARIES / program, "-D", data, *words], cwd=data.parent, check=True, timeout=60,
                       stdout=subprocess.DEVNULL, **own)  # fmt: skip

    do("initdb", "--no-sync", "-U", "postgres", "--auth=scram-sha-256", f"--pwfile={file}", "--encoding=UTF8")
    (data / "pg_hba.conf").write_text(HBA)
    tls = {"ssl": "on", "ssl_cert_file": "../server.crt", "ssl_key_file": "../server.key",
           "ssl_ca_file": folder / "ours.crt"}  # fmt: skip
    own_place = {"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off"}
    options = " ".join(f"-c {name}='{value}'" for name, value in (own_place | tls).items())
    do("pg_ctl", "-w", "-l", str(data.parent / "log"), "-o", options, "start")
    try:
        yield
    finally:
        do("pg_ctl", "-w", "-m", "immediate", "stop")
