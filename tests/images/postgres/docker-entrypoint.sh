#!/usr/bin/env bash
# As the official image's entrypoint is documented: NAME or NAME_FILE, initdb into an empty PGDATA,
# a server on its socket alone for the first scripts, and root gives its rights up.
set -Eeo pipefail

file_env() { # NAME [DEFAULT]
    local file="$1_FILE"
    if [ "${!1:-}" ] && [ "${!file:-}" ]; then
        echo >&2 "error: both $1 and $file are set (but are exclusive)"
        exit 1
    fi
    local value="${2:-}"
    [ "${!1:-}" ] && value="${!1}"
    [ "${!file:-}" ] && value="$(<"${!file}")"
    export "$1"="$value"
    unset "$file"
}

case "${1:-}" in -*) set -- postgres "$@" ;; esac
if [ "$1" = postgres ]; then
    if [ "$(id -u)" = 0 ]; then
        mkdir -p "$PGDATA" /var/run/postgresql
        chmod 00700 "$PGDATA" || :
        chmod 03775 /var/run/postgresql || :
        find "$PGDATA" ! -user postgres -exec chown postgres '{}' +
        find /var/run/postgresql ! -user postgres -exec chown postgres '{}' +
        exec setpriv --reuid=postgres --regid=postgres --init-groups "${BASH_SOURCE[0]}" "$@"
    fi
    mkdir -p "$PGDATA"
    chmod 00700 "$PGDATA" || :
    file_env POSTGRES_PASSWORD
    file_env POSTGRES_USER postgres
    file_env POSTGRES_DB "$POSTGRES_USER"
    file_env POSTGRES_INITDB_ARGS
    : "${POSTGRES_HOST_AUTH_METHOD:=scram-sha-256}"
    if [ ! -s "$PGDATA/PG_VERSION" ]; then
        if [ -z "$POSTGRES_PASSWORD" ] && [ "$POSTGRES_HOST_AUTH_METHOD" != trust ]; then
            echo >&2 "Error: Database is uninitialized and superuser password is not specified."
            exit 1
        fi
        ls /docker-entrypoint-initdb.d/ >/dev/null
        eval 'initdb --username="$POSTGRES_USER" --pwfile=<(printf "%s\n" "$POSTGRES_PASSWORD") '"$POSTGRES_INITDB_ARGS"
        printf '\nhost all all all %s\n' "$POSTGRES_HOST_AUTH_METHOD" >>"$PGDATA/pg_hba.conf"
        # the first server is not reachable over TCP
        PGUSER="$POSTGRES_USER" pg_ctl -D "$PGDATA" \
            -o "$(printf '%q ' "${@:2}" -c listen_addresses= -p "${PGPORT:-5432}")" -w start
        sql() { psql -v ON_ERROR_STOP=1 --no-password --no-psqlrc --username "$POSTGRES_USER" "$@"; }
        if [ "$POSTGRES_DB" != postgres ]; then
            sql --dbname postgres --set db="$POSTGRES_DB" <<<'CREATE DATABASE :"db";'
        fi
        for f in /docker-entrypoint-initdb.d/*; do
            case "$f" in
            *.sh) if [ -x "$f" ]; then "$f"; else . "$f"; fi ;;
            *.sql) sql --dbname "$POSTGRES_DB" -f "$f" ;;
            esac
        done
        PGUSER="$POSTGRES_USER" pg_ctl -D "$PGDATA" -m fast -w stop
        unset PGPASSWORD
        echo 'PostgreSQL init process complete; ready for start up.'
    else
        echo 'PostgreSQL Database directory appears to contain a database; Skipping initialization'
    fi
fi
exec "$@"
