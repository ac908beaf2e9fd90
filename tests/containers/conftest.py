"""When the test of the containers runs."""

from pathlib import Path

import pytest


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """First, because it takes longest: what else there is runs beside it."""
    items.sort(key=lambda item: Path(__file__).parent not in item.path.parents)
