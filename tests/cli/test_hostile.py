"""What others have sent, on a terminal: it is shown as text, and moves, colours, hides and links nothing."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from faultserver import FaultServer, Reply
from screen import terminal
from waiting import eventually

from celeryctl.logs import CONTROL
from celeryctl.storage.database import database as db
from celeryctl.storage.database import session

from .commandline import Run

pytestmark = pytest.mark.integration

MARKUP = "[bold red]B[/] [link=http://evil.example]L[/link] :boom:"
# Colours that we never use, a link, a title, a bell; in one byte, too; then what turns or hides what follows.
STEERING = "\x1b[97;45m\x1b[7;7H\x1b]8;;http://evil.example\x07\x1b]0;t\x1b\\\x9b97;45m\x9d0;t\x9c\a\b\r\v\f\x7f\x85"
STEERING += "\u202e\u2066\u200f\u2028\u2029\u200b\ufeff\u061c\U000e0041"
HOSTILE = f"a{STEERING}\nb\t{MARKUP}"
OWN = re.compile(r"\x1b\[(?:[0-9;]*m|\?25[hl]|\?1049[hl]|[0-9]*[ABGJKH])")
RUN = "abc00000-0000-4000-8000-000000000000"
WRITTEN = (
    ("INSERT INTO runs (id, dataset, trigger, status, error, error_exit, finished_at, page_size, batch_size)"
     f" VALUES ('{RUN}', 'users', %s, 'failed', %s, 69, now(), 1, 1)", 2),
    ("INSERT INTO misses (dataset, key, outcome, reasons) VALUES ('users', %s, 'rejected', ARRAY[%s, %s])", 3),
    ("INSERT INTO workers (name, seen_at, active, concurrency, rss) VALUES (%s, now(), 0, 2, 1)", 1),
    ("INSERT INTO beats (name, seen_at, active) VALUES (%s, now(), true)", 1),
    ("INSERT INTO sources (name, error, failures) VALUES ('users', %s, 1) "
     "ON CONFLICT (name) DO UPDATE SET error = excluded.error, failures = 1", 1),
    ("INSERT INTO dead_letters (worker, reason, task, task_id, origin, size) VALUES (%s, %s, %s, %s, %s, 7)", 5),
)  # fmt: skip
COMMANDS = {
    "users list": MARKUP[:9],
    "users show 1": MARKUP,
    "stats": "a",
    "failed": MARKUP[:9],
    f"why {RUN}": MARKUP,
    "why 1": "complete",
    "runs": "failed",
    f"runs {RUN}": MARKUP,
    f"tail {RUN}": MARKUP,
    "logs": MARKUP,
    "doctor": "evil",
}


@pytest.fixture
def ingested(source: FaultServer, tmp_path: Path) -> None:
    """Everything hostile: all that the sources send, and a log."""
    texts = ("name", "username", "email", "phone", "website")
    company = dict.fromkeys(("name", "catchPhrase", "bs"), HOSTILE)
    users: list[dict[str, Any]] = [{"id": n, "company": company, **dict.fromkeys(texts, HOSTILE)} for n in (1, 2, 3)]
    place = dict.fromkeys(("building_number", "street_name", "city", "state", "country", "zip"), HOSTILE)
    kind = re.sub(r"\d", "", HOSTILE)  # with as many digits it could be a number
    card = {"credit_card_number": HOSTILE, "credit_card_type": kind, "credit_card_expiry_date": "2030-01-31"}
    source.answer("/users", Reply.json([*users, {"id": 4, HOSTILE: 1, "name": f"{HOSTILE}\0"}]), Reply.json([]))
    source.answer("/ADDRESSES", Reply.json([place] * 3))
    source.answer("/CREDIT_CARDS", Reply.json([card] * 3))
    log = tmp_path / ".celeryctl" / "logs" / "worker1.log"
    log.parent.mkdir(parents=True, mode=0o700)
    log.write_text(HOSTILE + "\n", encoding="utf-8")


def write_the_rest() -> None:
    """What does not come by a source, or only when it fails."""
    with session():
        for statement, count in WRITTEN:
            db.execute_sql(statement, (HOSTILE,) * count)


def assert_steers_nothing(raw: bytes) -> None:
    """Of escape sequences there are ours alone, and beyond them no control characters."""
    text = raw.decode()
    assert "\x1b[97;45m" not in text
    left = OWN.sub("", text).replace("\r\n", "\n").replace("\r", "").replace("\n", "")
    assert not CONTROL.search(left), CONTROL.findall(left)


@pytest.mark.usefixtures("ingested")
def test_nothing_that_others_have_sent_steers_the_terminal() -> None:
    with terminal("fetch", "all", "--sync", columns=120, lines=40) as fetch:
        assert fetch.end(60) == 3, fetch.text
        assert "partial" in fetch.text
        assert_steers_nothing(fetch.raw)
    write_the_rest()
    for words, shown in COMMANDS.items():
        with terminal(*words.split(), columns=200, lines=100) as command:
            command.end(60)
            assert shown in command.text, (words, command.text)
            assert "Traceback" not in command.text
            assert_steers_nothing(command.raw)


@pytest.mark.usefixtures("ingested")
def test_the_watch_view_keeps_its_shape() -> None:
    with terminal("fetch", "all", "--sync", columns=120) as fetch:
        assert fetch.end(60) == 3
    write_the_rest()
    with terminal("stats", "--watch", columns=120, lines=40) as watch:
        watch.assert_shows("celeryctl", "data set", "worker", "q quit")
        eventually(lambda: is_whole(watch.lines))  # not in the midst of a frame
        watch.press("q")
        assert watch.end() == 0
        assert_steers_nothing(watch.raw)


def is_whole(lines: list[str]) -> bool:
    """Whether first and last line of the view are where they belong."""
    return lines[0].startswith("celeryctl") and lines[-1].startswith("Next:") and lines[-1].endswith("q quit  ? keys")


@pytest.mark.usefixtures("ingested")
def test_what_others_have_sent_is_json_in_json(run: Run) -> None:
    fetched = run("fetch", "all", "--sync", "--json")
    assert [one["status"] for one in json.loads(fetched.out)["runs"]] == ["partial", "succeeded", "succeeded"]
    write_the_rest()
    for words in COMMANDS:
        said = run(*words.split(), "--json")
        lines = said.out.splitlines() if words.startswith(("tail", "logs")) else [said.out]
        assert all(json.loads(line)["schema"] == 1 for line in lines)
        assert_steers_nothing(said.out.encode())
    assert json.loads(run("users", "show", "1", "--json").out)["name"] == HOSTILE


@pytest.mark.parametrize("debug", [[], ["--debug"]])
def test_a_hostile_name_of_a_folder_steers_nothing(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, debug: list[str]
) -> None:
    folder = tmp_path / f"d{STEERING.replace('/', '_')}"
    for name in ("there", "nowhere"):
        path = folder / name
        if name == "there":
            made = run("dataset", "new", "loyalty", "--folder", str(path))
            assert_steers_nothing((made.out + made.err).encode())
        monkeypatch.setenv("CELERYCTL_DATASETS", str(path).replace(",", ""))
        with terminal("dataset", "list", *debug, columns=200, lines=60) as listed:
            assert listed.end() == (0 if name == "there" else 2)
            assert_steers_nothing(listed.raw)
            assert ("loyalty" in listed.text) == (name == "there")
    said = run("dataset", "list", *debug)
    assert said.code == 2
    assert_steers_nothing(said.err.encode())
    assert bool(debug) == ("Traceback" in said.err)
    assert [line[:6] for line in said.err.splitlines()[-3:]] == ["Error:", "  why:", "  fix:"]
