"""The client: one GET that is tried until it succeeds, cannot succeed, or has no time left."""

import time
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import backoff
from urllib3.response import HTTPResponse

from celeryctl.errors import SourceError, SourceUnreachableError
from celeryctl.http.answers import Answer, Meter, excerpt, joined, looks_like_json, passes, retry_after
from celeryctl.http.budget import Budget
from celeryctl.http.faults import TransientError, outcome, refusal, same_site, site
from celeryctl.http.transport import Origin, Transport

if TYPE_CHECKING:
    from celeryctl.settings import Settings

REDIRECTS = 5
REDIRECTED = (301, 302, 303, 307, 308)
LONGEST_PAUSE = 60.0  # seconds that anybody waits here because a source says so
ERROR_BODY = 65_536  # bytes; of an error's body only the beginning is ever shown


@dataclass(slots=True)
class _Call:
    """One `get` under way. ``until`` is an instant of time.monotonic()."""

    url: str
    source: str
    meter: Meter
    absent_ok: bool
    until: float
    tries: int = 0

    def left(self) -> float:
        return self.until - time.monotonic()

    def hopeless(self, error: Exception) -> bool:
        asked = error.retry_after or 0.0 if isinstance(error, TransientError) else 0.0
        return asked >= self.left() or asked > LONGEST_PAUSE

    def before_retry(self, details: Any) -> None:
        if details["wait"] >= self.left():
            raise details["exception"]
        self.meter.count_retry()


class Client:
    """Asks the sources. May be used by several threads, but not across a fork. Times are in seconds."""

    def __init__(
        self,
        *,
        sources: Mapping[str, Origin],
        connect_timeout: float = 5.0,
        read_timeout: float = 30.0,
        total_timeout: float = 120.0,
        max_tries: int = 5,
        max_bytes: int = 16 << 20,
        pool_size: int = 4,
        allow_private: bool = False,
        budget: Budget | None = None,
        pause: float = 0.5,
    ) -> None:
        """``pause`` is how long the first wait between two tries is at most; it doubles from try to try."""
        self._transport = Transport(
            sources=sources,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            allow_private=allow_private,
            pool_size=pool_size,
        )
        self._total_timeout, self._max_tries, self._max_bytes = total_timeout, max_tries, max_bytes
        self._budget, self._pause = budget, pause

    @classmethod
    def from_settings(cls, settings: "Settings", budget: Budget | None = None) -> "Client":
        return cls(
            sources=settings.sources,
            connect_timeout=settings.http_connect_timeout,
            read_timeout=settings.http_read_timeout,
            total_timeout=settings.http_total_timeout,
            max_tries=settings.http_max_tries,
            max_bytes=settings.http_max_bytes,
            pool_size=settings.fetch_threads,
            allow_private=settings.allow_private_sources,
            budget=budget,
        )

    def close(self) -> None:
        self._transport.close()

    def get(self, url: str, *, source: str, meter: Meter, absent_ok: bool = False) -> Answer:
        """The answer to a GET: 200 with what looks like JSON, or 404 where ``absent_ok``.

        Waiting for the rate budget does not count towards the total time-out; everything else does. Raises
        SourceUnreachableError when all tries were in vain, SourceError when there is no use in trying again.
        """
        self._transport.prepare(url, source)
        call = _Call(url, source, meter, absent_ok, time.monotonic() + self._total_timeout)
        attempt = backoff.on_exception(
            _pauses,
            TransientError,
            max_tries=self._max_tries,
            giveup=call.hopeless,
            on_backoff=call.before_retry,
            jitter=None,
            logger=None,
            longest_first=self._pause,
        )(self._attempt)
        try:
            return attempt(call)
        except TransientError as error:
            raise _unreachable(call, error) from error

    def _attempt(self, call: _Call) -> Answer:
        call.tries += 1
        url = call.url
        for _ in range(REDIRECTS + 1):
            self._wait_for_turn(call)
            target, answer = self._ask(url, call)
            if answer:
                return answer
            target = joined(url, target)
            here, there = (str(self._transport.prepare(one, call.source).url) for one in (url, target))
            if not same_site(here, there):
                raise refusal(call.source, "redirects elsewhere", f"{site(here)} to {site(there)}; not followed")
            url = target
        raise refusal(call.source, "redirects without end", f"{site(url)}: more than {REDIRECTS} redirects")

    def _ask(self, url: str, call: _Call) -> tuple[str, Answer | None]:
        """One request: where it is sent on to, or its answer."""
        status, began = None, time.monotonic()
        left = max(call.left(), 0.001)
        try:
            sent = self._transport.send(url, source=call.source, until=call.until, left=left, meter=call.meter)
            with closing(sent) as response:
                status = response.status
                target = response.headers.get("Location", "") if status in REDIRECTED else ""
                answer = None if target else self._judge(response, url, call)
        except (TransientError, SourceError) as exc:
            if ended := outcome(exc, status):
                call.meter.count_end(ended, time.monotonic() - began)
            raise
        call.meter.count_end("ok" if answer else "redirected", time.monotonic() - began)
        return target, answer

    def _wait_for_turn(self, call: _Call) -> None:
        if self._budget:
            began = time.monotonic()
            self._budget.wait(call.source)
            call.until += time.monotonic() - began

    def _judge(self, response: HTTPResponse, url: str, call: _Call) -> Answer:
        status, good = response.status, response.status == 200
        body = self._transport.read(response, source=call.source, url=url, most=self._max_bytes if good else ERROR_BODY)
        if good and len(body) > self._max_bytes:
            raise refusal(call.source, "sends too much", f"more than {self._max_bytes} bytes (HTTP_MAX_BYTES) at once")
        if good and looks_like_json(body):
            return Answer(status, body, response.headers, url)
        if status == 404 and call.absent_ok:
            return Answer(status, b"", response.headers, url)
        text = f"answered {status} {excerpt(body, self._transport.secrets(call.url, call.source))}".rstrip()
        if not good and not passes(status):
            raise refusal(call.source, "refuses the request", f"{site(call.url)} {text}")
        error = TransientError(f"{text}, not JSON" if good else text, retry_after=retry_after(response.headers))
        if self._budget and error.retry_after and error.retry_after <= LONGEST_PAUSE:
            self._budget.pause(call.source, error.retry_after)
        raise error


def _pauses(longest_first: float) -> Generator[float, Any, None]:
    """Seconds between two tries: full jitter, and not less than the source asked for."""
    error: TransientError = yield 0.0
    steps = backoff.expo(factor=longest_first, max_value=20 * longest_first)
    next(steps)
    for step in steps:
        error = yield max(backoff.full_jitter(step), error.retry_after or 0.0)


def _unreachable(call: _Call, error: TransientError) -> SourceUnreachableError:
    why = f"{site(call.url)}: {error} ({call.tries} {'try' if call.tries == 1 else 'tries'})"
    if error.retry_after:
        again = datetime.now(UTC) + timedelta(seconds=error.retry_after)
        why += f"; it may be asked again in {error.retry_after:.0f} s, at {again:%Y-%m-%d %H:%M:%S} UTC"
    fix = f"celeryctl fetch {call.source.replace('_', '-')}    (later)"
    unreachable = SourceUnreachableError(f"the source of {call.source} gives no useful answer", why=why, fix=fix)
    unreachable.retry_after = error.retry_after
    return unreachable
