"""Sealed values open where they belong and nowhere else."""

import base64
import resource
import subprocess
import sys

import pytest
from servers import KEY

from celeryctl.errors import CipherError
from celeryctl.local.generate import CARD_NUMBERS
from celeryctl.storage.cipher import Keyring, mask

pytestmark = pytest.mark.unit
OTHER = base64.b64encode(bytes(range(32))).decode()
PLACE = "credit_cards|1"


@pytest.mark.parametrize("plain", [*CARD_NUMBERS, "", "日本"])
def test_what_was_sealed_opens_again_and_reads_differently_every_time(plain: str) -> None:
    ring = Keyring([KEY])
    sealed = ring.seal(plain, PLACE)
    assert ring.open(sealed, PLACE) == plain
    assert not plain or plain not in sealed
    assert ring.seal(plain, PLACE) != sealed


def test_the_first_key_seals_and_every_key_opens() -> None:
    old = Keyring([KEY]).seal("x", PLACE)
    both = Keyring([OTHER, KEY])
    assert both.open(old, PLACE) == "x"
    assert Keyring([OTHER]).open(both.seal("x", PLACE), PLACE) == "x"


def test_a_value_of_another_key_names_the_key_that_is_missing() -> None:
    sealed = Keyring([KEY]).seal("x", PLACE)
    with pytest.raises(CipherError, match=sealed.split(".")[1]):
        Keyring([OTHER]).open(sealed, PLACE)


def test_a_value_moved_to_another_row_does_not_open() -> None:
    ring = Keyring([KEY])
    with pytest.raises(CipherError, match="moved from another row"):
        ring.open(ring.seal("x", PLACE), "credit_cards|2")


def test_every_damaged_byte_is_noticed() -> None:
    ring = Keyring([KEY])
    version, key_id, body = ring.seal(CARD_NUMBERS[0], PLACE).split(".")
    raw = base64.b64decode(body)
    for place in range(len(raw)):
        bad = base64.b64encode(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]).decode()
        with pytest.raises(CipherError, match="damaged"):
            ring.open(f"{version}.{key_id}.{bad}", PLACE)


@pytest.mark.parametrize("body", ["AAAA", "!!!", "A", "ä"])
def test_a_body_that_is_none_is_damaged(body: str) -> None:
    key_id = Keyring([KEY]).seal("x", PLACE).split(".")[1]
    with pytest.raises(CipherError, match="damaged"):
        Keyring([KEY]).open(f"v1.{key_id}.{body}", PLACE)


@pytest.mark.parametrize("value", ["", "v1", "v1.", "v1.abc", "v1.abc.", "v2.abc.def", CARD_NUMBERS[0]])
def test_what_this_version_did_not_write_is_told_without_showing_it(value: str) -> None:
    with pytest.raises(CipherError, match="not written by this version") as caught:
        Keyring([KEY]).open(value, PLACE)
    assert CARD_NUMBERS[0] not in str(caught.value)


def test_without_a_key_nothing_is_sealed_and_nothing_opened() -> None:
    sealed = Keyring([KEY]).seal("x", PLACE)
    with pytest.raises(CipherError, match="there is no key") as caught:
        Keyring([]).seal(CARD_NUMBERS[0], PLACE)
    assert CARD_NUMBERS[0] not in repr(caught.value.args)
    with pytest.raises(CipherError):
        Keyring([]).open(sealed, PLACE)


def test_a_keyring_shows_no_key() -> None:
    assert KEY not in repr(Keyring([KEY]))
    assert repr(Keyring([])) == "Keyring(empty)"


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("1234-1234-1234-1234", "**** 1234"),
        ("12345678", "****"),
        ("123456789", "**** 6789"),
        ("", "****"),
        ("a", "****"),
    ],
)
def test_a_mask_shows_four_digits_at_most(number: str, shown: str) -> None:
    assert mask(number) == shown


def test_nothing_to_encrypt_needs_no_key() -> None:
    assert Keyring([]).seal_all([]) == []


def test_several_at_once_are_each_bound_to_their_place() -> None:
    ring = Keyring([KEY])
    first, second = ring.seal_all([("same", "a"), ("same", "b")])
    assert first != second
    assert (ring.open(first, "a"), ring.open(second, "b")) == ("same", "same")
    with pytest.raises(CipherError):
        ring.open(first, "b")


DUMPS = """
import resource, subprocess, sys
from celeryctl.storage.cipher import Keyring
hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
for keys in ([], [sys.argv[1]]):
    Keyring(keys)
    print(resource.getrlimit(resource.RLIMIT_CORE)[0] == hard, flush=True)
subprocess.run(["sh", "-c", "ulimit -Sc"], check=True)
"""


def test_who_has_a_key_leaves_no_core_dump() -> None:
    command = [sys.executable, "-c", DUMPS, KEY]
    if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
        pytest.skip("core dumps are switched off here altogether")
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    soft = int(done.stdout.split()[-1])  # in blocks of some hundred bytes: of one byte nothing is left
    assert done.stdout.split()[:2] == ["True", "False"]
    assert soft <= 1
