"""One credit card for every user, its number encrypted, drawn from Random Data API."""

import re
from datetime import timedelta
from typing import Any

from msgspec import Struct
from peewee import ForeignKeyField, TextField

from celeryctl import Dataset, Row, Source, User
from celeryctl.ages import is_day
from celeryctl.storage.row import EncryptedField

DAY = re.compile(r"\d{4}-\d{2}-\d{2}(?!\d)", re.ASCII)


class CreditCard(Row):
    user = ForeignKeyField(User, backref="credit_cards", unique=True, on_delete="CASCADE")
    card_number, card_type, expiry_date = EncryptedField(), TextField(), TextField()

    class Meta:
        table_name = "credit_cards"


class Record(Struct, rename="credit_{}".format):
    card_number: str | None = None
    card_type: str | None = None
    card_expiry_date: str | None = None


def to_row(record: Record) -> dict[str, Any]:
    kind, expiry = record.card_type or "", record.card_expiry_date or ""
    if len(kind) > 12 or not is_day(expiry):  # a source may mix up its fields, and a number has 13 digits or more
        if max(sum(map(str.isdigit, text)) for text in (kind, DAY.sub("", expiry))) > 12:
            raise ValueError("credit_card_type or credit_card_expiry_date holds as many digits as a card number")
        if DAY.match(expiry) and not is_day(expiry[:10]):
            raise ValueError("credit_card_expiry_date is no day of the calendar")
    return {"card_number": record.card_number, "card_type": record.card_type, "expiry_date": record.card_expiry_date}


DATASET = Dataset(
    name="credit_cards", help="One credit card for every user.", model=CreditCard, record=Record, to_row=to_row,
    source=Source.draw("https://random-data-api.com/api/business_credit_card/random_card", size="size", most=100),
    every=timedelta(minutes=15), per="users",
)  # fmt: skip
