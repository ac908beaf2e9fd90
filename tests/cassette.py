"""Cassettes: how they are played in tests and how they are recorded (by record.py), so that both clean them alike."""

import copy
import hashlib
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import vcr

from celeryctl.local.generate import CARD_NUMBERS

FOLDER = Path(__file__).resolve().parent.parent / "cassettes"
USERS = "https://jsonplaceholder.typicode.com"
RANDOM = "https://random-data-api.com"

# All that anybody reads; the others tell about the machine that recorded, or change every time.
KEPT = ("content-type", "link", "retry-after", "x-total-count")
NUMBER_FIELD = re.compile(r'("credit_card_number"\s*:\s*")([^"]*)"')
CARD = re.compile(r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w.-])")


def replay(name: str, *, repeats: bool = False) -> AbstractContextManager[Any]:
    """Play a cassette: requests that it does not hold fail. With ``repeats`` each answer may be had more than once."""
    return _player({}, "none").use_cassette(f"{name}.yaml", allow_playback_repeats=repeats)


def record(name: str, served: Mapping[str, str]) -> AbstractContextManager[Any]:
    """Record a cassette anew. ``served`` says where each public host is really asked: its URL to the public one."""
    (FOLDER / f"{name}.yaml").unlink(missing_ok=True)
    return _player(served, "all").use_cassette(f"{name}.yaml")


def _player(served: Mapping[str, str], mode: str) -> vcr.VCR:
    def rename(text: str) -> str:
        for base, public in served.items():
            text = text.replace(base, public)
        return text

    def clean_request(request: Any) -> Any:
        clean = copy.copy(request)  # the original is still to be sent
        clean.uri, clean.headers = rename(request.uri), {}
        return clean

    def clean_response(response: dict[str, Any]) -> dict[str, Any]:
        headers = {name: values for name, values in response["headers"].items() if name.lower() in KEPT}
        text = without_cards(rename(response["body"]["string"].decode()))
        return {
            "status": response["status"],
            "headers": {name: [rename(value) for value in values] for name, values in headers.items()},
            "body": {"string": text.encode()},
        }

    return vcr.VCR(
        cassette_library_dir=str(FOLDER),
        record_mode=mode,
        decode_compressed_response=True,
        before_record_request=clean_request,
        before_record_response=clean_response,
    )


def without_cards(text: str) -> str:
    """The text with every card number but the API's four fake ones replaced by one of these, the same each time."""

    def fake(number: str) -> str:
        digest = hashlib.sha256(number.encode()).digest()
        return number if number in CARD_NUMBERS else CARD_NUMBERS[digest[0] % len(CARD_NUMBERS)]

    text = NUMBER_FIELD.sub(lambda match: f'{match[1]}{fake(match[2])}"', text)
    return CARD.sub(lambda match: fake(match[0]), text)
