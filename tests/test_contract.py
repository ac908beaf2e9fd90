"""The registry and the table of commands, walked: whatever is declared has all that follows from it."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from cassette import FOLDER
from servers import KEY

from celeryctl import datasets, services
from celeryctl.cli import app
from celeryctl.cli.table import COMMANDS, Entry
from celeryctl.cluster import overview
from celeryctl.dataset import Dataset
from celeryctl.datasets.scaffold import write
from celeryctl.pipeline import orders
from celeryctl.settings import SourceDefaults, declared
from celeryctl.storage import schema
from celeryctl.storage.database import database, session

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
REGISTRY = datasets.load()
EVERY = pytest.mark.parametrize("dataset", REGISTRY.values(), ids=REGISTRY)
COMMAND = pytest.mark.parametrize("entry", COMMANDS, ids=[entry.name for entry in COMMANDS])
VARIABLES = ("FETCH_{}_INTERVAL", "{}_URL", "{}_MAX_AGE", "{}_AUTHORIZATION", "{}_RATE_LIMIT")
APP = """
import json
from celeryctl.cluster.app import create_app
app = create_app()
print(json.dumps([sorted(app.tasks), app.conf.beat_schedule]))
"""


def in_cluster(**variables: str) -> tuple[list[str], dict[str, dict[str, object]]]:
    """The tasks and the beat schedule of a process with these settings."""
    urls = {"DATABASE_URL": "postgresql://127.0.0.1:1/x", "REDIS_URL": "redis://127.0.0.1:1"}
    done = subprocess.run(
        [sys.executable, "-c", APP],
        env={**os.environ, **urls, **variables},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    tasks, schedule = json.loads(done.stdout)
    return tasks, schedule


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], dict[str, dict[str, object]]]:
    return in_cluster(CELERYCTL_HOME=str(tmp_path_factory.mktemp("cluster") / ".celeryctl"))


@pytest.fixture
def stats(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("CARD_ENCRYPTION_KEYS", KEY)
    services.use(None)
    yield
    services.use(None)


@pytest.mark.unit
@EVERY
def test_a_data_set_has_a_command(dataset: Dataset) -> None:
    assert orders.order(REGISTRY, dataset.command, trigger="command").dataset == dataset.name


@pytest.mark.integration
@EVERY
def test_a_data_set_has_a_task_and_a_beat_entry(
    dataset: Dataset, cluster: tuple[list[str], dict[str, dict[str, object]]]
) -> None:
    tasks, schedule = cluster
    name = f"celeryctl.fetch.{dataset.name}"
    assert name in tasks
    assert schedule[dataset.name] == {"task": name, "schedule": dataset.every.total_seconds()}


@pytest.mark.unit
@EVERY
def test_a_data_set_has_its_settings_in_the_readme_and_the_example(dataset: Dataset) -> None:
    known = {
        setting.variable for setting in declared([SourceDefaults(dataset.name, dataset.source.url, dataset.every)])
    }
    example = (ROOT / ".env.example").read_text()
    for pattern in VARIABLES:
        variable = pattern.format(dataset.variable)
        assert variable in known
        assert f"# {variable}=" in example
        assert f"`{variable}`" in README


@pytest.mark.unit
def test_no_two_data_sets_share_a_setting() -> None:
    defaults = [SourceDefaults(one.name, one.source.url, one.every) for one in REGISTRY.values()]
    names = [setting.variable for setting in declared(defaults)]
    assert len(names) == len(set(names))


@pytest.mark.integration
@EVERY
def test_a_data_set_has_a_row_in_the_stats_and_a_source(dataset: Dataset, stats: None) -> None:
    document = overview.collect()
    (row,) = [one for one in document["datasets"] if one["name"] == dataset.name]
    assert set(row) >= {"name", "rows", "missing", "stale", "quarantined", "last_run", "next_due"}
    assert [one["state"] for one in document["sources"] if one["name"] == dataset.name] == ["unknown"]


@pytest.mark.unit
@EVERY
def test_a_data_set_has_a_cassette_of_its_source(dataset: Dataset) -> None:
    assert f"uri: {dataset.source.url}" in (FOLDER / f"{dataset.name}.yaml").read_text()


@pytest.mark.integration
@EVERY
def test_a_data_set_has_its_table(dataset: Dataset, database_url: str) -> None:
    with session():
        columns = {column.name for column in database.get_columns(dataset.model._meta.table_name)}
    assert columns == {field.column_name for field in dataset.model._meta.sorted_fields}
    assert schema.pending(datasets.further(REGISTRY)) == []


@pytest.mark.unit
@EVERY
def test_a_data_set_says_what_it_is(dataset: Dataset) -> None:
    assert re.fullmatch(r"[A-Z].*\.", dataset.help)


@pytest.mark.integration
def test_a_fourth_data_set_has_all_that_the_built_in_ones_have(
    tmp_path: Path, stats: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = str(write("loyalty", tmp_path).parent)
    monkeypatch.setenv("CELERYCTL_DATASETS", folder)
    services.use(None)
    found = services.context()
    assert orders.order(found.datasets, "all", trigger="command").followers[-1] == "loyalty"
    assert "loyalty" in found.settings.sources
    tasks, schedule = in_cluster(CELERYCTL_DATASETS=folder, FETCH_LOYALTY_INTERVAL="5m", LOYALTY_RATE_LIMIT="10/s")
    assert "celeryctl.fetch.loyalty" in tasks
    assert schedule["loyalty"]["schedule"] == 300
    further = datasets.further(found.datasets)
    schema.migrate(further)
    try:
        assert overview.collect()["datasets"][-1]["name"] == "loyalty"
    finally:
        with session():
            database.drop_tables(further)


@pytest.mark.unit
@COMMAND
def test_a_command_has_help(entry: Entry, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run([entry.name, "--help"]) == 0
    out, err = capsys.readouterr()
    assert not err
    assert "Usage" in out
    assert f"celeryctl {entry.name}" in out
    assert app.run(["help", entry.name]) == 0
    assert capsys.readouterr().out == out


@pytest.mark.unit
@COMMAND
def test_a_command_stands_in_the_readme_and_in_the_list(entry: Entry, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run([]) == 0
    listed = capsys.readouterr().out
    assert re.search(rf"^\s+{entry.name}\s", listed, re.MULTILINE)
    assert entry.help in listed
    loaded = app.load(entry)
    subcommands = loaded.registered_commands if isinstance(loaded, typer.Typer) else ()
    for words in [entry.name, *(f"{entry.name} {one.name or one.callback.__name__}" for one in subcommands)]:
        assert f"`{words}" in README, words
