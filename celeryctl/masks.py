"""What is hidden in every text that may be read: passwords, tokens, keys, card numbers."""

import re

HIDDEN = "****"
# Greedy up to the last @, since a password may hold one; in a web address a port may follow the colon instead. All
# repetitions are bounded: texts from outside must not make matching slow.
URL_PASSWORD = re.compile(
    r"((?<!http)(?<!https)://[^\s:/?#@]{0,99}:|://[^\s:/?#@]{0,99}:(?!\d{1,5}(?:[/?#,'\"\s]|$)))\S{1,500}@",
    re.IGNORECASE,
)
URL_TOKEN = re.compile(r"(https?://)[^\s:/?#@]{1,500}@", re.IGNORECASE)
PARAMETER = re.compile(
    r"([?&][\w.-]{0,60}(?:password|passwd|secret|token|key|auth|authorization|signature)=)[^&#\s'\"]+", re.IGNORECASE
)
# To the end of the quote or the line: which schemes there are, and of how many words, others decide.
AUTHORIZATION = re.compile(
    r"""(authorization(?:\\{0,3}['"]\s{0,9},|\\{0,3}['"]?\s{0,9}[=:])\s{0,9}+)(?!<|\*{4}(?:['"&\s]|$))"""
    r"""(?:(b?\\{0,3}(['"]))(?:\\.|(?!\3)[^\\\n]){0,2000}\3|(?:bearer|basic|token)\s{1,9}\S[^\n]*|[^\n]+)""",
    re.IGNORECASE,
)
FIELD = re.compile(
    r"""((?:(?:password|passwd|secret|api[-_]?key|\w_auth|encryption_keys)['"]?\s{0,9}[=:]\s{0,9}"""
    # What JSON holds beside texts is no token.
    r"""|token['"]?\s{0,9}[=:]\s{0,9}(?!(?:null|true|false|\d{1,9})\s{0,9}[,}\]])))(?!<)"""
    r"""(?:(['"])(?:\\.|(?!\2)[^\\\n]){0,999}\2|(?:(?:bearer|basic|token)\s{1,9})?[^\s&#]+)""",
    re.IGNORECASE,
)
CREDENTIAL = re.compile(r"\b(Bearer|Basic)\s{1,9}[\w.~+/-]{16,}=*")
AES_KEY = re.compile(r"(?<![\w+/=-])[\w+/-]{43}=(?![\w+/=])", re.ASCII)
UUID = r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"
# A task's id, or the seconds that it took, can hold as many digits as a card number has: matched first, left alone.
CARD = re.compile(
    rf"({UUID}|(?<= in )\d{{1,9}}\.\d+(?=s\b))"
    r"|(?<!\d)\d(?:[ -]?\d){12,18}(?!\d)",
    re.IGNORECASE,
)
# In groups, with what pages and other people's programs put between them, also as it is escaped, or cannot be seen.
MARK = (
    r"(?:[\s._/\u00ad\u200b-\u200f\u2010-\u2015\u2060\u2212\ufeff-]|&nbsp;|\\xa0|\\u00a0|\\[rtn]|['\"],\s?['\"]){1,3}"
)
GROUPED = re.compile(
    rf"({UUID})|(?<!\d)\d{{4}}{MARK}(?:\d{{4}}{MARK}\d{{4}}{MARK}\d{{1,7}}|\d{{6}}{MARK}\d{{5}})(?!\d)",
    re.IGNORECASE,
)


def mask(text: str) -> str:
    """The text without passwords, tokens, keys and card numbers; it hides rather too much than too little."""
    text = URL_PASSWORD.sub(rf"\1{HIDDEN}@", text)
    text = URL_TOKEN.sub(rf"\1{HIDDEN}@", text)
    text = PARAMETER.sub(rf"\1{HIDDEN}", text)
    text = AUTHORIZATION.sub(lambda found: f"{found[1]}{found[2] or ''}{HIDDEN}{found[3] or ''}", text)
    text = FIELD.sub(lambda found: f"{found[1]}{found[2] or ''}{HIDDEN}{found[2] or ''}", text)
    text = CREDENTIAL.sub(rf"\1 {HIDDEN}", text)
    text = AES_KEY.sub(HIDDEN, text)
    text = CARD.sub(lambda found: found[1] or HIDDEN, text)
    return GROUPED.sub(lambda found: found[1] or HIDDEN, text)
