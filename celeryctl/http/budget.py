"""How fast a source may be asked: one budget for all processes that share a Redis, else one for this process."""

import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, cast

import limits
from limits.errors import StorageError
from limits.storage import Storage, storage_from_string
from limits.strategies import MovingWindowRateLimiter

from celeryctl.errors import BrokerRefusedError, BrokerUnreachableError, CeleryctlError
from celeryctl.logs import one_line
from celeryctl.settings import parse_rate

if TYPE_CHECKING:
    from celeryctl.settings import Settings

UNITS = {"s": "second", "m": "minute", "h": "hour", "d": "day"}
LOOK = 0.5  # seconds for which a source that nobody has told to pause is asked without looking again
SHORTEST = 0.01  # seconds; what several waiters find at the end of a window is gone with the first


class Budget(Protocol):
    def wait(self, source: str) -> None:
        """Return when one request may go out to this source; it is then taken as sent."""

    def pause(self, source: str, seconds: float) -> None:
        """Let nobody ask this source for so long: it said so."""


def rate_limit(text: str) -> limits.RateLimitItem:
    """A rate of the settings, such as ``10/s``, in the library's own spelling. Raises SettingsError."""
    amount, _, unit = parse_rate(text).partition("/")
    return limits.parse(f"{amount}/{UNITS[unit.strip()[0].lower()]}")


class RateBudget:
    """Budgets kept by the `limits` library, in Redis where ``storage_uri`` names one."""

    def __init__(self, rates: Mapping[str, str], storage_uri: str | None = None) -> None:
        self._rates = {source: rate_limit(rate) for source, rate in rates.items()}
        self._storage = cast("Storage", storage_from_string(storage_uri or "memory://", wrap_exceptions=True))
        self._limiter = MovingWindowRateLimiter(self._storage)
        self._looked: dict[str, float] = {}

    @classmethod
    def from_settings(cls, settings: "Settings") -> "RateBudget":
        rates = {name: source.rate_limit for name, source in settings.sources.items() if source.rate_limit}
        return cls(rates, settings.redis_url)

    def wait(self, source: str) -> None:
        while seconds := self._seconds_to_wait(source):
            time.sleep(seconds)

    def remaining(self, source: str) -> int | None:
        """How many requests may go out to this source now.

        None where no rate is set, or the broker does not tell this user: it takes a script, which who only looks lacks.
        """
        rate = self._rates.get(source)
        try:
            return None if rate is None else self._limiter.get_window_stats(rate, "celeryctl", source).remaining
        except StorageError as exc:
            if _is_refusal(exc):
                return None
            raise _unreachable(source, exc) from exc

    def paused_for(self, source: str) -> float:
        """For how many seconds more nobody may ask this source; 0 when it may be asked."""
        key = self._pause_key(source)
        try:
            return max(0.0, self._storage.get_expiry(key) - time.time()) if self._storage.get(key) else 0.0
        except StorageError as exc:
            raise _unreachable(source, exc) from exc

    def pause(self, source: str, seconds: float) -> None:
        key = self._pause_key(source)
        try:
            self._storage.clear(key)
            self._storage.incr(key, math.ceil(seconds))
            self._looked.pop(source, None)
        except StorageError as exc:
            raise _unreachable(source, exc) from exc

    def _seconds_to_wait(self, source: str) -> float:
        """0 after taking a request from the budget."""
        rate = self._rates.get(source)
        try:
            if paused := self._paused_until(source):
                ready = paused
            elif rate is None or self._limiter.hit(rate, "celeryctl", source):
                return 0
            else:
                ready = self._limiter.get_window_stats(rate, "celeryctl", source).reset_time
        except StorageError as exc:
            raise _unreachable(source, exc) from exc
        return max(ready - time.time(), SHORTEST)

    def _paused_until(self, source: str) -> float | None:
        key, now = self._pause_key(source), time.monotonic()
        if now - self._looked.get(source, -LOOK) < LOOK:
            return None
        if self._storage.get(key):
            return self._storage.get_expiry(key)
        self._looked[source] = now
        return None

    @staticmethod
    def _pause_key(source: str) -> str:
        return f"celeryctl/pause/{source}"


def _unreachable(source: str, exc: StorageError) -> CeleryctlError:
    if _is_refusal(exc):
        return BrokerRefusedError(
            why=f"it keeps the count of requests to the source of {source}: {one_line(str(exc.storage_error))}",
            fix="celeryctl config show    (REDIS_URL has to name the worker's user)",
        )
    return BrokerUnreachableError(
        "the broker does not answer",
        why=f"it keeps the count of requests to the source of {source}",
        fix="celeryctl config show    (see REDIS_URL)",
    )


def _is_refusal(exc: StorageError) -> bool:
    from redis.exceptions import NoPermissionError  # where it was raised, it is loaded; without a broker it is not

    return isinstance(exc.storage_error, NoPermissionError)
