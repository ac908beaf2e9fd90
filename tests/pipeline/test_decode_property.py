"""Whatever a source sends: a row that can be stored, a reason why not, or the source's own fault; nothing else."""

import json
from contextlib import suppress
from dataclasses import replace

import msgspec
import pytest
from hostile import amounts, record, tried
from hypothesis import strategies as st

from celeryctl.dataset import Dataset, Source
from celeryctl.datasets import addresses, credit_cards, users
from celeryctl.errors import SourceError
from celeryctl.local.generate import CARD_NUMBERS
from celeryctl.logs import CONTROL
from celeryctl.pipeline.decode import TOLD, Result, decode, required
from celeryctl.pipeline.fetch import by_id
from celeryctl.pipeline.page import cursor_page
from celeryctl.pipeline.rejection import Rejection
from celeryctl.pipeline.values import LONGEST
from celeryctl.storage.rows import Rows

pytestmark = pytest.mark.unit

SETS = (users.DATASET, addresses.DATASET, credit_cards.DATASET)
NAMES = [name for one in SETS for name in (field.encode_name for field in msgspec.structs.fields(one.record))]
GOOD = {
    "id": 7, "name": "n", "username": "u", "email": "e", "building_number": "7", "street_name": "s", "city": "c",
    "state": "s", "country": "c", "zip": "01234", "credit_card_number": CARD_NUMBERS[0], "credit_card_type": "visa",
    "credit_card_expiry_date": "2030-01-31",
}  # fmt: skip
LAST = json.dumps(GOOD)

bad = record(NAMES)
one = st.builds(lambda good, bad: joined(good, bad) if bad[:1] == "{" else bad, st.sampled_from([{}, GOOD]), bad)
page = st.lists(one, max_size=2).map(lambda records: f"[{','.join([*records, LAST])}]")
names = st.sampled_from(["items", "next", "1", "-1", "9" * 5000, "٣", "x"])
PAGED = replace(users.DATASET, source=Source.listing("http://127.0.0.1/users", cursor="after", next="next"))


def joined(good: dict[str, object], bad: str) -> str:
    """What is good, and then what is bad: of a name that comes twice the last one counts."""
    return f"{{{','.join(filter(None, (json.dumps(good)[1:-1], bad[1:-1])))}}}"


def assert_sound(dataset: Dataset, result: Result) -> None:
    if isinstance(result, Rejection):
        assert result.reasons
        for reason in result.reasons:
            assert 0 < len(reason) <= TOLD
            assert not CONTROL.search(reason)
            assert CARD_NUMBERS[0] not in reason
        assert result.key is None or abs(result.key) < 2**63
        if result.payload is not None:
            assert result.payload.isascii()
            json.loads(result.payload)
            assert "1111 1111" not in result.payload
        return
    row = result[1]
    for name in required(dataset.model):
        assert name == "user" or row[name] not in (None, "")
    for value in row.values():
        if isinstance(value, str):
            assert "\0" not in value
            assert len(value) <= LONGEST
            value.encode()
        assert not isinstance(value, int) or 0 <= value < 2**63
    rows = Rows(dataset.model, ("external_id",) if dataset.per is None else (), [row])
    assert all("\n" not in line and line.encode() for line in rows.lines if line)


def assert_taken(dataset: Dataset, body: bytes) -> list[Result]:
    """All records of an answer are sound; nothing where it is the source's fault."""
    results = []
    with suppress(SourceError):
        for result in (results := decode(dataset, body)):
            assert_sound(dataset, result)
    return results


@amounts
def test_every_record_is_a_row_or_told_why_and_costs_no_other_one(amount: int) -> None:
    """Unless the whole is no JSON at all, or too deep for any reader."""

    def check(found: tuple[str, int, bytes]) -> None:
        text, at, junk = found
        body = text.encode(errors="surrogatepass")
        for dataset in SETS:
            results = assert_taken(dataset, body)
            assert not is_readable(text) or isinstance(results[-1], tuple)
            assert_taken(dataset, body[: at % len(body)] + junk + body[at % len(body) :])

    tried(st.tuples(page, st.integers(0, 2**16), st.binary(max_size=3)), check, amount)


def is_readable(body: str) -> bool:
    """Whether Python's own reader makes a list of it."""
    try:
        return isinstance(json.loads(body, parse_int=str), list)
    except (ValueError, RecursionError):
        return False


@amounts
def test_pages_with_a_cursor_and_answers_by_id_are_no_worse(amount: int) -> None:
    def check(items: list[tuple[str, str]]) -> None:
        body = f"{{{','.join(f'{json.dumps(name)}:{held}' for name, held in items)}}}".encode(errors="surrogatepass")
        with suppress(SourceError):
            for result in cursor_page(PAGED, body)[0]:
                assert_sound(PAGED, result)
        with suppress(SourceError):
            for number, result in by_id(addresses.DATASET, body):
                assert abs(number) < 2**63
                assert_sound(addresses.DATASET, result)

    tried(st.lists(st.tuples(names, one | page), max_size=3), check, amount // 4)
