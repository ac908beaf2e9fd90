"""Which key every worker seals with."""

from peewee import Database


def up(migrator: object, db: Database) -> None:  # noqa: ARG001 - the runner's signature
    db.execute_sql("ALTER TABLE workers ADD key_id text")  # type: ignore[no-untyped-call]
