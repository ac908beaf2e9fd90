"""What the client decides without a network."""

import pytest

from celeryctl.errors import SettingsError
from celeryctl.http import Answer
from celeryctl.http.addresses import is_public
from celeryctl.http.answers import CENTURY, excerpt, looks_like_json, retry_after
from celeryctl.http.budget import rate_limit
from celeryctl.http.faults import same_site, site
from celeryctl.local.generate import CARD_NUMBERS

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_addresses_of_the_open_internet(address: str) -> None:
    assert is_public(address)


PRIVATE = """
127.0.0.1 0.0.0.0 10.1.2.3 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1 224.0.0.1 255.255.255.255
::1 :: fe80::1 fe80::1%lo fd00::1 ff02::1 ::ffff:127.0.0.1 ::ffff:169.254.169.254 64:ff9b::7f00:1 2002:7f00:1::
192.0.0.8 198.18.0.1 240.0.0.1 ::127.0.0.1 ::ffff:0:127.0.0.1 64:ff9b:1::7f00:1 fec0::1 2001:db8::1 3fff::1 5f00::1
"""


@pytest.mark.parametrize("address", PRIVATE.split())
def test_addresses_that_are_not(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    ("url", "other", "same"),
    [
        ("http://h/users", "http://H:80/else?x=1", True),
        ("http://h/", "https://h/", True),
        ("https://h/", "http://h/", False),
        ("http://h:8080/", "https://h:8443/", False),
        ("https://h/", "https://h:444/", False),
        ("https://h/", "https://h.evil/", False),
        ("https://h/", "https://h@evil/", False),
    ],
)
def test_what_counts_as_the_same_server(url: str, other: str, same: bool) -> None:
    assert same_site(url, other) is same


def test_of_a_url_only_the_host_is_shown() -> None:
    assert site("https://user:pw@h:8443/path?key=secret#x") == "https://h:8443"
    assert site("http://[::1]:8080/") == "http://[::1]:8080"


@pytest.mark.parametrize("body", [b"[]", b" \n{ } ", b'[{"a": 1}]\n'])
def test_what_looks_like_json(body: bytes) -> None:
    assert looks_like_json(body)


@pytest.mark.parametrize("body", [b"", b"[", b"{", b'[{"a": 1}', b"Retry later", b"<html>", b"null", b"1", b'"a"'])
def test_what_does_not(body: bytes) -> None:
    assert not looks_like_json(body)


def test_an_excerpt_is_short_printable_and_of_a_text_only() -> None:
    assert excerpt(b"a\r\n\0\x1b b\tc" + b"x" * 200) == "'a b c" + "x" * 75 + "'"
    assert excerpt(b'{"number": 1}') == excerpt(b"") == excerpt(b"\xff\xfe\x00") == ""
    assert excerpt(b"the card 1228 1221 1221 1431 of token-1", ["token-1"]) == "'the card **** of ****'"


@pytest.mark.parametrize("mark", ["\u00a0", ".", "&nbsp;", "&#160;", "</b> <b>", "\n", ", "])
def test_an_excerpt_tells_no_card_number_whatever_a_page_puts_between_its_groups(mark: str) -> None:
    page = mark.join(CARD_NUMBERS[0].split("-"))
    shown = excerpt(f"<p>the card <b>{page}</b> is refused</p>".encode())
    assert shown.startswith("'<p>the card <b>**")
    assert not any(group in shown for group in CARD_NUMBERS[0].split("-"))


def test_retry_after_is_seconds_or_a_date_or_nothing() -> None:
    assert retry_after({"Retry-After": " 7 "}) == 7
    assert retry_after({"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}) == 0
    assert retry_after({"Retry-After": "9" * 5000}) == CENTURY
    assert retry_after({"Retry-After": "soon"}) is retry_after({"Retry-After": "²"}) is retry_after({}) is None


@pytest.mark.parametrize(
    ("text", "amount", "seconds"),
    [("10/s", 10, 1), ("600/min", 600, 60), ("5 / h", 5, 3600), ("20000/day", 20_000, 86_400)],
)
def test_rates_as_the_settings_write_them(text: str, amount: int, seconds: int) -> None:
    rate = rate_limit(text)
    assert (rate.amount, rate.get_expiry()) == (amount, seconds)


@pytest.mark.parametrize("text", ["", "10", "0/s", "-1/s", "1e3/s", "10/x", "10/s/s"])
def test_what_is_no_rate(text: str) -> None:
    with pytest.raises(SettingsError, match="is no rate"):
        rate_limit(text)


def test_the_next_page_of_a_link_header() -> None:
    def link(text: str) -> str | None:
        return Answer(200, b"[]", {"Link": text}, "https://h/users?_page=1").next

    assert link('<https://h/users?_page=1>; rel="first", </users?_page=2>; rel="next"') == "https://h/users?_page=2"
    assert link('<https://h/users?_page=1>; rel="first"') is None
    assert link("") is link("garbage") is None
