"""Two minutes of a storm of all faults; `make chaos` has longer ones."""

from collections import Counter
from itertools import islice
from pathlib import Path

import pytest
from faultserver import FaultServer

from .fates import fates
from .storm import weather
from .strikes import broker
from .strikes.sources import Sources

USERS, SEED = 20_000, 7


def first(count: int, *, seed: int) -> list[tuple[str, str]]:
    """What a storm begins with, and how often each kind is among it."""
    with FaultServer() as server:
        drawn = islice(fates(seed, Sources(server, 1, 0), broker.cut), count)
        return [(str(fate), fate.card.kind) for fate in drawn]


@pytest.mark.unit
def test_the_same_seed_strikes_alike_and_with_everything_there_is() -> None:
    assert first(200, seed=7) == first(200, seed=7) != first(200, seed=8)
    counts = Counter(kind for _, kind in first(200, seed=7))
    assert max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_all_is_there_after_a_storm(tmp_path: Path) -> None:
    assert weather(tmp_path, minutes=2, users=USERS, seed=SEED, say=print).wrong == []
