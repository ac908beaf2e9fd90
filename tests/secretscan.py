"""Looks for secrets in the files that git knows: `make lint` runs it, without a network. Says where, never what.

Found are tokens and keys that have a form of their own, AES keys in base64, passwords in URLs, and what a name such as
PASSWORD or AUTHORIZATION tells: all of nine characters or more. Not found is a password of words, or of nothing but
small or nothing but capital letters: nobody can tell it from what somebody made up. Nor one without such a name.

The patterns are those of detect-secrets for what tells itself, run over whole files: its own way, line by line and by
entropy, takes ten times as long, and overlooks a key of ours that stands without quotes.
"""

import base64
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
from detect_secrets.plugins.base import RegexBasedDetector
from detect_secrets.plugins.basic_auth import BasicAuthDetector
from detect_secrets.plugins.ip_public import IPPublicDetector

UNKNOWN = "only git knows which files belong to the repository, and this is no clone, or git is not installed"
# Before it may stand a line break that is spelt as two characters.
AES_KEY = re.compile(r"(?:(?<![\w+/-])|(?<=\\[nrt]))[\w+/-]{43}=(?![\w+/=])", re.ASCII)
STANDARD = str.maketrans("-_", "+/")  # base64 has two alphabets
URL_PASSWORD = re.compile(r"://[^\s:/?#@]*:(?P<value>[^\s/?#@]{9,})@")  # also without a user, as Redis has it
NAMED = re.compile(
    r"""(?ix) (?: passw(or)?d | passphrase | requirepass | auth | secret | token | api[_-]?key ) [\w-]*
    \\?["']? (?: [ \t]* (?: :?= | => | : ) [ \t]* | [ \t]+ ) [frb]{0,2} \\?["']?  # = or a space, then quotes or none
    (?: (?:Bearer|Basic)[ ]+ )? (?: \w{1,8}: )?+ (?! [\w.]+\( )  # a user; but no function that is called
    (?P<value> (?: (?! &\w+= | [,;]\s ) [^\s"'\\()`] ){9,} )"""
)
# What somebody made up, for a test or the documentation: words, small numbers, or a place to be filled.
WORD = r"(?:[A-Z][a-z]{2,})+|[A-Z]?[a-z]+|[A-Z]+|\d{1,3}|\{[^}]*(?:\}|$)|<\w+>"
MADE_UP = re.compile(rf"[\W_]*(?:(?:{WORD})(?:[\W_]+|$))*")


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
    for kind, pattern in (("Password in a URL", URL_PASSWORD), ("Password by its name", NAMED)):
        for match in pattern.finditer(text):
            if not MADE_UP.fullmatch(match["value"]):
                yield kind, match
    for match in AES_KEY.finditer(text):
        # Where a key spells something, somebody has made it up: chance does not.
        if not base64.b64decode(match[0].translate(STANDARD)).isascii():
            yield "AES key", match


def tracked(folder: Path) -> list[Path]:
    """The files that are in git, or are about to be. None where there is no git, or this is no clone."""
    if not (shutil.which("git") and (folder / ".git").exists()):
        return []
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=folder, stdout=subprocess.PIPE, text=True, check=True).stdout
    return [folder / name for name in listed.split("\0") if (folder / name).is_file()]


def main(folders: Iterable[str]) -> int:
    """Print where the secrets are. 1 when there are any."""
    listed = {folder: tracked(folder) for folder in map(Path, folders)}
    leaks = sorted(
        f"{path.relative_to(folder)}:{line}: {kind}"
        for folder, paths in listed.items()
        for path in paths
        for kind, line in set(found(path.read_text(encoding="utf-8", errors="replace")))
    )
    sys.stdout.writelines(f"{leak}\n" for leak in leaks)
    sys.stderr.writelines(f"{folder}: not searched for secrets: {UNKNOWN}\n" for folder in listed if not listed[folder])
    return int(bool(leaks))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ["."]))
