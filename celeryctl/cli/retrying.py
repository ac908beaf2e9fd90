"""Trying again what failed."""

from celeryctl.cli import options
from celeryctl.cluster.app import create_app
from celeryctl.cluster.publish import announce
from celeryctl.local import access
from celeryctl.pipeline import retry as retries
from celeryctl.pipeline.context import Context
from celeryctl.views import failed as views


def retry(context: Context, words: list[str], *, everything: bool, json: bool) -> None:
    """Try again, and print what came of it and what is under way."""
    with access.to_write(context) as here:
        wanted = retries.chosen(here.datasets, words, everything=everything)
        ask = here.settings.redis_url is not None
        done = retries.retry(here.pipeline(), wanted, ask=ask)
        if done.batches:
            announce(create_app(here), done.batches)
    if json:
        options.print_json(views.retried_as_json(done))
    else:
        options.console().print(views.retried(done))
