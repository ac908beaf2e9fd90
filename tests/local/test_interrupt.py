import os
import signal
import threading
from concurrent.futures import Future

import pytest

from celeryctl.local.interrupt import AskedToEndError, Interrupt

pytestmark = pytest.mark.unit

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_counted_and_ends_the_next_pause(number: int) -> None:
    before = signal.getsignal(number)
    with Interrupt() as interrupt:
        interrupt.pause(0)
        os.kill(os.getpid(), number)
        with pytest.raises(AskedToEndError):
            interrupt.pause(60)
        assert (interrupt.count, interrupt.again()) == (1, False)
        os.kill(os.getpid(), number)
        assert (interrupt.count, interrupt.again()) == (2, True)
    assert signal.getsignal(number) is before


def test_what_nohup_has_switched_off_stays_off() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupt() as interrupt:
            os.kill(os.getpid(), signal.SIGHUP)
            assert interrupt.count == 0
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_waiting_for_a_result_ends_with_it_or_with_the_signal() -> None:
    with Interrupt() as interrupt:
        done: Future[int] = Future()
        threading.Timer(0.1, done.set_result, [7]).start()
        assert interrupt.result(done) == 7
        failed: Future[int] = Future()
        failed.set_exception(ZeroDivisionError())
        with pytest.raises(ZeroDivisionError):
            interrupt.result(failed)
        threading.Timer(0.1, os.kill, [os.getpid(), signal.SIGTERM]).start()
        with pytest.raises(AskedToEndError):
            interrupt.result(Future())


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_that_came_before_and_was_swallowed_is_heard_all_the_same(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Interrupt, "early", 0)
    before = signal.signal(number, Interrupt.end_early)
    try:
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
        with Interrupt() as interrupt, pytest.raises(AskedToEndError):
            interrupt.pause(60)
    finally:
        signal.signal(number, before)
