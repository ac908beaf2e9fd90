"""Making a key for card numbers, in the home or to be set elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from celeryctl.errors import CeleryctlError, SettingsError
from celeryctl.home import lock, running
from celeryctl.local.postgres import Postgres
from celeryctl.pipeline.context import Context
from celeryctl.settings import Secret, add_key, new_key
from celeryctl.settings.keys import NAME
from celeryctl.storage.cipher import Keyring

SET = """Its id is {id}. Nothing was changed. Three steps, each on all machines before the next:
1. append it to CARD_ENCRYPTION_KEYS, after a comma, and restart the workers: all of them can then decrypt with it;
2. move it to the front, and restart them: all of them then encrypt with it;
3. celeryctl keys rotate; older keys may go when celeryctl keys status shows no values of theirs."""
FIRST = "Set it as CARD_ENCRYPTION_KEYS wherever a worker runs. Its id is {id}. Keep a copy apart from the database."
MADE = """Made key {id} in {path}, which encrypts from now on; the older ones still decrypt.
Keep a copy of that file apart from the data. Next: celeryctl {next}"""


@dataclass(frozen=True, slots=True)
class Made:
    """What was done, and what is to be done next; with the ``key`` where somebody has to set it."""

    told: str
    key: Secret | None = None


def new(context: Context) -> Made:
    """Make a key, in the home unless settings name keys or a database of one's own.

    Raises CeleryctlError while an `up` runs in the home: its workers could not read what others encrypt with the key.
    """
    settings = context.settings
    if settings.card_encryption_keys or settings.environment.own("DATABASE_URL"):
        key = new_key()
        told = SET if settings.card_encryption_keys else FIRST
        return Made(told.format(id=Keyring([key]).ids[0]), key)
    with _alone(settings.home):
        keys = add_key(settings.home)
    following = "up, then celeryctl keys rotate" if len(keys) > 1 else "up"
    return Made(MADE.format(id=Keyring(keys).ids[0], path=settings.home / NAME, next=following))


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Nobody uses the database of this home meanwhile, and its key, if it ever had one, is there."""
    if running(home):
        why = "its workers could not read what is encrypted with a new key"
        raise CeleryctlError("celeryctl up is running here", why=why, fix="celeryctl down, then: celeryctl keys new")
    server = Postgres(home)
    if not server.exists():
        yield
        return
    if not (home / NAME).exists():
        why = f"{home} has data, whose numbers a new key could not read"
        raise SettingsError("there is no card key beside the data", why=why, fix=f"restore {home / NAME} from a backup")
    with lock(server.users, wait=False) as alone:
        if not alone:
            why = "it has the keys that were there when it began"
            raise CeleryctlError("another command uses the database", why=why, fix="celeryctl keys new    (after it)")
        yield
