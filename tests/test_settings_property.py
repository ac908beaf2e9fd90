"""Whatever stands in the environment or in .env: it is read or refused as a setting, and no secret is repeated."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hostile import amounts, text, tried
from hypothesis import strategies as st

from celeryctl import datasets
from celeryctl.errors import SettingsError
from celeryctl.logs import CONTROL
from celeryctl.settings import Environment, SourceDefaults, declared, load

pytestmark = pytest.mark.unit

SECRET = "s3cret"
SOURCES = [SourceDefaults(name, one.source.url, one.every) for name, one in datasets.load().items()]
NAMES = [setting.variable for setting in declared(SOURCES) if setting.variable != "CELERYCTL_HOME"]
HIDDEN = [
    setting.variable for setting in declared(SOURCES) if setting.show is not str and "AGE" not in setting.variable
]
SCHEMES = ("postgresql", "postgres", "redis", "rediss", "http", "https", "ftp", "")

# What an environment can hold.
word = text.map(lambda found: found.replace("\0", "").encode(errors="replace").decode()) | st.sampled_from(
    [
        "0",
        "1",
        "5m",
        "1e9",
        "-1s",
        "0.0000001",
        "999999999d",
        "16MiB",
        "9" * 30,
        "10/s",
        "0/s",
        "auto",
        "::",
        "localhost",
        ",",
    ]
)
url = st.builds(
    lambda scheme, user, more, host, rest: f"{scheme}://{user}:{SECRET}{more}@{host}/{rest}",
    st.sampled_from(SCHEMES), word, word, word, word,
)  # fmt: skip
pairs = st.lists(
    st.tuples(st.sampled_from(NAMES), word | url | word.map(lambda found: SECRET + found.replace("://", ""))),
    min_size=1,
    max_size=3,
)


def assert_read_or_refused(environ: dict[str, str], folder: Path) -> None:
    told = ""
    try:
        load(Environment.read(environ, folder), SOURCES)
    except SettingsError as exc:
        told = f"{exc.what} {exc.why} {exc.fix}"
    assert not CONTROL.search(told)
    assert not (told.split(" ")[0] in HIDDEN and SECRET in told), told


@amounts
def test_any_environment_is_read_or_refused(amount: int, tmp_path: Path) -> None:
    def check(found: Sequence[tuple[str, str]]) -> None:
        assert_read_or_refused(dict(found), tmp_path)

    tried(pairs, check, amount)


@amounts
def test_any_env_file_is_read_or_refused(amount: int, tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.touch(mode=0o600)

    def check(found: tuple[Sequence[tuple[str, str]], str, bytes]) -> None:
        known, mark, more = found
        lines = [f"{name}{mark}{value}" for name, value in known]
        path.write_bytes("\n".join(lines).encode() + more)
        assert_read_or_refused({}, tmp_path)

    marks = st.sampled_from(["=", " = ", "='", '="', "=$(", "=${x}", ":"])
    tried(st.tuples(pairs, marks, st.binary(max_size=6)), check, amount // 4)
