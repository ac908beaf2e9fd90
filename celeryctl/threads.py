"""Work that nobody may have to wait for, in threads that end with the process."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def start(work: Callable[[], T]) -> "Future[T]":
    """Do it in a thread of its own; what it returns or raises comes out of the future.

    A daemon, unlike those of a ThreadPoolExecutor: looking up a name can take longer than anybody wants to wait, and
    cannot be broken off.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            result = work()
        except BaseException as exc:  # noqa: BLE001 - raised again where the result is asked for
            future.set_exception(exc)
        else:
            future.set_result(result)

    threading.Thread(target=run, daemon=True).start()
    return future
