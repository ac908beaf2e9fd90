"""Asking sources for one record, to see whether they answer."""

from dataclasses import replace

from celeryctl import http
from celeryctl.dataset import Source
from celeryctl.http import Answer
from celeryctl.pipeline.context import Context

SOMEBODY = "1"  # an external id to look up: that there is nobody of that id is an answer, too


def client(context: Context, *, within: float) -> http.Client:
    """A client that gives up after so many seconds. It asks without the cluster's budget: one record of each source."""
    return http.Client(
        sources=context.settings.sources,
        connect_timeout=within / 2,
        read_timeout=within,
        total_timeout=within,
        max_tries=3,
        max_bytes=context.settings.http_max_bytes,
        allow_private=context.settings.allow_private_sources,
        pause=0.2,
    )


def ask(asking: http.Client, context: Context, name: str) -> Answer:
    """One record of this data set's source, or 404 of a lookup. Raises SourceError, SourceUnreachableError."""
    source = context.datasets[name].source
    url = _one_record(source, context.settings.sources[name].url)
    return asking.get(url, source=name, meter=http.Meter(), absent_ok=source.kind == "lookup")


def _one_record(source: Source, url: str) -> str:
    if source.kind == "lookup":
        return url.replace("{external_ids}", SOMEBODY).replace("{external_id}", SOMEBODY)
    parameters = {name: 1 for name in (source.page, source.size) if name and source.kind == "listing"}
    return replace(source, url=url).with_query(**parameters) if parameters else url
