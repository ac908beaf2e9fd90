"""Which code makes rows of a data set's records."""

import hashlib
import importlib.metadata
import inspect
from pathlib import Path

from celeryctl.dataset import Dataset


def code_of(dataset: Dataset) -> str | None:
    """Another text for another version of celeryctl or of the files that declare the data set.

    None where a part of the declaration comes from no file.
    """
    digest = hashlib.sha256(importlib.metadata.version("celeryctl").encode())
    try:
        files = {inspect.getsourcefile(part) or "" for part in (dataset.to_row, dataset.record, dataset.model)}
        for file in sorted(files):
            digest.update(hashlib.sha256(Path(file).read_bytes()).digest())
    except (TypeError, OSError):
        return None
    return digest.hexdigest()
