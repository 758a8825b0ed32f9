#!/bin/sh
# As the official image's entrypoint is documented: options and files make a redis-server command,
# root gives its rights up, and what the server writes is its own.
set -e
case "$1" in -* | *.conf) set -- redis-server "$@" ;; esac
if [ "$1" = redis-server ] && [ "$(id -u)" = 0 ]; then
    find . ! -user redis -exec chown redis '{}' +
    exec setpriv --reuid=redis --regid=redis --clear-groups "$0" "$@"
fi
[ "$(umask)" = 0022 ] && umask 0077
if [ "$1" = redis-server ] && ! printf '%s\n' "$@" | grep -q '\.conf$\|protected-mode'; then
    set -- "$@" --protected-mode no # the official build's default
fi
exec "$@"
