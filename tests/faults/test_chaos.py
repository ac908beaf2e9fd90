"""Two minutes of a storm of all faults; `make chaos` has longer ones."""

from collections import Counter
from itertools import islice
from pathlib import Path

import pytest
from faultserver import FaultServer

from .fates import Fate, fates
from .storm import weather
from .strikes import broker
from .strikes.sources import Sources

USERS, SEED = 20_000, 7


def first(count: int, *, seed: int) -> list[Fate]:
    """What a storm begins with."""
    with FaultServer() as server:
        return list(islice(fates(seed, Sources(server, 1, 0), broker.cut), count))


@pytest.mark.unit
def test_the_same_seed_strikes_alike_and_with_everything_there_is() -> None:
    told = [[str(fate) for fate in first(200, seed=seed)] for seed in (7, 7, 8)]
    assert told[0] == told[1] != told[2]
    counts = Counter((fate.card.kind, fate.card.what) for fate in first(200, seed=7))
    assert max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_all_is_there_after_a_storm(tmp_path: Path) -> None:
    assert weather(tmp_path, minutes=2, users=USERS, seed=SEED, say=print).wrong == []
