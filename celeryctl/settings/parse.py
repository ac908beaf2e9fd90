"""Parsers of single values. Each returns what it read, or raises SettingsError with what is allowed in ``why``."""

import base64
import binascii
import os
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from celeryctl.errors import SettingsError
from celeryctl.settings.secret import Secret

Parser = Callable[[str], Any]

DURATION = re.compile(r"(\d{1,8}(?:\.\d{1,6})?)(s|m|h|d)?", re.ASCII)
SECONDS = {None: 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
LONGEST = timedelta(days=365)
SIZE = re.compile(r"(\d{1,15})(B|kB|KB|KiB|MB|MiB|GB|GiB)?", re.ASCII)
BYTES = {None: 1, "B": 1, "kB": 10**3, "KB": 10**3, "KiB": 2**10, "MB": 10**6, "MiB": 2**20, "GB": 10**9, "GiB": 2**30}
RATE = re.compile(r"\s*[1-9]\d{0,8}\s*/\s*(?:s(?:ec(?:ond)?)?|m(?:in(?:ute)?)?|h(?:our)?|d(?:ay)?)\s*", re.ASCII)
WHOLE = re.compile(r"\d{1,9}", re.ASCII)
HOST = re.compile(r"[A-Za-z0-9._:-]{1,253}")
KEY_BYTES = 32
SHOWN = 60  # characters of a wrong value that a message repeats


def shortened(value: str) -> str:
    """The value in quotes, its control characters written out, cut to what a line can hold."""
    return repr(value) if len(value) <= SHOWN else f"{value[:SHOWN]!r}… ({len(value)} characters)"


def wrong(value: str, noun: str, allowed: str) -> SettingsError:
    return SettingsError(f"{shortened(value)} is no {noun}", why=allowed)


def parse_duration(text: str, *, nothing: bool = False) -> timedelta:
    """``30`` and ``30s``, ``5m``, ``24h``, ``1d``: more than nothing unless ``nothing`` will do, at most 365 days."""
    match = DURATION.fullmatch(text)
    found = timedelta(seconds=float(match[1]) * SECONDS[match[2]]) if match else timedelta()
    if nothing and match and not found:
        return found
    if not timedelta() < found <= LONGEST:
        raise wrong(text, "duration", "a duration is written 30, 30s, 5m, 24h or 1d; more than 0, at most 365d")
    return found


def parse_size(text: str) -> int:
    """Bytes: ``1000``, ``64kB``, ``16MiB``, ``1GiB``."""
    match = SIZE.fullmatch(text)
    found = int(match[1]) * BYTES[match[2]] if match else 0
    if not 0 < found <= 2**50:
        raise wrong(text, "size", "a size is written 1000, 64KiB, 16MiB or 1GiB; more than 0")
    return found


def parse_rate(text: str) -> str:
    """``10/s``, ``600/m``, ``5000/h``, ``20000/d``, as the rate budget reads it."""
    if not RATE.fullmatch(text.lower()):
        raise wrong(text, "rate", "a rate is written 10/s, 600/m, 5000/h or 20000/d")
    return text


def duration(least: timedelta, most: timedelta = LONGEST) -> Parser:
    def parse(text: str) -> timedelta:
        found = parse_duration(text)
        if not least <= found <= most:
            bounds = f"from {least.total_seconds():g}s to {most.total_seconds():g}s"
            raise wrong(text, "duration for this", f"a duration {bounds}, such as 30, 30s or 5m")
        return found

    return parse


def seconds(text: str) -> float:
    """A time-out. An hour at most: sockets overflow at some 25 days."""
    found: timedelta = duration(timedelta(milliseconds=1), timedelta(hours=1))(text)
    return found.total_seconds()


def size(least: int, most: int) -> Parser:
    def parse(text: str) -> int:
        found = parse_size(text)
        if not least <= found <= most:
            raise wrong(text, "size for this", f"a size from {least} to {most} bytes, such as 16MiB")
        return found

    return parse


def whole(least: int, most: int) -> Parser:
    def parse(text: str) -> int:
        if not WHOLE.fullmatch(text) or not least <= int(text) <= most:
            raise wrong(text, "number for this", f"a whole number from {least} to {most}")
        return int(text)

    return parse


def concurrency(text: str) -> int:
    """A number of worker processes; ``auto`` is one for each CPU that we may use."""
    if text == "auto":
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    found: int = whole(1, 1000)(text)
    return found


def choice(*words: str) -> Parser:
    def parse(text: str) -> str:
        for word in words:
            if text.lower() == word.lower():
                return word
        raise wrong(text, "choice here", f"one of {', '.join(words)}")

    return parse


def switch(text: str) -> bool:
    if text.lower() not in {"0", "1", "false", "true", "no", "yes", "off", "on"}:
        raise wrong(text, "switch", "0 or 1")
    return text.lower() in {"1", "true", "yes", "on"}


def host(text: str) -> str:
    if not HOST.fullmatch(text):
        raise wrong(text, "address to listen on", "a name or an address without scheme and port, such as 127.0.0.1")
    return text


def file(text: str) -> Path:
    if not Path(text).is_absolute() or text.endswith("/"):
        raise wrong(text, "file for this", "the absolute path of a file, such as /tmp/heartbeat")
    return Path(text)


def names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def header(text: str) -> Secret:
    """The value of an HTTP header."""
    if not text.isprintable() or not text.isascii():
        raise wrong("", "header", "printable ASCII without line breaks, such as Bearer <token>")
    return Secret(text)


def basic_auth(text: str) -> Secret:
    """``user:password``, or several of them with commas between, as Flower takes them."""
    pairs = [pair.partition(":") for pair in text.split(",")]
    if not text.isprintable() or not all(user.strip() and password.strip() for user, _, password in pairs):
        raise wrong("", "user and password", "user:password, or several with commas between them")
    return Secret(text)


def card_keys(text: str) -> tuple[Secret, ...]:
    """Base64 AES-256 keys with commas between them."""
    allowed, found = f"base64 of {KEY_BYTES} bytes each, with commas between them", names(text)
    for position, key in enumerate(found, 1):
        try:
            length = len(base64.b64decode(key, validate=True))
        except (binascii.Error, ValueError):
            length = -1
        if length != KEY_BYTES:
            state = "not base64" if length < 0 else f"{length} bytes long"
            raise wrong("", "key", f"{allowed}; number {position} is {state}")
    if not found:
        raise wrong("", "key", f"{allowed}; there is none")
    return tuple(map(Secret, found))
