"""Card numbers: new ones for a test, and every form that one may be found in."""

import base64
import secrets
from collections.abc import Iterator

ISSUER = 8  # digits that all numbers of a test begin with


def digits_of(number: str) -> str:
    return "".join(filter(str.isdigit, number))


def fresh(count: int, length: int = 16, beginning: str | None = None) -> list[str]:
    """So many card numbers that pass Luhn's check. They are made now, so that none stands in any file before."""
    beginning = beginning or "4" + "".join(secrets.choice("0123456789") for _ in range(ISSUER - 1))
    found = set[str]()
    while len(found) < count:
        body = beginning + "".join(secrets.choice("0123456789") for _ in range(length - ISSUER - 1))
        found.add(next(f"{body}{last}" for last in range(10) if passes_luhn(f"{body}{last}")))
    return sorted(found)


def passes_luhn(digits: str) -> bool:
    doubled = (sum(divmod(2 * int(one), 10)) for one in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(doubled)) % 10 == 0


def spelt(number: str, mark: str = "-") -> str:
    """In groups of four."""
    digits = digits_of(number)
    return mark.join(digits[start : start + 4] for start in range(0, len(digits), 4))


def codings(digits: str, whole: str) -> Iterator[bytes]:
    """How these ``digits``, the beginning or the end of the ``whole`` number, look between other text."""
    plain = digits.encode()
    yield plain
    yield b"".join(b"u%04x" % one for one in plain)  # \u0034 in JSON
    for mark in ("", "-", " "):
        grouped = spelt(whole, mark)
        at = 0 if whole.startswith(digits) else len(whole) - len(digits)
        at += at // 4 * len(mark)
        text = grouped[at : at + len(digits) + (len(digits) - 1) // 4 * len(mark)].strip("- ").encode()
        yield text.hex().encode()
        yield text.hex().upper().encode()
        for before in range(3):
            coded = base64.b64encode(bytes(before) + text)
            yield coded[-(-before * 8 // 6) : (before + len(text)) * 8 // 6]
