"""The base images under their official names, made from Debian packages and wheels: no registry is asked.

One file system serves all three: Debian with Python 3.13 and Redis 8. PostgreSQL 18 is the one of the tests' own wheel.
"""

import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from packaging import tags
from packaging.requirements import Requirement

from celeryctl.local import wheels

from .engine import Engine, said

ROOT = Path(__file__).parents[2]
IMAGES = Path(__file__).with_name("images")
NAMES = {"python": "python:3.13-slim", "redis": "redis:8", "postgres": "postgres:18"}
RELEASE = "trixie"
PYTHON = {"python_version": "3.13", "python_full_version": "3.13.5"}  # the release's
BOOTSTRAP = (
    "--variant=essential",
    "--include=ca-certificates,passwd,python3,python3-venv,redis-server",
    *(f"--dpkgopt=path-exclude=/usr/share/{unread}/*" for unread in ("doc", "locale", "man")),
    '--aptopt=Acquire::Languages "none"',
)
DOWNLOAD = ("--no-deps", "--require-hashes", "--only-binary=:all:", "--python-version=3.13", "--implementation=cp")


def make(engine: Engine, cache: Path) -> None:
    """All three, in this engine. What takes long to get stays in ``cache``, named by what it was made of."""
    with ThreadPoolExecutor() as pool:
        base, locked = pool.submit(debian, cache), pool.submit(downloaded, cache, ROOT / "requirements.lock")
    engine.docker("import", base.result(), "celeryctl-tests-base")
    made = engine.folder / "images"
    shutil.copytree(IMAGES, made)
    shutil.copytree(locked.result(), made / "python/wheels")
    wheels.published(made).parents[2].rename(made / "postgres/server")
    for name, tag in NAMES.items():
        engine.docker("build", "--tag", tag, made / name)


def debian(cache: Path) -> Path:
    """The tar file of a small Debian, from where this machine gets its own packages."""
    made = cache / f"debian-{named(RELEASE, *BOOTSTRAP)}.tar"
    if not made.exists():
        origin = ["Created-By: Packages", "Origin: Debian", "Label: Debian"]
        mirrors = said(["apt-get", "indextargets", "--format=$(REPO_URI)", *origin], dict(os.environ)).split()
        new = made.with_suffix(f".{os.getpid()}.tar")
        said(["mmdebstrap", "--quiet", *BOOTSTRAP, RELEASE, str(new), *mirrors[:1]], dict(os.environ))
        new.rename(made)
    return made


def downloaded(cache: Path, lock: Path) -> Path:
    """A folder with the wheels that are locked, from where pip gets the tests' own."""
    wanted = "\n".join(locked(lock.read_text()))
    made = cache / f"wheels-{named(wanted, *DOWNLOAD)}"
    if not made.exists():
        new = made.with_suffix(f".{os.getpid()}")
        new.mkdir()
        (new / "wanted.txt").write_text(wanted)
        platforms = [f"--platform={one}" for one in tags.platform_tags()]
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "download", *DOWNLOAD]
        said([*pip, *platforms, "--requirement", str(new / "wanted.txt"), "--dest", str(new)], dict(os.environ))
        new.rename(made)
    return made


def locked(text: str) -> Iterator[str]:
    """What of a lock file the image's Python needs. pip would judge the markers by the Python that it runs under."""
    for line in text.replace("\\\n", "").splitlines():
        requirement, mark, hashes = line.partition("#")[0].partition("--hash")
        if mark and ((one := Requirement(requirement)).marker is None or one.marker.evaluate(PYTHON)):
            yield f"{one.name}{one.specifier} {mark}{hashes}"


def named(*recipe: str) -> str:
    return hashlib.blake2b("\n".join(recipe).encode(), digest_size=6).hexdigest()
