-- Roles with no more rights than they need, in the database of psql's connection. It is to be celeryctl's own.
--
--   psql -f deploy/roles.sql postgresql://postgres@host/celeryapp      (an administrator; again and again, if need be)
--
--   celeryctl_owner    owns the tables, makes and changes them: init-db
--   celeryctl_writer   works: worker, beat, fetch, seed, cancel, failed --retry, schedule, prune, keys rotate,
--                      users show --reveal. It may add to the table `reveals`, not change what is in it
--   celeryctl_reader   looks: stats, users, runs, why, failed, schedule, keys status, tail, wait, doctor. Card
--                      numbers it gets as they lie there, encrypted: without the card keys not even their last four
--
-- None of them can log in. Give each use a login of its own, and its URL to what uses it:
--
--   CREATE ROLE migrate LOGIN IN ROLE celeryctl_owner;
--   ALTER ROLE migrate SET role = celeryctl_owner;         -- what it makes is the owner's, then all else follows
--   CREATE ROLE work LOGIN IN ROLE celeryctl_writer;       -- one for all beats: only then one relieves another
--   CREATE ROLE look LOGIN IN ROLE celeryctl_reader;
--   \password migrate
--
-- Roles belong to the whole server. Where it has two such databases, name the roles of one otherwise, such as with
-- `-v prefix=staging`. What was there before is handed over to the owner; the application that celeryctl replaces is
-- taken over first.

\set ON_ERROR_STOP on
\if :{?prefix}
\else
  \set prefix celeryctl
\endif
SELECT current_database() AS database, :'prefix' || '_owner' AS owner, :'prefix' || '_writer' AS writer,
  :'prefix' || '_reader' AS reader \gset

BEGIN;
SET LOCAL client_min_messages = warning;

SELECT format('CREATE ROLE %I NOLOGIN', name) FROM unnest(ARRAY[:'owner', :'writer', :'reader']) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec
-- An administrator who is no superuser can only give away as a member.
SELECT format('GRANT %I TO CURRENT_USER', :'owner') FROM pg_roles WHERE rolname = current_user AND NOT rolsuper \gexec

-- A bulk write stages its rows in a temporary table. A schema of its own holds old tables while they are taken over.
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
GRANT CONNECT, TEMPORARY, CREATE ON DATABASE :"database" TO :"owner";
GRANT CONNECT, TEMPORARY ON DATABASE :"database" TO :"writer";
GRANT CONNECT ON DATABASE :"database" TO :"reader";

-- Before PostgreSQL 15 everybody could make tables there, and on a server that was upgraded still can.
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO :"owner";
GRANT USAGE ON SCHEMA public TO :"writer", :"reader";

-- What belongs to whoever has migrated so far, and what is celeryctl's whoever made it: its own tables, those of data
-- sets by the trigger that counts their rows. Not what extensions brought; sequences of columns go with their tables.
CREATE TEMPORARY TABLE handed_over ON COMMIT DROP AS
SELECT c.oid FROM pg_class c JOIN pg_class history ON history.oid = to_regclass('public.celeryctl_migrations')
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'S', 'v', 'm')
  AND (c.relowner = history.relowner OR starts_with(c.relname, 'celeryctl_migrations')
       OR c.relname IN ('runs', 'batches', 'tokens', 'misses', 'workers', 'sources', 'beats', 'counts', 'datasets',
                        'rates', 'readings', 'dead_letters', 'reveals', 'totals')
       OR EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = 'rows_added'
                  AND t.tgfoid = to_regproc('public.count_rows')))
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                  AND (d.deptype = 'e' OR c.relkind = 'S' AND d.deptype IN ('a', 'i')))
UNION ALL SELECT p.oid FROM pg_proc p JOIN pg_class history ON history.oid = to_regclass('public.celeryctl_migrations')
WHERE p.pronamespace = 'public'::regnamespace AND p.proowner = history.relowner
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
                  AND d.deptype = 'e');
-- What is the owner's already is left alone: to hand it over again would wait for whoever works with it.
SELECT format('ALTER TABLE %s OWNER TO %I', oid::regclass, :'owner') FROM pg_class JOIN handed_over USING (oid)
WHERE relowner <> quote_ident(:'owner')::regrole
UNION ALL
SELECT format('ALTER ROUTINE %s OWNER TO %I', oid::regprocedure, :'owner') FROM pg_proc JOIN handed_over USING (oid)
\gexec

-- What is there, and what later migrations and further data sets make. To `reveals` a writer only adds, at the present
-- time and in its own name, and the history of migrations is the owner's alone: what the rules for later tables give
-- too much of, `init-db` takes back, and this where no `init-db` has come that far.
CREATE TEMPORARY VIEW ours AS SELECT oid, relname, relkind,
  relkind = 'r' AND (relname = 'reveals' OR starts_with(relname, 'celeryctl_migrations')) AS kept
FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relowner = quote_ident(:'owner')::regrole
  AND relkind IN ('r', 'p', 'v', 'm', 'S');
SELECT format('REVOKE INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER ON %s FROM PUBLIC, %I, %I CASCADE', oid::regclass,
              :'writer', :'reader')
FROM ours WHERE kept \gexec
SELECT format('GRANT SELECT ON %s TO %I, %I', oid::regclass, :'writer', :'reader'),
  CASE WHEN NOT kept THEN format('GRANT INSERT, UPDATE, DELETE ON %s TO %I', oid::regclass, :'writer') END,
  CASE relname WHEN 'reveals' THEN format('GRANT INSERT (user_id, who, host) ON reveals TO %I', :'writer') END
FROM ours WHERE relkind <> 'S' \gexec
SELECT format('GRANT USAGE ON SEQUENCE %s TO %I', oid::regclass, :'writer') FROM ours WHERE relkind = 'S' \gexec
DROP VIEW ours;
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO :"writer";
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" IN SCHEMA public GRANT USAGE ON SEQUENCES TO :"writer";
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" IN SCHEMA public GRANT SELECT ON TABLES TO :"reader";

-- Of what an administrator may not do, PostgreSQL only warns. Nothing stays that secures half of it.
SELECT format('DO %L', format('BEGIN RAISE EXCEPTION USING MESSAGE = %L, HINT = %L; END',
  'nothing was changed: ' || string_agg(what, ', '),
  'Run this as a superuser, or as the owner of the database and of the schema public.'))
FROM (VALUES
  (has_database_privilege('public', :'database', 'CONNECT'), 'everybody may still connect to ' || :'database'),
  (has_schema_privilege('public', 'public', 'CREATE'), 'everybody may still create tables in the schema public'),
  (NOT has_database_privilege(:'owner', :'database', 'CREATE'), :'owner' || ' may not create schemas'),
  (NOT has_schema_privilege(:'owner', 'public', 'CREATE'), :'owner' || ' may not create tables in the schema public'),
  (NOT has_database_privilege(:'writer', :'database', 'TEMPORARY'), :'writer' || ' may not stage rows'),
  (NOT has_schema_privilege(:'reader', 'public', 'USAGE'), :'reader' || ' may not look into the schema public')
) AS found (wrong, what) WHERE wrong HAVING count(*) > 0 \gexec

COMMIT;
