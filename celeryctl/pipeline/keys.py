"""The keys for card numbers: what is sealed with which, and bringing everything to the first one."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from celeryctl.errors import CeleryctlError, CipherError, SettingsError
from celeryctl.pipeline.context import Context
from celeryctl.storage import rotation
from celeryctl.storage.cipher import Keyring
from celeryctl.storage.rotation import Column


@dataclass(frozen=True, slots=True)
class KeyState:
    """A key by its id, whether it ``encrypts``, ``decrypts`` or is ``missing``, and how many values each table has.

    Without an id: values that this version did not encrypt, which are ``foreign``, numbers in the clear among them.
    """

    id: str | None
    use: str
    values: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Rotated:
    """How many values were encrypted anew, and how many are not encrypted with the first key all the same.

    Those cannot be read, or were written meanwhile by somebody who has another first key.
    """

    sealed: int
    left: int


def status(context: Context) -> list[KeyState]:
    """Every key that there is or would have to be, the one that encrypts first. Scans the tables with sealed values."""
    ring, found = context.keyring(), {column.table: rotation.counts(column) for column in columns(context)}
    ids: list[str | None] = [*ring.ids]
    ids += sorted({key_id for counted in found.values() for key_id in counted} - {*ids, None}, key=str)
    if any(None in counted for counted in found.values()):
        ids.append(None)
    return [KeyState(one, _use(one, ring), {table: counted.get(one, 0) for table, counted in found.items()})
            for one in ids]  # fmt: skip


def _use(key_id: str | None, ring: Keyring) -> str:
    if key_id is None:
        return "foreign"
    return "missing" if key_id not in ring.ids else "encrypts" if key_id == ring.ids[0] else "decrypts"


def columns(context: Context) -> Iterator[Column]:
    """The columns of all data sets that hold sealed values."""
    for dataset in context.datasets.values():
        yield from rotation.columns(dataset.model, dataset.key)


def require(context: Context) -> None:
    """Raise SettingsError where there are keys, and none of them is that of a table's oldest or newest value.

    Whoever went on with a wrong key would mix what it encrypts with what it cannot read. Where one of the two can be
    read, the other may be damaged, or be that of a worker who has a newer key already.
    """
    ids = set(context.keyring().ids)
    for column in columns(context):
        found = rotation.ends(column) - {None}
        if ids and found and found.isdisjoint(ids):
            raise _missing(context, found)


def _missing(context: Context, lost: Iterable[str | None]) -> SettingsError:
    named = context.settings.card_encryption_keys or context.settings.environment.own("DATABASE_URL")
    fix = "add it to CARD_ENCRYPTION_KEYS" if named else "restore card.key from a backup"
    why = f"values are encrypted with {', '.join(sorted(map(str, lost)))}"
    return SettingsError("a key is missing", why=why, fix=f"{fix}; what there is: celeryctl keys status")


def rotate(context: Context, progress: Callable[[int], None]) -> Rotated:
    """Seal with the first key whatever is sealed with another. Nothing is begun that could not be ended.

    Raises SettingsError where a key is missing, CipherError where there is none, CeleryctlError where a living worker
    would go on with another one.
    """
    ring = context.keyring()
    if lost := [one.id for one in status(context) if one.use == "missing"]:
        raise _missing(context, lost)
    if not ring.ids:
        raise CipherError("there is no key", why="nothing was ever encrypted here", fix="celeryctl up")
    if behind := rotation.others(ring.ids[0]):
        why = ", ".join(f"{name} with {key_id or 'none'}" for name, key_id in behind)
        raise CeleryctlError(
            f"workers do not encrypt with {ring.ids[0]} yet", why=why, fix="restart them, then: celeryctl keys rotate"
        )
    sealed = sum(rotation.rotate(column, ring, progress) for column in columns(context))
    return Rotated(sealed, sum(sum(one.values.values()) for one in status(context) if one.use != "encrypts"))
