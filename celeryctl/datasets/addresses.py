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


NAMES = ("building_number", "street_name", "city", "state", "country", "postcode", "zip_code", "zip")
Record = defstruct("Record", [(name, str | None, None) for name in NAMES])


def to_row(record: Any) -> dict[str, Any]:
    # The three codes differ from each other; the first present counts.
    code = record.postcode or record.zip_code or record.zip
    place = {"street_name": record.street_name, "city": record.city, "state": record.state, "country": record.country}
    return {"street_number": record.building_number, "postal_code": code, **place}


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
