"""How fast rows came in during the last minutes: a ring of counters for every data set."""

from celeryctl.storage.database import database

BUCKET = 10  # seconds
SLOTS = 60  # ten minutes; then a slot is used again

COUNT = """
INSERT INTO rates AS r (dataset, slot, bucket, rows)
SELECT %(dataset)s, n %% %(slots)s, to_timestamp(n * %(bucket)s), %(rows)s
FROM (SELECT floor(extract(epoch FROM clock_timestamp()) / %(bucket)s)::bigint AS n) AS now
ON CONFLICT (dataset, slot) DO UPDATE
SET rows = excluded.rows + CASE WHEN r.bucket = excluded.bucket THEN r.rows ELSE 0 END, bucket = excluded.bucket
"""


def count(dataset: str, rows: int) -> None:
    """Add rows that were stored, or found unchanged, to the counter of this moment."""
    database.execute_sql(COUNT, {"dataset": dataset, "rows": rows, "bucket": BUCKET, "slots": SLOTS})
