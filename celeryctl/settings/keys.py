"""The home's own keys for card numbers, used where CARD_ENCRYPTION_KEYS is unset: the first encrypts, all decrypt."""

import base64
import os
import secrets
import shlex
import stat
from pathlib import Path

from celeryctl import home as homes
from celeryctl.errors import SettingsError
from celeryctl.settings.parse import KEY_BYTES, card_keys
from celeryctl.settings.secret import Secret

NAME = "card.key"
MOST = 65_536  # characters


def new_key() -> Secret:
    """A random AES-256 key, in base64."""
    return Secret(base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode())


def home_keys(home: Path, *, create: bool) -> tuple[Secret, ...]:
    """The keys in the home's `card.key`. Where there are none: one is made and kept with ``create``, else nothing.

    Raises SettingsError for a key that others can read or that is damaged, HomeError for a home that is not ours.
    """
    if create:
        with homes.lock(homes.create(home) / f"{NAME}.lock"):
            # Two keys made at once would leave what the first one encrypted unreadable.
            if not os.access(home / NAME, os.F_OK):
                homes.write_private(home / NAME, f"{new_key()}\n")
            return _read(home / NAME)
    return _read(home / NAME) if os.access(home / NAME, os.F_OK) else ()


def add_key(home: Path) -> tuple[Secret, ...]:
    """Put a new key before those in the home's `card.key`, and return them all. Raises as `home_keys` does."""
    with homes.lock(homes.create(home) / f"{NAME}.lock"):
        keys = (new_key(), *(_read(home / NAME) if os.access(home / NAME, os.F_OK) else ()))
        homes.write_private(home / NAME, ",".join(map(str, keys)) + "\n")
        return keys


def _read(path: Path) -> tuple[Secret, ...]:
    quoted = shlex.quote(str(path))
    if reason := homes.distrust(path.parent):
        raise SettingsError(f"the key in {path} is not used", why=f"its folder {reason}", fix=f"ls -ld {path.parent}")
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as exc:
        raise SettingsError(f"{path} cannot be read", why=exc.strerror or str(exc), fix=f"ls -l {quoted}") from exc
    with os.fdopen(descriptor, encoding="ascii", errors="replace") as file:
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid():
            raise SettingsError(f"{path} is not used", why=f"it belongs to user {found.st_uid}", fix=f"ls -l {quoted}")
        if stat.S_IMODE(found.st_mode) & 0o077:
            raise SettingsError(f"{path} is not used", why="others can read the key", fix=f"chmod 600 {quoted}")
        text = file.read(MOST).strip()
    try:
        return card_keys(text)
    except (SettingsError, ValueError):
        raise SettingsError(
            f"{path} holds no key",
            why=f"it must hold base64 of {KEY_BYTES} bytes; without the right one, stored card numbers cannot be read",
            fix=f"restore {path} from a backup",
        ) from None
