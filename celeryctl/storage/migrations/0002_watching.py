"""What watching needs: counters instead of scans, rates, who holds a batch, beats, notifications, pauses."""

from peewee import Database

# Doubled percent signs: the driver takes a single one for a parameter.
STATEMENTS = """
-- In several shards: whoever writes holds the row of its shard until it commits, and keeps few others waiting.
CREATE TABLE counts (
  table_name text NOT NULL, shard integer NOT NULL, rows bigint NOT NULL, PRIMARY KEY (table_name, shard));
CREATE TABLE datasets (
  name text PRIMARY KEY, absent bigint NOT NULL DEFAULT 0, quarantined bigint NOT NULL DEFAULT 0,
  paused boolean NOT NULL DEFAULT false);

CREATE TABLE rates (
  dataset text NOT NULL, slot integer NOT NULL, bucket timestamptz NOT NULL, rows bigint NOT NULL,
  PRIMARY KEY (dataset, slot));

CREATE TABLE beats (name text PRIMARY KEY, seen_at timestamptz NOT NULL, active boolean NOT NULL);

ALTER TABLE batches ADD holder text, ADD task_id text;
ALTER TABLE workers ADD skew double precision;
ALTER TABLE sources ADD latency double precision;
CREATE INDEX runs_started_at ON runs (started_at DESC);
CREATE INDEX runs_finished_at ON runs (finished_at);

ALTER TABLE misses ADD user_id bigint REFERENCES users ON DELETE CASCADE;
-- Only what hangs on users knows the outcome none; of other people's data sets nothing else can be told here.
UPDATE misses m SET user_id = u.id FROM users u
WHERE m.key = u.id::text AND (m.dataset IN ('addresses', 'credit_cards') OR m.outcome = 'none');
DELETE FROM misses WHERE outcome = 'none' AND user_id IS NULL;
CREATE INDEX misses_user_id ON misses (user_id);
ALTER TABLE misses DROP CONSTRAINT misses_outcome_check;
ALTER TABLE misses ADD CONSTRAINT misses_outcome_check CHECK (outcome IN ('rejected', 'failed', 'none', 'gone'));

CREATE FUNCTION count_rows() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  changed bigint;
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    DELETE FROM counts WHERE table_name = TG_TABLE_NAME;
    RETURN NULL;
  ELSIF TG_OP = 'INSERT' THEN
    SELECT count(*) INTO changed FROM added;
  ELSE
    SELECT -count(*) INTO changed FROM removed;
  END IF;
  IF changed <> 0 THEN
    INSERT INTO counts AS c (table_name, shard, rows) VALUES (TG_TABLE_NAME, pg_backend_pid() %% 32, changed)
    ON CONFLICT (table_name, shard) DO UPDATE SET rows = c.rows + changed;
  END IF;
  RETURN NULL;
END $$;

-- Creating a trigger keeps writers out until the end of the transaction, so the first count is right.
CREATE FUNCTION count_table(counted regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('CREATE OR REPLACE TRIGGER rows_added AFTER INSERT ON %%s REFERENCING NEW TABLE AS added
                  FOR EACH STATEMENT EXECUTE FUNCTION count_rows()', counted);
  EXECUTE format('CREATE OR REPLACE TRIGGER rows_removed AFTER DELETE ON %%s REFERENCING OLD TABLE AS removed
                  FOR EACH STATEMENT EXECUTE FUNCTION count_rows()', counted);
  EXECUTE format('CREATE OR REPLACE TRIGGER rows_emptied AFTER TRUNCATE ON %%s
                  EXECUTE FUNCTION count_rows()', counted);
  DELETE FROM counts c USING pg_class p WHERE p.oid = counted AND c.table_name = p.relname;
  EXECUTE format('INSERT INTO counts SELECT relname, 0, (SELECT count(*) FROM %%s) FROM pg_class WHERE oid = $1',
                 counted) USING counted;
END $$;

CREATE FUNCTION count_misses() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    UPDATE datasets SET absent = 0, quarantined = 0;
  ELSE
    IF TG_OP <> 'INSERT' THEN
      UPDATE datasets d SET absent = d.absent - c.absent, quarantined = d.quarantined - c.quarantined
      FROM (SELECT dataset, count(*) FILTER (WHERE outcome = 'none') AS absent,
                   count(*) FILTER (WHERE outcome IN ('rejected', 'failed')) AS quarantined
            FROM before GROUP BY dataset) c
      WHERE d.name = c.dataset;
    END IF;
    IF TG_OP <> 'DELETE' THEN
      INSERT INTO datasets AS d (name, absent, quarantined)
      SELECT dataset, count(*) FILTER (WHERE outcome = 'none'),
             count(*) FILTER (WHERE outcome IN ('rejected', 'failed')) FROM after GROUP BY dataset
      ON CONFLICT (name) DO UPDATE
      SET absent = d.absent + excluded.absent, quarantined = d.quarantined + excluded.quarantined;
    END IF;
  END IF;
  RETURN NULL;
END $$;

CREATE FUNCTION tell_run() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('celeryctl', json_build_object('run', NEW.id, 'dataset', NEW.dataset, 'status', NEW.status)::text);
  RETURN NULL;
END $$;

CREATE FUNCTION tell_batch() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  batch batches := CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
  what text := CASE WHEN TG_OP = 'DELETE' THEN 'done' WHEN TG_OP = 'INSERT' THEN 'planned'
                    WHEN NEW.token IS NULL THEN 'released' ELSE 'claimed' END;
BEGIN
  PERFORM pg_notify('celeryctl', json_build_object(
    'batch', batch.id, 'run', batch.run_id, 'lo', batch.lo, 'hi', batch.hi, 'what', what,
    'holder', left(batch.holder, 200), 'task_id', left(batch.task_id, 200))::text);
  RETURN NULL;
END $$;

CREATE TRIGGER misses_added AFTER INSERT ON misses REFERENCING NEW TABLE AS after
  FOR EACH STATEMENT EXECUTE FUNCTION count_misses();
CREATE TRIGGER misses_changed AFTER UPDATE ON misses REFERENCING OLD TABLE AS before NEW TABLE AS after
  FOR EACH STATEMENT EXECUTE FUNCTION count_misses();
CREATE TRIGGER misses_removed AFTER DELETE ON misses REFERENCING OLD TABLE AS before
  FOR EACH STATEMENT EXECUTE FUNCTION count_misses();
CREATE TRIGGER misses_emptied AFTER TRUNCATE ON misses EXECUTE FUNCTION count_misses();

CREATE TRIGGER runs_told AFTER INSERT OR UPDATE ON runs FOR EACH ROW EXECUTE FUNCTION tell_run();
CREATE TRIGGER batches_told AFTER INSERT OR DELETE ON batches FOR EACH ROW EXECUTE FUNCTION tell_batch();
CREATE TRIGGER batches_claimed AFTER UPDATE ON batches FOR EACH ROW
  WHEN (NEW.token IS DISTINCT FROM OLD.token) EXECUTE FUNCTION tell_batch();

SELECT count_table(name::regclass) FROM unnest(ARRAY['users', 'addresses', 'credit_cards']) AS name;
INSERT INTO datasets (name, absent, quarantined)
SELECT dataset, count(*) FILTER (WHERE outcome = 'none'), count(*) FILTER (WHERE outcome IN ('rejected', 'failed'))
FROM misses GROUP BY dataset;
"""


def up(migrator: object, db: Database) -> None:  # noqa: ARG001 - the runner's signature
    db.execute_sql(STATEMENTS)  # type: ignore[no-untyped-call]
