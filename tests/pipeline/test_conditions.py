"""Conditions of `wait`: what they mean, and how a wrong one is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeryctl.errors import UsageError
from celeryctl.pipeline.conditions import FIELDS, OPERATORS, Truth, Values, parse

pytestmark = pytest.mark.unit

DATASETS = ["users", "credit_cards"]
VALUES: Values = {"queue": 3, "unacked": 0, "running": 1, "failed": 0, "quarantined": 2, "workers": None,
                  "missing.users": 0, "missing.credit_cards": 7}  # fmt: skip


def holds(text: str) -> Truth:
    return parse(text, DATASETS).holds(VALUES)


@pytest.mark.parametrize(
    ("text", "truth"),
    [
        ("queue=3", True),
        ("queue == 3", True),
        ("queue!=3", False),
        ("queue<3 or queue>3", False),
        ("queue<=3 and queue>=3", True),
        ("queue=0 and running=0", False),
        ("QUEUE=3 AND Running=1", True),
        ("missing.credit-cards=7", True),
        ("missing.credit_cards > 7", False),
        ("not queue=0", True),
        ("not not queue=0", False),
        ("not (queue=3 and running=1)", False),
        ("queue=3 or queue=4 and running=9", True),  # and binds more tightly
        ("(queue=3 or queue=4) and running=9", False),
        ("queue=0 or queue=1 or queue=3", True),
    ],
)
def test_a_condition_holds_or_not(text: str, truth: bool) -> None:
    assert holds(text) is truth


@pytest.mark.parametrize(
    ("text", "truth"),
    [
        ("workers>0", None),
        ("not workers>0", None),
        ("workers>0 and queue=3", None),
        ("workers>0 and queue=0", False),
        ("workers>0 or queue=3", True),
        ("workers>0 or queue=0", None),
    ],
)
def test_what_is_not_known_leaves_open_what_depends_on_it(text: str, truth: Truth) -> None:
    assert holds(text) is truth


def test_the_fields_that_it_looks_at_are_told_once_each_in_their_order() -> None:
    assert parse("running=0 and queue=0 and running<9", DATASETS).fields == ("running", "queue")


@pytest.mark.parametrize(
    ("text", "place", "why"),
    [
        ("", 1, "it is empty"),
        ("   ", 1, "it is empty"),
        ("queu=0", 1, "did you mean queue?"),
        ("queue=0 and missing.user=0", 13, "did you mean missing.users?"),
        ("weather=0", 1, "there are: queue"),
        ("queue", 6, "it breaks off"),
        ("queue=", 7, "it breaks off"),
        ("queue=0 and", 12, "it breaks off"),
        ("queue=x", 7, "a whole number, not 'x'"),
        ("queue=1.5", 8, "'.' means nothing here"),
        ("queue=-1", 7, "'-' means nothing here"),
        ("queue 0", 7, "not '0'"),
        ("queue=0 running=0", 9, "after a whole condition comes 'running'"),
        ("queue=0)", 8, "after a whole condition comes ')'"),
        ("(queue=0", 9, "it breaks off"),
        ("queue=0; rm", 8, "';' means nothing here"),
        ("and queue=0", 1, "there is no field 'and'"),
        ("queue=9999999999999999999", 7, "a whole number"),
        ("not " * 60 + "queue=0", 201, "nested too deeply"),
        ("(" * 60 + "queue=0", 51, "nested too deeply"),
    ],
)
def test_a_wrong_one_is_told_with_its_place(text: str, place: int, why: str) -> None:
    with pytest.raises(UsageError) as told:
        parse(text, DATASETS)
    assert f"at character {place}:" in told.value.why
    assert why in told.value.why


@given(st.text(alphabet="queu=0<>!() andornt.missing-_1", max_size=60))
def test_whatever_is_typed_is_parsed_or_refused(text: str) -> None:
    try:
        parsed = parse(text, DATASETS)
    except UsageError:
        return
    assert parsed.holds(VALUES) in (True, False, None)


known = st.sampled_from([field for field in FIELDS if field != "workers"])
comparison = st.builds("{}{}{}".format, known, st.sampled_from(list(OPERATORS)), st.integers(0, 9))


@given(st.lists(comparison, min_size=1, max_size=5), st.lists(st.sampled_from(["and", "or"]), min_size=4, max_size=4))
def test_it_agrees_with_python(parts: list[str], words: list[str]) -> None:
    text = parts[0] + "".join(f" {word} {part}" for word, part in zip(words, parts[1:], strict=False))
    python = text.replace("==", "=").replace("=", "==").replace("!==", "!=").replace("<==", "<=").replace(">==", ">=")
    names = {name: value for name, value in VALUES.items() if "." not in name}
    assert holds(text) == eval(python, {}, names)  # the same grammar, with and binding more tightly than or
