from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from faultserver import FaultServer, Reply
from servers import KEY

from celeryctl.errors import SourceUnreachableError, UsageError
from celeryctl.local import choose
from celeryctl.local.choose import Choice
from celeryctl.pipeline.context import Context

pytestmark = pytest.mark.integration

NAMES = ("users", "addresses", "credit_cards")
DATABASE = {"DATABASE_URL": "postgresql://me@127.0.0.1:1/app", "CARD_ENCRYPTION_KEYS": KEY}
Make = Callable[..., Context]


@pytest.fixture
def server() -> Iterator[FaultServer]:
    """Three sources that answer."""
    with FaultServer() as server:
        for name in NAMES:
            server.answer(f"/{name}", Reply.json([{"id": 1}]))
        yield server


@pytest.fixture
def context(server: FaultServer) -> Make:
    """A context whose sources lie on that server, as defaults that nobody has set."""

    def make(**flags: str) -> Context:
        found = Context.read({"ALLOW_PRIVATE_SOURCES": "1", **flags})
        urls = {name: replace(found.settings.sources[name], url=f"{server.url}/{name}") for name in NAMES}
        return replace(found, settings=replace(found.settings, sources={**found.settings.sources, **urls}))

    return make


@pytest.mark.parametrize("flags", [{}, DATABASE])
def test_auto_is_live_where_all_answer_and_asks_each_for_one_record(
    server: FaultServer, context: Make, flags: dict[str, str]
) -> None:
    assert choose.choose(context(**flags), "auto") == Choice("live")
    asked = {request.path: request.query for request in server.requests}
    assert asked == {"/users": {"_page": "1", "_limit": "1"}, "/addresses": {}, "/credit_cards": {}}


@pytest.mark.parametrize(
    "answer", [Reply(503), Reply.text("Retry later"), Reply.close(), Reply.json({}, status=404)], ids=str
)
def test_auto_is_local_where_one_is_away_and_names_it(server: FaultServer, context: Make, answer: Reply) -> None:
    server.answer("/addresses", answer)
    found = choose.choose(context(), "auto")
    assert found.kind == "local"
    assert [reason.partition(":")[0] for reason in found.silent] == ["addresses"]


def test_one_failure_alone_decides_nothing(server: FaultServer, context: Make) -> None:
    server.answer("/users", Reply(503), Reply.json([{"id": 1}]))
    assert choose.choose(context(), "auto") == Choice("live")


@pytest.mark.slow
def test_a_source_that_keeps_silent_is_not_waited_for(server: FaultServer, context: Make) -> None:
    server.answer("/users", Reply.json([], delay=60))
    found = choose.choose(context(), "auto")
    assert found.kind == "local"
    assert found.silent[0].startswith("users: ")


def test_with_a_database_of_ones_own_auto_never_falls_back(server: FaultServer, context: Make) -> None:
    server.answer("/addresses", Reply(503))
    with pytest.raises(SourceUnreachableError, match="DATABASE_URL is set") as refused:
        choose.choose(context(**DATABASE), "auto")
    assert refused.value.exit_code == 69
    assert "addresses: " in str(refused.value.why)
    assert "s3cret" not in str(refused.value.why)


def test_a_source_that_somebody_has_named_is_taken_though_it_is_away(server: FaultServer, context: Make) -> None:
    server.answer("/addresses", Reply(503))
    assert choose.choose(context(ADDRESSES_URL=f"{server.url}/addresses"), "auto") == Choice("live")
    assert server.requests == []


@pytest.mark.parametrize("wish", ["live", "local"])
def test_a_wish_is_granted_without_asking_anybody(server: FaultServer, context: Make, wish: choose.Wish) -> None:
    assert choose.choose(context(), wish) == Choice(wish)
    assert server.requests == []


def test_local_sources_are_refused_with_a_database_of_ones_own(context: Make) -> None:
    with pytest.raises(UsageError, match="does not go with DATABASE_URL") as refused:
        choose.check(context(**DATABASE), "local")
    assert refused.value.exit_code == 2
    choose.check(context(**DATABASE), "auto")
    choose.check(context(), "local")
