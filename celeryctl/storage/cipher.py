"""Card numbers at rest: AES-256-GCM (NIST SP 800-38D), the key's id in every value."""

import base64
import binascii
import hashlib
import os
import resource
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from celeryctl.errors import CipherError

VERSION = "v1"
NONCE_BYTES = 12


class Keyring:
    """Keys that open sealed values; the first one seals.

    A value reads ``v1.<key id>.<base64 of nonce and ciphertext>``. ``context`` names its place (table and owner): it is
    authenticated with it, so that a value moved to another row does not open.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        """Take base64 AES-256 keys; none at all make a ring that can neither seal nor open.

        From then on this process, and what it starts, leaves no core dump: it would hold keys and numbers. One byte in
        place of none: Linux hands the dump to a program in spite of 0 (fs/coredump.c), and writes no file of 1 either.
        """
        raw = [base64.b64decode(key) for key in keys]
        if raw:
            hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
            resource.setrlimit(resource.RLIMIT_CORE, (hard if hard == 0 else 1, hard))
        self._ciphers = {hashlib.sha256(key).hexdigest()[:8]: AESGCM(key) for key in raw}
        self._sealing = next(iter(self._ciphers.items()), None)

    def __repr__(self) -> str:
        return f"Keyring({', '.join(self._ciphers) or 'empty'})"

    @property
    def ids(self) -> list[str]:
        """The keys' ids, which tell nothing of the keys. The first one seals."""
        return list(self._ciphers)

    def seal(self, plain: str, context: str) -> str:
        """Encrypt. The same text gives another value every time."""
        return self.seal_all([(plain, context)])[0]

    def seal_all(self, values: Sequence[tuple[str, str]]) -> list[str]:
        """Encrypt several, each with its context: asking the system for randomness once is cheaper."""
        if not values:
            return []
        if self._sealing is None:
            raise CipherError(
                "a card number cannot be encrypted",
                why="there is no key",
                fix="celeryctl config init (or set CARD_ENCRYPTION_KEYS)",
            )
        key_id, cipher = self._sealing
        random = os.urandom(NONCE_BYTES * len(values))
        nonces = [random[start : start + NONCE_BYTES] for start in range(0, len(random), NONCE_BYTES)]
        found = [
            nonce + cipher.encrypt(nonce, plain.encode(), f"{context}|{key_id}".encode())
            for nonce, (plain, context) in zip(nonces, values, strict=True)
        ]
        return [f"{VERSION}.{key_id}.{binascii.b2a_base64(one, newline=False).decode()}" for one in found]

    def open(self, value: str, context: str) -> str:
        """Decrypt what `seal` made for the same ``context``. Raises CipherError for anything else."""
        version, _, rest = value.partition(".")
        key_id, _, body = rest.partition(".")
        if version != VERSION or not body:
            raise CipherError(why="the stored value was not written by this version")
        if key_id not in self._ciphers:
            raise CipherError(why=f"its key {key_id} is not there", fix="add that key to CARD_ENCRYPTION_KEYS")
        try:
            sealed = base64.b64decode(body, validate=True)
            plain = self._ciphers[key_id].decrypt(
                sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], f"{context}|{key_id}".encode()
            )
        except (InvalidTag, binascii.Error, ValueError):
            raise CipherError(why="the value was damaged or moved from another row") from None
        return plain.decode()


def mask(number: str) -> str:
    """A card number as it may be shown: its last four digits at most (PCI DSS 4.0.1, 3.4.1)."""
    digits = [character for character in number if character.isdigit()]
    return f"**** {''.join(digits[-4:])}" if len(digits) > 8 else "****"
