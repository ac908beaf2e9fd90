"""The registry: the built-in data sets, those that installed packages publish, those that CELERYCTL_DATASETS names."""

import importlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

import peewee

from celeryctl.dataset import Dataset, Datasets
from celeryctl.errors import DatasetError
from celeryctl.storage import ledger

GROUP = "celeryctl.datasets"
BUILT_IN = ("users", "addresses", "credit_cards")
FAULTS = (Exception, SystemExit)  # what an author's file may end with while it is imported
OURS = ("celeryctl_", "incoming_")  # histories of migrations, and rows on their way


def load(paths: Iterable[str] = (), *, base: Path | None = None) -> Datasets:
    """Every data set by its name, parents first.

    ``paths`` are folders (relative to ``base``), single files, or modules. Raises DatasetError, naming the place, when
    one does not import, declares nothing, or takes a name or a table that is taken.
    """
    found: dict[str, Dataset] = {}
    for dataset in (*_built_in(), *_published(), *_named(paths, base or Path.cwd())):
        table = dataset.model._meta.table_name
        if table in ledger.TABLES or table.startswith(OURS):
            raise _broken(dataset.origin, ValueError(f"the table {table!r} is celeryctl's own"))
        for other in found.values():
            if other.name == dataset.name or other.model._meta.table_name == table:
                raise DatasetError(
                    f"two data sets are called {dataset.name!r} or use one table",
                    why=f"one is {other.origin}, the other {dataset.origin}",
                    fix="rename one of them",
                )
        found[dataset.name] = dataset
    return dict(sorted(found.items(), key=lambda item: item[1].per is not None))


def further(datasets: Datasets) -> Sequence[type[peewee.Model]]:
    """The models of the data sets that are not built in: no migration of ours makes their tables."""
    return [dataset.model for dataset in datasets.values() if dataset.name not in BUILT_IN]


def _built_in() -> Iterator[Dataset]:
    for name in BUILT_IN:
        yield importlib.import_module(f"{__name__}.{name}").DATASET


def _published() -> Iterator[Dataset]:
    for point in entry_points(group=GROUP):
        origin = f"published by {point.dist.name if point.dist else point.value}"
        try:
            value = point.load()
        except FAULTS as exc:
            raise _broken(origin, exc) from exc
        yield _declared(value, origin)


def _named(paths: Iterable[str], base: Path) -> Iterator[Dataset]:
    for path in paths:
        files = _files(path, base)
        if files is None:
            yield _declared(_from_module(path), f"module {path}")
        for file in files or ():
            yield _declared(_from_file(file), str(file))


def _files(path: str, base: Path) -> list[Path] | None:
    """The files of a folder, or the one that ``path`` names; None where it may be a module."""
    try:
        place = base / Path(path).expanduser()
        if place.is_dir():
            return sorted(place.glob("[!_.]*.py"))
        return [place] if place.is_file() else None
    except (OSError, RuntimeError, ValueError) as exc:  # a name too long, the home of nobody, a NUL
        raise _broken(f"CELERYCTL_DATASETS names {path[:99]!r}:", exc) from exc


def _from_file(file: Path) -> ModuleType:
    name = f"celeryctl_datasets_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise _broken(str(file), ImportError("it is not a Python file"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except FAULTS as exc:
        del sys.modules[name]
        raise _broken(str(file), exc) from exc
    return module


def _from_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except FAULTS as exc:
        raise _broken(f"CELERYCTL_DATASETS names {name!r}, which is neither a folder nor a module:", exc) from exc


def _declared(holder: object, origin: str) -> Dataset:
    dataset = holder if isinstance(holder, Dataset) else getattr(holder, "DATASET", None)
    if not isinstance(dataset, Dataset):
        raise _broken(origin, TypeError("it has no DATASET = Dataset(…)"))
    return replace(dataset, origin=origin)


def _broken(origin: str, exc: BaseException) -> DatasetError:
    why = str(exc) if isinstance(exc, DatasetError) else f"{type(exc).__name__}: {exc}"
    return DatasetError(f"a data set does not load: {origin}", why=why, fix="celeryctl dataset check")
