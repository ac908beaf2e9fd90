import json
import logging
import os
import re
import socket
import sys
import time
import traceback
import uuid
from collections.abc import Iterator

import pytest

from celeryctl import logs
from celeryctl.local.generate import CARD_NUMBERS

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def root() -> Iterator[logging.Logger]:
    """The root logger, which is as before afterwards."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield root
    root.handlers[:], root.level = handlers, level


SECRET = {
    "postgresql://me:s3cret@h:5432/db": "postgresql://me:****@h:5432/db",
    "redis://:s3cret@h/0 is away": "redis://:****@h/0 is away",
    "redis://:s3@cret/s3cret@h": "redis://:****@h",
    "postgres://u:12345@h": "postgres://u:****@h",
    "postgres://u:1234/s3cret@h": "postgres://u:****@h",
    "https://s3cret@h/users": "https://****@h/users",
    "POSTGRES://U:s3cret@H": "POSTGRES://U:****@H",
    "two: redis://:s3cret@a redis://:s3cret@b": "two: redis://:****@a redis://:****@b",
    "postgresql://h/db?sslmode=require&password=s3cret&x=1": "postgresql://h/db?sslmode=require&password=****&x=1",
    "GET /users?_page=2&api_key=s3cret": "GET /users?_page=2&api_key=****",
    "host=h password=s3cret dbname=d": "host=h password=**** dbname=d",
    "host=h password='s3 \\' cret' dbname=d": "host=h password='****' dbname=d",
    "{'user': 'u', 'password': 's3 cret', 'host': 'h'}": "{'user': 'u', 'password': '****', 'host': 'h'}",
    "Authorization: Bearer s3cret": "Authorization: ****",
    "Authorization: Bearer\r\n  s3cret": "Authorization: ****",
    "{'Authorization': 'Basic s3cret'}": "{'Authorization': '****'}",
    'Authorization: Digest username="u", response="s3cret"\nHost: h': "Authorization: ****\nHost: h",
    "USERS_AUTHORIZATION=ApiKey of s3cret": "USERS_AUTHORIZATION=****",
    "{b'Authorization': b'Digest s3cret, s3cret', b'Host': b'h'}": "{b'Authorization': b'****', b'Host': b'h'}",
    "[('authorization', 'AWS4 s3cret, s3cret'), ('host', 'h')]": "[('authorization', '****'), ('host', 'h')]",
    '"{\\"Authorization\\": \\"Some s3cret s3cret\\"}"': '"{\\"Authorization\\": \\"****"',
    "X-Api-Key: s3cret": "X-Api-Key: ****",
    "token=s3cret": "token=****",
    "{'access_token': 's3cret', 'n': 1}": "{'access_token': '****', 'n': 1}",
    "REDISCLI_AUTH=s3cret": "REDISCLI_AUTH=****",
    "GET /users?authorization=s3cret&x=1": "GET /users?authorization=****&x=1",
    "sent Bearer s3cret-s3cret-s3cret": "sent Bearer ****",
    "card 1228-1221 1221.1431": "card ****",
    "card 3782/822463 - 10006": "card ****",
    "['1228', '1221', '1221', '1431']": "['****']",
    "FLOWER_BASIC_AUTH=me:s3cret": "FLOWER_BASIC_AUTH=****",
    "CARD_ENCRYPTION_KEYS=s3cret,s3cret": "CARD_ENCRYPTION_KEYS=****",
    "key MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=": "key ****",
    "card 1228122112211431.": "card ****.",
    "card 1212-1221-1121-1234": "card ****",
    "card 3782 822463 10006": "card ****",
    "(4222222222223)": "(****)",
    "1228-1221-1221-1431-123": "****",
}
MARKS = (
    *(
        ".",
        "_",
        "  ",
        " - ",
        "/",
        "', '",
        '","',
        "\t",
        "\r\n",
        "\u2028",
        "\u200b",
        "\u00ad",
        "\u00a0",
        "\u202f",
        "\u2011",
        "\u2013",
    ),
    *("&nbsp;", "\\xa0", "\\u00a0"),
)
HARMLESS = [
    "http://localhost:8080/users?email=a@b.example",
    "postgresql://me@h/db",
    "redis://localhost:6379/0",
    "2026-01-31 12:00:00,123",
    "phone 1-770-736-8031 x56442",
    "batch 123456789012",
    "password authentication failed for user",
    "authorization failed for user",
    "2026-01-31T12:00:00.1234Z 2026-01-31T12:00:00.5678Z",
    "counts [1000, 2000, 3000, 4000]",
    "rows 1000 of 2000, 3000 and 4000",
    "tokens 12",
    '{"id": 1, "next_page_token": null, "token": 12}',
    "FLOWER_BASIC_AUTH=<user>:<password>",
    "0123456789012345678901234567890123456789",
]


@pytest.mark.parametrize(("text", "expected"), SECRET.items())
def test_passwords_keys_and_card_numbers_are_masked(text: str, expected: str) -> None:
    assert logs.mask(text) == expected
    assert logs.mask(expected) == expected


@pytest.mark.parametrize("mark", MARKS)
def test_a_card_number_is_masked_whatever_stands_between_its_groups(mark: str) -> None:
    for groups in (CARD_NUMBERS[0].split("-"), ["3782", "822463", "10006"]):
        assert logs.mask(f"card {mark.join(groups)}, as it came") == "card ****, as it came"


def test_what_others_print_is_masked_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    undo = logs.mask_streams()
    logs.mask_streams()
    logs.configure("INFO")
    sys.stdout.write(f"the card {CARD_NUMBERS[0]}\n")
    sys.stdout.writelines([CARD_NUMBERS[1][:9]])
    sys.stdout.write(f"{CARD_NUMBERS[1][9:]} not yet")
    sys.stdout.flush()
    traceback.print_exception(ValueError(CARD_NUMBERS[2]))
    sys.stdout.write(f", nor {CARD_NUMBERS[0]}")
    logging.getLogger("a").info("%s", CARD_NUMBERS[3])
    undo()
    sys.stdout.write(", now")
    said = capsys.readouterr()
    assert said.out == "the card ****\n**** not yet, nor ****, now"
    assert "ValueError: ****\n" in said.err
    assert said.err.endswith(" INFO    a: ****\n")


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_secret_is_left_alone(text: str) -> None:
    assert logs.mask(text) == text


def test_ids_of_tasks_are_left_alone_whatever_digits_they_hold() -> None:
    grouped = "b452f57d-1118-4057-8621-034364f1b921"
    for text in ("Task fetch[550e8400-e29b-41d4-a716-446655440000] received", f"run {grouped}", f"run {uuid.uuid4()}"):
        assert logs.mask(text) == text


def test_masking_a_long_text_takes_no_long_time() -> None:
    began = time.process_time()
    for piece in (
        "a",
        "1",
        "://",
        "://a:",
        "?a=",
        "password",
        "1-",
        "= ",
        "a-",
        "'\\",
        "authorization:'",
        "1234/",
        "1234', '",
    ):
        logs.mask(piece * (100_000 // len(piece)))
    assert time.process_time() - began < 60  # one that backtracks takes hours


def test_lines_are_text_with_the_time_in_utc(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO")
    logging.getLogger("a.b").info("asked %s", "redis://:s3cret@h")
    logging.getLogger("a.b").debug("not this")
    line = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO    a\.b: asked redis://:\*\*\*\*@h\n"
    assert re.fullmatch(line, capsys.readouterr().err)


def test_a_message_stays_on_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO")
    logging.getLogger("a").info("%s", "first\nERROR forged\x1b[2J\u2028\x85é")
    assert capsys.readouterr().err.endswith(" INFO    a: first\\nERROR forged\\x1b[2J\\u2028\\x85é\n")


@pytest.mark.parametrize("form", ["text", "json"])
def test_neither_messages_nor_tracebacks_steer_a_terminal(
    capsys: pytest.CaptureFixture[str], form: logs.Format
) -> None:
    steering = "a\x1b[2J\x9b\x7f\u202e\u200b\u2028\U000e0041b"
    logs.configure("ERROR", form)
    try:
        raise ValueError(steering)  # noqa: TRY301 - it is the message that counts
    except ValueError:
        logging.getLogger("a").exception(steering)
    told = capsys.readouterr().err
    assert all(line.isprintable() for line in told.splitlines())
    assert told.lower().count("\\u202e") >= 2
    if form == "json":
        assert json.loads(told)["message"] == steering


@pytest.mark.parametrize("form", ["text", "json"])
def test_tracebacks_are_masked_too(capsys: pytest.CaptureFixture[str], form: logs.Format) -> None:
    logs.configure("ERROR", form)
    try:
        int("1228 1221 1221 1431 at postgresql://u:s3cret@h")
    except ValueError:
        logging.getLogger("a").exception("failed")
    assert "'**** at postgresql://u:****@h'" in capsys.readouterr().err


def test_lines_can_be_json(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("WARNING", "json")
    logging.getLogger("a").warning('a "quoted"\npassword=s3cret, 1228-1221-1221-1431 é')
    written = capsys.readouterr().err
    document = json.loads(written)
    assert written.count("\n") == 1
    assert document.pop("time").endswith("Z")
    assert document == {
        "level": "WARNING",
        "logger": "a",
        "message": 'a "quoted"\npassword=**** **** é',
        "host": socket.gethostname(),
        "process": "MainProcess",
        "pid": os.getpid(),
    }


ABOUT = {"batch": 17, "seconds": 0.031, "run": uuid.UUID(int=2**127), "task": f"a b\n{CARD_NUMBERS[0]}", "n": 10**15}


def test_a_line_tells_what_it_is_about(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO")
    with logs.about(batch=16, attempt=1), logs.about(**ABOUT):
        logging.getLogger("a").info("done")
    logging.getLogger("a").info("nothing")
    first, second = capsys.readouterr().err.splitlines()
    told = "batch=17 attempt=1 seconds=0.031 run=80000000 task=a_b\\n**** n=****"
    assert first.endswith(f" INFO    a: done {told}")
    assert second.endswith(" INFO    a: nothing")


def test_a_line_of_json_has_what_it_is_about_as_keys(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO", "json")
    with logs.about(**ABOUT):
        logging.getLogger("a").info("done")
    document = json.loads(capsys.readouterr().err)
    assert {name: document[name] for name in ABOUT} == {
        **ABOUT,
        "run": str(ABOUT["run"]),
        "task": "a b\n****",
        "n": "****",
    }


def test_configuring_again_replaces_what_is_ours_and_nothing_else(
    capsys: pytest.CaptureFixture[str], root: logging.Logger
) -> None:
    other = logging.NullHandler()
    root.addHandler(other)
    logs.configure("ERROR")
    logs.configure("INFO", "json")
    logging.getLogger("a").info("once")
    assert capsys.readouterr().err.count("once") == 1
    assert other in root.handlers
