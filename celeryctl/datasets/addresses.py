"""One postal address for every user, drawn from Random Data API."""

from datetime import timedelta
from typing import Any

from msgspec import defstruct
from peewee import ForeignKeyField, TextField

from celeryctl import Dataset, Row, Source, User


class Address(Row):
    user = ForeignKeyField(User, backref="addresses", unique=True, on_delete="CASCADE")
    street_number, street_name = TextField(), TextField()
    city, state, country, postal_code = TextField(), TextField(), TextField(), TextField()

    class Meta:
        table_name = "addresses"


COPIED = ("street_name", "city", "state", "country")
CODES = ("postcode", "zip_code", "zip")  # three codes that differ from each other; the first present counts
Record = defstruct("Record", [(name, str | None, None) for name in ("building_number", *COPIED, *CODES)])


def to_row(record: Any) -> dict[str, Any]:
    code = next(filter(None, (getattr(record, name) for name in CODES)), None)
    return {name: getattr(record, name) for name in COPIED} | {
        "street_number": record.building_number,
        "postal_code": code,
    }


DATASET = Dataset(
    name="addresses",
    help="One postal address for every user.",
    model=Address,
    record=Record,
    to_row=to_row,
    source=Source.draw("https://random-data-api.com/api/address/random_address", size="size", most=100),
    every=timedelta(minutes=10),
    per="users",
)
