#!/bin/bash
# What the official image does at its start, for the variables that it documents: a first server, on the socket alone,
# makes the database and runs /docker-entrypoint-initdb.d; then the real one takes over.
set -euo pipefail

# A value, or what stands in the file that NAME_FILE names.
given() {
  local file="$1_FILE"
  if [ -n "${!file:-}" ]; then cat "${!file}"; else printf %s "${!1:-$2}"; fi
}

run_file() {
  echo "$0: running $1"
  case "$1" in
    *.sh) if [ -x "$1" ]; then "$1"; else . "$1"; fi ;;
    *.sql) psql --no-psqlrc -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" -f "$1" ;;
  esac
}

[ "$1" = postgres ] || exec "$@"
if [ "$(id -u)" = 0 ]; then
  mkdir -p "$PGDATA" && chmod 700 "$PGDATA"
  find "$PGDATA" /var/run/postgresql \! -user postgres -exec chown postgres {} +
  exec setpriv --reuid=postgres --regid=postgres --init-groups -- "$0" "$@"
fi
options=(-c "listen_addresses=*" -c unix_socket_directories=/var/run/postgresql)
if ! [ -s "$PGDATA/PG_VERSION" ]; then
  export POSTGRES_USER POSTGRES_DB
  POSTGRES_USER=$(given POSTGRES_USER postgres)
  POSTGRES_DB=$(given POSTGRES_DB "$POSTGRES_USER")
  password=$(given POSTGRES_PASSWORD "")
  [ -n "$password" ] || { echo "POSTGRES_PASSWORD is not set" >&2; exit 1; }
  eval "initdb --username=\"\$POSTGRES_USER\" --pwfile=<(printf '%s\n' \"\$password\") $(given POSTGRES_INITDB_ARGS "")"
  printf '\nhost all all all scram-sha-256\n' >>"$PGDATA/pg_hba.conf"
  export PGPASSWORD=$password
  pg_ctl -w start -o "-c listen_addresses='' -c unix_socket_directories=/var/run/postgresql"
  if [ "$POSTGRES_DB" != postgres ]; then
    printf 'CREATE DATABASE :"db";' | psql -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d postgres -v db="$POSTGRES_DB"
  fi
  for file in /docker-entrypoint-initdb.d/*; do if [ -e "$file" ]; then run_file "$file"; fi; done
  pg_ctl -m fast -w stop
  unset PGPASSWORD
  echo "PostgreSQL init process complete; ready for start up."
fi
exec "$@" "${options[@]}"
