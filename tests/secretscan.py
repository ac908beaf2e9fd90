"""Looks for secrets in the files that git knows: `make lint` runs it, without a network. Says where, never what.

The patterns are those of detect-secrets for what tells itself, run over whole files: its own way, line by line and by
entropy, takes ten times as long, and overlooks a key of ours that stands without quotes.
"""

import base64
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
from detect_secrets.plugins.base import RegexBasedDetector
from detect_secrets.plugins.basic_auth import BasicAuthDetector
from detect_secrets.plugins.ip_public import IPPublicDetector

AES_KEY = re.compile(r"(?<![\w+/-])[\w+/-]{43}=(?![\w+/=])", re.ASCII)
STANDARD = str.maketrans("-_", "+/")  # base64 has two alphabets
URL_PASSWORD = re.compile(r"://[^\s:/?#@]*:([^\s:/?#@]+)@")  # also without a user, as Redis has it
# What somebody made up, for a test or the documentation: short, words, or a place to be filled.
MADE_UP = re.compile(r".{0,11}|[a-z-]*(\{.*\})?[a-z-]*|<\w+>")


@cache
def patterns() -> list[tuple[str, re.Pattern[str]]]:
    """Every kind of token and key that has a form of its own. An address is no secret; of URLs we know more."""
    kinds = set(get_mapping_from_secret_type_to_class().values()) - {IPPublicDetector, BasicAuthDetector}
    detectors = [kind() for kind in kinds if issubclass(kind, RegexBasedDetector)]
    return [(detector.secret_type, pattern) for detector in detectors for pattern in detector.denylist]


def found(text: str) -> Iterator[tuple[str, int]]:
    """The kind of every secret, and its line."""
    for kind, match in _matches(text):
        yield kind, text.count("\n", 0, match.start()) + 1


def _matches(text: str) -> Iterator[tuple[str, re.Match[str]]]:
    for kind, pattern in patterns():
        for match in pattern.finditer(text):
            yield kind, match
    for match in URL_PASSWORD.finditer(text):
        if not MADE_UP.fullmatch(match[1]):
            yield "Password in a URL", match
    for match in AES_KEY.finditer(text):
        # Where a key spells something, somebody has made it up: chance does not.
        if not base64.b64decode(match[0].translate(STANDARD)).isascii():
            yield "AES key", match


def tracked(folder: Path) -> list[Path]:
    """The files that are in git, or are about to be."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=folder, capture_output=True, text=True, check=True).stdout
    return [folder / name for name in listed.split("\0") if (folder / name).is_file()]


def main(folders: Iterable[str]) -> int:
    """Print where the secrets are. 1 when there are any."""
    leaks = sorted(
        f"{path.relative_to(folder)}:{line}: {kind}"
        for folder in map(Path, folders)
        for path in tracked(folder)
        for kind, line in set(found(path.read_text(encoding="utf-8", errors="replace")))
    )
    sys.stdout.writelines(f"{leak}\n" for leak in leaks)
    return int(bool(leaks))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ["."]))
