"""The looking for card numbers finds them in every form, and finds none in this repository but the four fake ones."""

import base64
import gzip
import json
import re
import subprocess
from contextlib import closing
from pathlib import Path

import psutil
import psycopg2
import pytest
import redis
import secretscan
from cardnumbers import digits_of, fresh, passes_luhn, spelt
from sinks import Sweep, overheard, unpacked
from waiting import eventually

from celeryctl.local.generate import CARD_NUMBERS

ROOT = Path(__file__).resolve().parent.parent
# Alone: not a part of a longer number, a fraction, a hash or a name.
CARD = re.compile(rb"(?<![\w.])\d(?:[ -]?\d){12,18}(?![\w.]|-\d)")
MARKS = ("", "-", " ", ".", "_", "\u00a0")
CODINGS = {
    "plain": str,
    "JSON": json.dumps,
    "escaped": lambda text: "".join(f"\\u{ord(one):04x}" for one in text if one.isdigit()),
    "UTF-16": lambda text: text.encode("utf-16"),
    **{f"base64, {n}": lambda text, n=n: base64.b64encode(b"x" * n + text.encode() + b"x") for n in range(3)},
    "hexadecimal": lambda text: text.encode().hex(),
    "upper-case": lambda text: text.encode().hex().upper(),
}


def finds(sweep: Sweep, data: bytes | str) -> bool:
    before = len(sweep.found)
    sweep.text("a place", data)
    return len(sweep.found) > before


@pytest.mark.unit
@pytest.mark.parametrize(("coding", "mark"), [
    # In base64 and hexadecimal only what sources write is looked for.
    (coding, mark) for coding in CODINGS for mark in MARKS[: 3 if re.match("base64|hex|upper", coding) else None]
])  # fmt: skip
def test_a_number_is_found_in_every_coding(coding: str, mark: str) -> None:
    sweep = Sweep(numbers := fresh(3))
    coded = CODINGS[coding](spelt(numbers[1], mark))
    around = b"\xff" * 100_000
    for data in (coded, around + (coded.encode() if isinstance(coded, str) else coded) + around):
        assert finds(sweep, data)
    assert not finds(sweep, CODINGS[coding](spelt(fresh(1)[0], mark)))


@pytest.mark.unit
@pytest.mark.parametrize("length", [13, 16, 19])
@pytest.mark.parametrize("around", ["", "7\n" * 50_000], ids=["alone", "in much else"])
def test_the_larger_part_of_a_number_is_found_and_what_is_told_does_not_hold_it(around: str, length: int) -> None:
    numbers = fresh(3, length)
    number, sweep = numbers[1], Sweep(numbers)
    for part in (number, number[:12], number[-12:], spelt(number), spelt(number[:12]), spelt(number[-12:])):
        assert finds(sweep, f"{around}…{part}…{around}")
    assert not finds(sweep, f"{around}{number[:11]} and {number[-11:]} and {around}")
    with pytest.raises(AssertionError, match="a place") as caught:
        sweep.assert_clean()
    assert number[:-4] not in digits_of(str(caught.value))
    assert number[-4:] in str(caught.value)


@pytest.mark.unit
def test_what_is_packed_is_unpacked() -> None:
    inner = b'{"card": 7}'
    message = json.dumps({"body": base64.b64encode(gzip.compress(inner)).decode()}).encode()
    assert [*unpacked(message)][-1] == inner


@pytest.mark.unit
def test_files_and_their_names_and_processes_are_looked_at(tmp_path: Path) -> None:
    first, second, third = fresh(3)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / f"{first}.log").write_bytes(b"\0" * 5000 + spelt(second).encode())
    (tmp_path / "empty").touch()
    sweep = Sweep([first, second, third])
    sweep.files("files", tmp_path)
    with subprocess.Popen(["sleep", "600"], env={"CARD": third}) as process:
        eventually(lambda: b"sleep" in Path(f"/proc/{process.pid}/cmdline").read_bytes())
        sweep.processes("processes", [psutil.Process(process.pid)])
        process.kill()
    assert [one[-4:] for one in sweep.found] == [first[-4:], second[-4:], third[-4:]]
    assert sweep.looked[0] == ("files", 5019)


@pytest.mark.integration
@pytest.mark.shows_numbers("to see that they are found")
def test_every_column_is_looked_at_and_that_a_sealed_one_is_sealed(empty_database: str, postgres_server: str) -> None:
    numbers = fresh(3)
    sealed = "v1.0123abcd.AAAA"
    with closing(psycopg2.connect(postgres_server)) as connection:
        connection.autocommit = True
        connection.cursor().execute(f"CREATE DATABASE {empty_database.rpartition('/')[2]}")
    with closing(psycopg2.connect(empty_database)) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE a (b bytea, j jsonb, card_number text)")
        cursor.execute("INSERT INTO a VALUES (%s, %s, %s)", (numbers[0].encode(), f'["{numbers[1]}"]', sealed))
        connection.commit()
        sweep = Sweep(numbers)
        sweep.database("it", empty_database)
        assert sorted(one[-4:] for one in sweep.found) == sorted(one[-4:] for one in numbers[:2])
        cursor.execute("INSERT INTO a (card_number) VALUES ('visa')")
        connection.commit()
    sweep.database("it", empty_database)
    assert "it: a.card_number holds what is not encrypted" in sweep.found


@pytest.mark.integration
@pytest.mark.shows_numbers("to see that they are found")
def test_every_key_of_a_broker_is_looked_at_and_what_only_passes_through(redis_url: str) -> None:
    numbers = fresh(8)
    body = base64.b64encode(json.dumps([[numbers[0]], {}, {}]).encode()).decode()
    with closing(redis.Redis.from_url(redis_url)) as client:
        client.lpush("list", json.dumps({"body": body}))
        client.set(f"key {numbers[1]}", "")
        client.set("text", gzip.compress(numbers[2].encode()))
        client.sadd("set", numbers[3])
        client.zadd("sorted", {numbers[4]: 1})
        client.hset("hash", numbers[5], "x")
        client.xadd("stream", {"card": numbers[6]})
        sweep = Sweep(numbers)
        sweep.broker("it", redis_url)
        assert {one[-4:] for one in sweep.found} >= {one[-4:] for one in numbers[:7]}
        with overheard(redis_url) as heard:
            client.publish("events", f"card {numbers[7]}")
            eventually(lambda: any(b"PUBLISH" in one.upper() for one in heard))
    assert finds(Sweep(numbers[7:]), b"\n".join(heard))


@pytest.mark.unit
def test_this_repository_holds_no_card_number_but_the_four_fake_ones() -> None:
    paths = secretscan.tracked(ROOT)
    if not paths:
        pytest.skip(secretscan.UNKNOWN)
    held = {(path, digits_of(found.decode())) for path in paths for found in CARD.findall(path.read_bytes())}
    allowed = {*map(digits_of, CARD_NUMBERS)}
    assert {path.name for path, number in held if number in allowed} > {"generate.py", "credit_cards.yaml"}
    assert not [f"{path}: …{number[-4:]}" for path, number in held if passes_luhn(number) and number not in allowed]
