"""The table of users, on which every other data set hangs."""

import peewee

from celeryctl.storage.row import Record


class User(Record):
    """``external_id`` is the source's id: names and addresses change upstream, it does not."""

    external_id = peewee.BigIntegerField(unique=True)
    name = peewee.TextField()
    username = peewee.TextField()
    email = peewee.TextField()
    phone = peewee.TextField(null=True)
    website = peewee.TextField(null=True)
    company_name = peewee.TextField(null=True)
    company_catchphrase = peewee.TextField(null=True)
    company_bs = peewee.TextField(null=True)

    class Meta:
        table_name = "users"
