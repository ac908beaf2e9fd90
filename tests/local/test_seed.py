import pytest
from servers import KEY

from celeryctl import services
from celeryctl.local import seed
from celeryctl.pipeline.context import Context
from celeryctl.services import AddressService, CreditCardService, UserService
from celeryctl.storage import database as db
from celeryctl.storage import runs, totals
from celeryctl.storage.ledger import Batch, Run
from celeryctl.storage.user import User

pytestmark = pytest.mark.integration


def sow(url: str, count: int, number: int = 0) -> list[Run]:
    """Seed, and return the runs."""
    context = Context.read({"DATABASE_URL": url, "CARD_ENCRYPTION_KEYS": KEY, "BATCH_SIZE": "100"})
    context.connect()
    services.use(context)
    return seed.sow(context, count=count, seed=number, progress=lambda run: None)


def everything() -> list[object]:
    """All that a person can see, without the times and the ids."""
    hidden = {"id", "user_id", "created_at", "updated_at", "fetched_at"}
    users = UserService.get_all_users(limit=1000)
    rows = [(one, AddressService.get_addresses_by_user_id(one["id"]),
             CreditCardService.get_credit_cards_by_user_id(one["id"], reveal=True)) for one in users]  # fmt: skip
    return [
        [{name: value for name, value in row.items() if name not in hidden} for row in (user, *addresses, *cards)]
        for user, addresses, cards in rows
    ]


def test_every_user_gets_an_address_and_a_card(database_url: str) -> None:
    ended = sow(database_url, 250)
    assert [(run.dataset, run.trigger, run.status, run.created) for run in ended] == [
        (name, "seed", "succeeded", 250) for name in ("users", "addresses", "credit_cards")
    ]
    assert [len(one) for one in everything()] == [3] * 250
    with db.session():
        assert {name: one.counts("rows", ["created"]) for name, one in totals.read().items()} == {
            run.dataset: {"created": 250} for run in ended
        }


def test_the_first_ten_are_those_of_jsonplaceholder(database_url: str) -> None:
    sow(database_url, 10)
    names = [user["name"] for user in UserService.get_all_users()]
    assert (names[0], names[-1], len(names)) == ("Leanne Graham", "Clementina DuBuque", 10)


def test_the_same_number_gives_the_same_people_and_another_number_others(database_url: str) -> None:
    sow(database_url, 20, 7)
    first = everything()
    assert [run.created for run in sow(database_url, 20, 7)] == [0, 0, 0]
    assert everything() == first
    with db.session():
        User.delete().execute()
    sow(database_url, 20, 8)
    others = everything()
    assert not [user for user, *_ in others if user in [known for known, *_ in first]]
    assert [rest for _, *rest in others] != [rest for _, *rest in first]
    with db.session():
        User.delete().execute()
    sow(database_url, 20, 7)
    assert everything() == first


def test_more_are_added_to_those_that_are_there(database_url: str) -> None:
    sow(database_url, 5)
    few = everything()
    assert [run.created for run in sow(database_url, 12)] == [7, 7, 7]
    assert everything()[:5] == few
    assert [run.created for run in sow(database_url, 3)] == [0, 0, 0]
    assert len(everything()) == 12


def test_it_has_no_part_in_a_run_that_is_under_way(database_url: str) -> None:
    context = Context.read({"DATABASE_URL": database_url, "CARD_ENCRYPTION_KEYS": KEY})
    context.connect()
    opened = context.pipeline().open(runs.Order(dataset="users", trigger="beat"))
    assert opened is not None
    assert [run.created for run in sow(database_url, 5)] == [5, 5, 5]
    with db.session():
        live = Run.get_by_id(opened.run.id)
        assert (live.status, live.created, Batch.select().where(Batch.run == live).count()) == ("running", 0, 1)
        assert Batch.select().count() == 1


def test_what_was_stored_before_an_interrupt_stays_and_the_next_goes_on(database_url: str) -> None:
    def interrupt(run: Run) -> None:
        if run.dataset == "addresses":
            raise KeyboardInterrupt

    context = Context.read({"DATABASE_URL": database_url, "CARD_ENCRYPTION_KEYS": KEY, "BATCH_SIZE": "10"})
    context.connect()
    with pytest.raises(KeyboardInterrupt):
        seed.sow(context, count=30, seed=1, progress=interrupt)
    with db.session():
        assert not Batch.select().exists()
        assert [run.dataset for run in Run.select()] == ["users"]
    assert [run.created for run in sow(database_url, 30, 1)] == [0, 20, 30]


def test_many_users_cross_the_borders_of_batches(database_url: str) -> None:
    assert [run.created for run in sow(database_url, 1203)] == [1203] * 3
    with db.session():
        ids = [user.external_id for user in User.select(User.external_id).order_by(User.external_id)]
    assert ids == list(range(1, 1204))
