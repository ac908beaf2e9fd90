"""Every fault's time of recovery, shown at the end of the run."""

from collections.abc import Callable

import pytest

from .kit import Recovery


@pytest.fixture
def recovery(record_property: Callable[[str, object], None]) -> Recovery:
    """Note how long a recovery took, in seconds, and within what it had to come."""
    return lambda seconds, bound: record_property("recovery", [round(seconds, 1), bound])
