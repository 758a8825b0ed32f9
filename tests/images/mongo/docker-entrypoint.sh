#!/usr/bin/env bash
# As the official image's entrypoint is documented, apart from MONGO_INITDB_*, which mngdb does not
# use: options make a mongod command, and root gives its rights up.
set -Eeo pipefail
case "${1:-}" in -*) set -- mongod "$@" ;; esac
if [ "$1" = mongod ] && [ "$(id -u)" = 0 ]; then
    find /data/configdb /data/db ! -user mongodb -exec chown mongodb '{}' +
    exec setpriv --reuid=mongodb --regid=mongodb --clear-groups "${BASH_SOURCE[0]}" "$@"
fi
exec "$@"
