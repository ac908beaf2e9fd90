"""Fuzz the decoders: whatever the bytes, a record is sound or told why it is none, or it is the source's fault.

make fuzz, or python tests/fuzz/decode.py [libFuzzer's options] in an environment with atheris.

Coverage guides it through our own Python. msgspec's decoder is C and not instrumented: the fuzzer does not see its
branches, and gets through them by mutating the corpus and by records that are built from its bytes. A memory fault in
it would end the run all the same.
"""

import json
import sys
from contextlib import suppress
from pathlib import Path

import atheris

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "pipeline")]

with atheris.instrument_imports(include=["celeryctl.pipeline", "celeryctl.datasets"]):
    from hostile import ESCAPED, RAW, TEXTS
    from test_decode_property import GOOD, LAST, NAMES, PAGED, SETS, assert_sound, decode, joined

    from celeryctl.datasets import addresses, users
    from celeryctl.errors import SourceError
    from celeryctl.pipeline.fetch import by_id
    from celeryctl.pipeline.page import cursor_page
    from celeryctl.pipeline.rejection import Rejection


VALUES = [None, *RAW, *ESCAPED, *map(json.dumps, TEXTS)]


def test_one(data: bytes) -> None:
    """The bytes themselves, and records that are built as they say: by chance alone hardly any bytes are a record."""
    assert_sound_in_every_form(data)
    assert_sound_in_every_form(built(data))


def built(data: bytes) -> bytes:
    """A good record, or none, with some hostile fields after it."""
    chosen = atheris.FuzzedDataProvider(data)
    good = GOOD if chosen.ConsumeBool() else {}
    pairs = []
    while len(pairs) < 4 and chosen.ConsumeBool():
        raw = chosen.PickValueInList(VALUES)
        held = json.dumps(chosen.ConsumeUnicode(8)) if raw is None else raw
        pairs.append(f"{json.dumps(chosen.PickValueInList(NAMES))}:{held}")
    return joined(good, f"{{{','.join(pairs)}}}").encode(errors="surrogatepass")


def assert_sound_in_every_form(body: bytes) -> None:
    """As a list, a page, an answer by id; and beside a good record, which it must not cost."""
    for dataset in SETS:
        with suppress(SourceError):
            for result in decode(dataset, body):
                assert_sound(dataset, result)
    with suppress(SourceError):
        for result in cursor_page(PAGED, body)[0]:
            assert_sound(PAGED, result)
    with suppress(SourceError):
        for _, result in by_id(addresses.DATASET, body):
            assert_sound(addresses.DATASET, result)
    with suppress(SourceError):
        assert not isinstance(decode(users.DATASET, b"[" + body + b"," + LAST.encode() + b"]")[-1], Rejection)


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one)
    atheris.Fuzz()
