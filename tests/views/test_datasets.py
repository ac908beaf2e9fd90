import io

import pytest
from rich.console import Console

from celeryctl.pipeline.context import Context
from celeryctl.views import datasets

pytestmark = pytest.mark.unit


def test_every_data_set_is_told_with_its_source_as_it_is_set() -> None:
    found = {one["name"]: one for one in datasets.as_json(
        Context.read({"USERS_URL": "https://h/u", "FETCH_USERS_INTERVAL": "5m"})
    )}  # fmt: skip
    assert list(found) == ["users", "addresses", "credit_cards"]
    users, cards = found["users"], found["credit_cards"]
    assert (users["url"], users["every_seconds"], users["table"], users["per"]) == ("https://h/u", 300, "users", None)
    assert (users["source"], users["origin"]) == ("listing", "built in")
    assert (cards["source"], cards["table"], cards["per"], cards["every_seconds"]) == (
        "draw", "credit_cards", "users", 900,
    )  # fmt: skip
    assert all(one["help"].endswith(".") for one in found.values())


@pytest.mark.parametrize("width", [40, 80, 120])
def test_the_table_has_a_line_for_each_at_any_width(width: int) -> None:
    out = io.StringIO()
    Console(file=out, width=width, color_system=None).print(datasets.table(Context.read({})))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    if width == 120:
        assert [line.split()[0] for line in lines[1:]] == ["users", "addresses", "credit_cards"]
        assert [line.split()[1:3] for line in lines[1:]] == [["300", "s"], ["600", "s"], ["900", "s"]]
