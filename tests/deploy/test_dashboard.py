"""deploy/grafana: every panel says what it shows, and shows something in a real Prometheus."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from waiting import eventually

from celeryctl.local.ports import free_port
from deploy.page import FAMILIES, families, history

FOLDER = Path(__file__).parents[2] / "deploy/grafana"
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "celeryctl.json").read_text())
PANELS: list[dict[str, Any]] = [one for one in DASHBOARD["panels"] if one["type"] != "row"]
QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]]
NEEDED = pytest.mark.skipif(
    not (shutil.which("promtool") and shutil.which("prometheus")), reason="Prometheus is not installed"
)
Asked = Callable[[str], list[Any]]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    """What a Prometheus that has scraped the page for more than an hour answers to a query."""
    folder, port, now = tmp_path_factory.mktemp("prometheus"), free_port(), int(time.time()) - 60
    (folder / "history").write_text(history(now))
    blocks = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "history", "data"]
    subprocess.run(blocks, cwd=folder, check=True, capture_output=True, timeout=60)
    (folder / "prometheus.yml").write_text("{}")
    command = ["prometheus", "--storage.tsdb.path=data", f"--web.listen-address=127.0.0.1:{port}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        with requests.Session() as session:
            address = f"http://127.0.0.1:{port}"
            eventually(lambda: process.poll() is not None or ready(session, address))
            assert process.poll() is None, (folder / "log").read_text()
            yield lambda query: answer(session, address, query, now)
    finally:
        process.terminate()
        process.wait(20)


def ready(session: requests.Session, address: str) -> bool:
    try:
        return session.get(f"{address}/-/ready", timeout=5).ok
    except requests.ConnectionError:
        return False


def answer(session: requests.Session, address: str, query: str, at: int) -> list[Any]:
    found = session.get(f"{address}/api/v1/query", params={"query": query, "time": str(at)}, timeout=20).json()
    assert found["status"] == "success", f"{query}: {found.get('error')}"
    return list(found["data"]["result"])


def filled(query: str) -> str:
    """The query with what Grafana puts in place of variables, for all data sets."""
    query = query.replace("$dataset", ".*").replace("$__rate_interval", "1m")
    assert "$" not in query
    return query


@pytest.mark.integration
@NEEDED
def test_every_query_finds_something_in_a_real_prometheus(asked: Asked) -> None:
    found = {query: asked(filled(query)) for query in QUERIES}
    empty = [query for query, series in found.items() if not series or any(one["value"][1] == "NaN" for one in series)]
    assert empty == []


@pytest.mark.integration
@NEEDED
def test_every_legend_names_only_labels_that_there_are(asked: Asked) -> None:
    for target in (target for panel in PANELS for target in panel["targets"]):
        named = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        series = asked(filled(target["expr"]))
        assert all(set(one["metric"]) == named for one in series), target["expr"]


@pytest.mark.unit
def test_every_metric_of_the_page_is_shown_and_no_other_one() -> None:
    assert set().union(*map(families, QUERIES)) == set(FAMILIES)


@pytest.mark.unit
@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_every_panel_says_what_it_shows_in_which_unit(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]) > 0


@pytest.mark.unit
def test_panels_have_ids_of_their_own_and_do_not_overlap() -> None:
    every = DASHBOARD["panels"]
    assert len({panel["id"] for panel in every}) == len(every)
    taken = [
        (x, y)
        for place in (panel["gridPos"] for panel in every)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(taken)) == len(taken)
    assert max(x for x, _ in taken) == 23


@pytest.mark.unit
def test_it_keeps_its_address_and_can_be_narrowed_to_data_sets() -> None:
    assert (DASHBOARD["uid"], DASHBOARD["refresh"]) == ("celeryctl", "30s")
    rows = [panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row"]
    assert rows == ["Health", "Coverage", "Throughput", "Queue and workers", "Runs", "Quarantine"]
    variables = {one["name"]: one for one in DASHBOARD["templating"]["list"]}
    assert set(variables) == {"datasource", "dataset"}
    by_dataset = [query for query in QUERIES if re.search(r"\b(dataset|source)\b", query.split("{")[0])]
    assert [query for query in by_dataset if '=~"$dataset"' not in query] == []


@pytest.mark.unit
def test_grafana_gets_the_dashboard_and_the_rates_fit_how_often_is_scraped() -> None:
    source = yaml.safe_load((FOLDER / "datasource.yml").read_text())["datasources"][0]
    scraped = yaml.safe_load((FOLDER.parent / "prometheus.yml").read_text())["global"]["scrape_interval"]
    assert source["jsonData"]["timeInterval"] == scraped
