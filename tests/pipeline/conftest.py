"""A source that answers as it is told, and pipelines that ask it."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from faultserver import FaultServer
from servers import KEY

from celeryctl import datasets
from celeryctl.dataset import Dataset
from celeryctl.pipeline.context import Context
from celeryctl.pipeline.engine import Fetch, Pipeline
from celeryctl.settings import Environment, SourceDefaults, load

Make = Callable[..., Pipeline]


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        yield running


@pytest.fixture
def context_of(database_url: str, server: FaultServer, tmp_path: Path) -> Callable[..., Context]:
    """Make settings from variables, with every source at the server's /NAME."""

    def make(found: Mapping[str, Dataset], **variables: str) -> Context:
        urls = {f"{name.upper()}_URL": f"{server.url}/{name}" for name in found}
        own = {"DATABASE_URL": database_url, "CARD_ENCRYPTION_KEYS": KEY, "ALLOW_PRIVATE_SOURCES": "1"}
        environ = {"CELERYCTL_HOME": f"{tmp_path}/.celeryctl", "HTTP_MAX_TRIES": "1", **own, **urls, **variables}
        defaults = [SourceDefaults(name, one.source.url, one.every) for name, one in found.items()]
        return Context(load(Environment.read(environ, tmp_path), defaults), found)

    return make


@pytest.fixture
def make(context_of: Callable[..., Context]) -> Iterator[Make]:
    """Make a pipeline of the built-in data sets, some of them replaced."""
    made: list[Pipeline] = []

    def pipeline(*replaced: Dataset, fetch: Fetch | None = None, **variables: str) -> Pipeline:
        found = {**datasets.load(), **{dataset.name: dataset for dataset in replaced}}
        made.append(context_of(found, **variables).pipeline(fetch=fetch))
        return made[-1]

    yield pipeline
    for one in made:
        if "client" in vars(one):
            one.client.close()
        if "_threads" in vars(one):
            vars(one)["_threads"].shutdown()
