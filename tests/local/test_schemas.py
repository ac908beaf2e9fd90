"""Every JSON document that a command prints, held against its schema in docs/schemas."""

import json
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from waiting import eventually

from celeryctl.cli.group import made
from celeryctl.cli.table import COMMANDS

from .cockpit import Cockpit, new_cockpit

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"
DOCUMENTS = {
    "fetch all --json": "fetch",
    "fetch users --sync --refresh --json": "fetch",
    "fetch users --detach --json": "fetch",
    "fetch all --dry-run --json": "fetch-dry-run",
    "seed 3 --json": "fetch",
    "stats --json": "stats",
    "runs --json": "runs",
    "failed --json": "failed",
    "failed --retry --all --json": "failed-retry",
    "schedule --json": "schedule",
    "schedule pause users --json": "schedule",
    "schedule resume users --json": "schedule",
    "schedule run users --json": "fetch",
    "why 3 --json": "why",
    "wait --for 'workers>0' --json": "wait",
    "prune --older-than 1d --json": "prune",
    "keys status --json": "keys-status",
    "keys rotate --json": "keys-rotate",
    "doctor --json": "doctor",
    "doctor --fix --json": "doctor",
    "config show --json": "config-show",
    "dataset list --json": "dataset-list",
    "dataset check --json": "dataset-check",
    "init-db --json": "init-db",
    "init-db --check --json": "init-db-check",
    "users list --json": "users-list",
    "users show 3 --json": "users-show",
    "logs -n 2 --json": "logs",
}
STREAMS = {"stats --watch --interval 0.2s --json": "stats", "tail --json": "tail", "logs -f --json": "logs"}
ALONE = ("up", "cancel")  # covered where they have a cluster, or a run, to themselves


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cockpit]:
    """A terminal in a folder whose cluster has fetched everything once."""
    with new_cockpit() as cockpit:
        cockpit.filled()
        yield cockpit
        cockpit.ok("down")


def schema(name: str) -> dict[str, Any]:
    """The schema, closed: what it does not name must not be there."""
    found: dict[str, Any] = json.loads((SCHEMAS / f"{name}.json").read_text())
    _close(found)
    return found


def _close(part: Any) -> None:
    if isinstance(part, dict):
        if "properties" in part:
            part.setdefault("additionalProperties", False)
        for inner in part.values():
            _close(inner)


def assert_valid(document: str, name: str) -> None:
    Draft202012Validator(schema(name), format_checker=FormatChecker()).validate(json.loads(document))


@pytest.mark.parametrize("words", DOCUMENTS)
def test_a_document_is_as_its_schema_says(cluster: Cockpit, words: str) -> None:
    done = cluster.run(*shlex.split(words))
    assert done.returncode == 0, done
    if DOCUMENTS[words] == "logs":
        assert done.stdout
        for line in done.stdout.splitlines():
            assert_valid(line, "logs")
    else:
        assert_valid(done.stdout, DOCUMENTS[words])


@pytest.mark.parametrize("words", STREAMS)
def test_every_line_of_a_stream_is_as_its_schema_says(cluster: Cockpit, words: str) -> None:
    said = cluster.folder / f"{STREAMS[words]}.ndjson"
    with said.open("wb") as file:
        process = cluster.start(*shlex.split(words), stdout=file)
        eventually(lambda: said.read_bytes().count(b"\n") >= 2 or process.poll() is not None)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    lines = said.read_text().splitlines()
    assert len(lines) >= 2
    for line in lines:
        assert_valid(line, STREAMS[words])


def test_where_nothing_answers_the_documents_are_still_whole(tmp_path: Path) -> None:
    with new_cockpit() as nowhere:
        assert_valid(nowhere.ok("stats", "--json"), "stats")
        done = nowhere.run("doctor", "--json")
        assert done.returncode == 69
        assert_valid(done.stdout, "doctor")


def test_a_round_prints_the_stats(tmp_path: Path) -> None:
    with new_cockpit() as cockpit:
        assert_valid(cockpit.ok("up", "--once", "--sources", "local", "--json"), "stats")


def test_every_command_with_json_is_among_these_and_every_schema_is_used() -> None:
    for entry in COMMANDS:
        if entry.passes_to or entry.name in ALONE:
            continue
        command = made(entry)
        for name, one in getattr(command, "commands", {"": command}).items():
            if any(param.name == "json" for param in one.params):
                begin = f"{entry.name} {name}".strip()
                assert any(words.startswith(begin) for words in {**DOCUMENTS, **STREAMS}), begin
    assert {f"{name}.json" for name in (*DOCUMENTS.values(), *STREAMS.values())} == {
        path.name for path in SCHEMAS.iterdir()
    }
