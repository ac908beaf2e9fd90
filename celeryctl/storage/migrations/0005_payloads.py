"""What rejected records looked like."""

from peewee import Database


def up(migrator: object, db: Database) -> None:  # noqa: ARG001 - the runner's signature
    # Not jsonb: a source may send what that does not take, such as a NUL character or half a character.
    db.execute_sql("ALTER TABLE misses ADD payload json")  # type: ignore[no-untyped-call]
