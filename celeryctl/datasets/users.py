"""Users, as JSONPlaceholder lists them."""

from datetime import timedelta
from typing import Annotated, Any

from msgspec import Meta, Struct

from celeryctl import Dataset, Source, User


class Company(Struct):
    name: str | None = None
    catchPhrase: str | None = None  # noqa: N815 - the source's spelling
    bs: str | None = None


class Record(Struct):
    id: Annotated[int, Meta(ge=0, le=2**63 - 1)]  # what a bigint holds
    name: str | None = None
    username: str | None = None
    email: str | None = None
    phone: str | None = None
    website: str | None = None
    company: Company | None = None


def to_row(record: Record) -> dict[str, Any]:
    company = record.company or Company()
    return {
        "external_id": record.id,
        "name": record.name,
        "username": record.username,
        "email": record.email,
        "phone": record.phone,
        "website": record.website,
        "company_name": company.name,
        "company_catchphrase": company.catchPhrase,
        "company_bs": company.bs,
    }


DATASET = Dataset(
    name="users", help="The users themselves.", model=User, record=Record, to_row=to_row, every=timedelta(minutes=5),
    source=Source.listing("https://jsonplaceholder.typicode.com/users", page="_page", size="_limit", page_size=1000),
)  # fmt: skip
