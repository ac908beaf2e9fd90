"""What a storm strikes with, in an order that follows from its seed: every fault once before any comes again."""

import random
import signal
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from celeryctl.local.routes import ROUTES

from .kit import Strike
from .strikes import broker, database, programs
from .strikes.sources import OUTAGES, Sources

WORKERS, BEATS = ("first", "second"), ("one", "other")
SHORTEST, LONGEST = 1, 10  # seconds that a fault lasts
PAUSE = 3  # seconds between the beginnings of two faults at most


class Card(NamedTuple):
    """One fault, on ``whom``: of whom nothing else befalls meanwhile."""

    whom: str
    what: str
    strike: Strike
    lasting: bool = True

    @property
    def kind(self) -> str:
        """Whichever worker or source it was."""
        return self.whom.partition(" ")[0]


class Fate(NamedTuple):
    """When it comes, and what; times are in seconds."""

    pause: float
    card: Card
    lasts: float

    def __str__(self) -> str:
        return f"{self.card.whom}: {self.card.what}" + (f", for {self.lasts:.1f} s" if self.lasts else "")


def fates(seed: int, sources: Sources, client_killed: Strike) -> Iterator[Fate]:
    """Without an end."""
    chance = random.Random(seed)
    while True:
        deck = [*_of_servers(), *_of_programs(chance), *_of_sources(chance, sources)]
        deck.append(Card("client", "killed", client_killed, lasting=False))
        chance.shuffle(deck)
        for card in deck:
            pause, lasts = chance.uniform(0, PAUSE), chance.uniform(SHORTEST, LONGEST)
            yield Fate(pause, card, lasts if card.lasting else 0)


def _of_servers() -> Iterator[Card]:
    for server, strikes in (("broker", broker), ("database", database)):
        yield from (Card(server, what, strike) for what, strike in strikes.LASTING.items())
        yield from (Card(server, what, strike, lasting=False) for what, strike in strikes.AT_ONCE.items())


def _of_programs(chance: random.Random) -> Iterator[Card]:
    def on_a_worker(what: str, strike: Callable[..., Any], *, lasting: bool = True, **more: Any) -> Card:
        name = chance.choice(WORKERS)
        return Card(f"worker {name}", what, partial(strike, name=name, **more), lasting)

    yield on_a_worker("frozen", programs.worker_frozen)
    yield on_a_worker("child killed", programs.child_killed, lasting=False)
    for number in programs.CODES:
        yield on_a_worker(f"ended by {number.name}", programs.worker_ended, number=number)
    yield Card("beats", "active one frozen", programs.beat_frozen)
    for number in (signal.SIGKILL, signal.SIGTERM):
        yield Card("beats", f"active one ended by {number.name}", partial(programs.beat_ended, number=number))


def _of_sources(chance: random.Random, sources: Sources) -> Iterator[Card]:
    for what, answer in {**OUTAGES, "slow": sources.slow}.items():
        path = chance.choice(sorted(ROUTES.values()))
        yield Card(f"source {path}", what, partial(sources.answering, path=path, answer=answer))
