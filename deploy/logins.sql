-- A login for each role of deploy/roles.sql, as docker-compose.yml uses them: <prefix>_migrate, _work and _look. After
-- roles.sql, by a superuser, again and again; the passwords that the environment holds are the valid ones from then on.

\set ON_ERROR_STOP on
\if :{?prefix}
\else
  \set prefix celeryctl
\endif
\getenv owner_password POSTGRES_OWNER_PASSWORD
\getenv writer_password POSTGRES_WRITER_PASSWORD
\getenv reader_password POSTGRES_READER_PASSWORD
SELECT :'prefix' || '_owner' AS owner, :'prefix' || '_writer' AS writer, :'prefix' || '_reader' AS reader,
  :'prefix' || '_migrate' AS migrate, :'prefix' || '_work' AS work, :'prefix' || '_look' AS look \gset

BEGIN;
-- Whatever the server logs otherwise: no password.
SET LOCAL log_statement = 'none';
SET LOCAL log_min_duration_statement = -1;
SET LOCAL log_min_error_statement = 'panic';
SET LOCAL client_min_messages = warning;
SET LOCAL password_encryption = 'scram-sha-256';

SELECT format('CREATE ROLE %I LOGIN', name) FROM unnest(ARRAY[:'migrate', :'work', :'look']) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec
GRANT :"owner" TO :"migrate";
GRANT :"writer" TO :"work";
GRANT :"reader" TO :"look";
-- What it makes is the owner's.
ALTER ROLE :"migrate" SET role = :'owner';
ALTER ROLE :"migrate" PASSWORD :'owner_password';
ALTER ROLE :"work" PASSWORD :'writer_password';
ALTER ROLE :"look" PASSWORD :'reader_password';
COMMIT;
