"""How data sets are cut into batches."""

from typing import TYPE_CHECKING

from celeryctl.dataset import Dataset
from celeryctl.storage.work import Work

if TYPE_CHECKING:
    from celeryctl.settings import Settings

LOOKUPS = 100  # users in a batch that are looked up one by one: a batch stays a matter of seconds


def work_of(dataset: Dataset, settings: "Settings") -> Work:
    """How the data set is cut into batches under these settings."""
    return Work(
        name=dataset.name,
        model=dataset.model,
        listing=dataset.source.kind == "listing",
        page_size=dataset.source.page_size,
        batch_size=settings.batch_size if dataset.source.many else LOOKUPS,
        max_age=settings.sources[dataset.name].max_age,
        single=dataset.key == ("user",),
    )
