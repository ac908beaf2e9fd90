"""Workers and beats are killed, frozen, or asked to end; what has ended is started again, as a supervisor would."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil
from cluster.kit import Process
from waiting import eventually

from ..kit import Stage, children, kill

GRACE = 10  # seconds that what is under way has; see celeryctl.cluster.app
AMIDST = 8 * GRACE  # the same where connections are silent, each of which is waited for
# What Celery itself ends with; after SIGINT and SIGQUIT that is 1 where it had to let something go.
CODES = {signal.SIGTERM: {0}, signal.SIGINT: {0, 1}, signal.SIGQUIT: {0, 1}, signal.SIGKILL: {-signal.SIGKILL}}


@contextmanager
def frozen(program: Process) -> Iterator[None]:
    """It stands still, with its children."""
    whole = [psutil.Process(program.pid), *children(program)]
    for one in whole:
        with suppress(psutil.NoSuchProcess):
            one.suspend()
    try:
        yield
    finally:
        for one in whole:
            with suppress(psutil.NoSuchProcess):
                one.resume()


def assert_ends(program: Process, number: signal.Signals, *, within: float = 4 * GRACE) -> None:
    """Send it the signal, and wait until it has ended as it should."""
    program.ask(number)
    assert program.ended(within) in CODES[number], program.text


@contextmanager
def worker_ended(stage: Stage, name: str, number: signal.Signals) -> Iterator[None]:
    assert_ends(standing(stage.workers, name), number, within=AMIDST)
    yield
    stage.worker(name)


@contextmanager
def worker_frozen(stage: Stage, name: str) -> Iterator[None]:
    with frozen(standing(stage.workers, name)):
        yield


@contextmanager
def child_killed(stage: Stage, name: str) -> Iterator[None]:
    """The worker itself replaces it."""
    worker = standing(stage.workers, name)
    with suppress(ProcessLookupError):  # it has just died of something else
        kill(eventually(lambda: children(worker))[0])
    yield


@contextmanager
def beat_ended(stage: Stage, number: signal.Signals) -> Iterator[None]:
    name = active(stage)
    assert_ends(standing(stage.beats, name), number, within=AMIDST)
    yield
    stage.beat(name)


@contextmanager
def beat_frozen(stage: Stage) -> Iterator[None]:
    with frozen(standing(stage.beats, active(stage))):
        yield


def active(stage: Stage) -> str:
    """The beat that was the last to say that it is, as far as one can tell while the database may be away."""
    said = {name: one.text.rfind("beat active") > one.text.rfind("beat stands by") for name, one in stage.beats.items()}
    return max(said, key=lambda name: said[name])


def standing(programs: dict[str, Process], name: str) -> Process:
    """That program, which must not have ended by itself."""
    program = programs[name]
    assert program.lives, f"{name} had ended by itself; its last words are in {program.log.name}"
    return program
