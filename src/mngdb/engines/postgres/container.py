"""PostgreSQL in its official image."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

from mngdb.container import SECRETS, Container, Exporter, read_secret, secret_path
from mngdb.engines.postgres import render
from mngdb.model import DesiredInstance, Unit
from mngdb.spec.agent import MONITOR
from mngdb.spec.engine_info import POSTGRES
from mngdb.spec.postgres import PostgresGrant
from mngdb.spec.several import named

if TYPE_CHECKING:
    from mngdb.engines.postgres.client import Session

_EXPORTER = "prometheuscommunity/postgres-exporter:v0.18.1"
_EXPORTER_USER = 65534
_MB = 1 << 20
#: What the image's entrypoint says to initdb itself, or what does not fit a container.
_NOT_FOR_IMAGE = ("--pgdata", "--username", "--no-sync", "--no-instructions", "--auth-host")
#: Where the image looks for scripts of the first start.
_FIRST = "/docker-entrypoint-initdb.d"
#: The image's entrypoint puts the content of POSTGRES_PASSWORD_FILE into the environment that the
#: server inherits. Only the first start needs it, whose last script forgets it: the entrypoint
#: sources scripts that are not executable.
_START = """\
if [ -s "$PGDATA/PG_VERSION" ]; then unset POSTGRES_PASSWORD_FILE; fi
exec docker-entrypoint.sh "$@"
"""
#: The last way in which commits that wait are set free (`commits.py`): the agent and its guard come
#: here through the Docker engine, which may hang, and starts the server again where neither runs.
#: It goes by reports that no longer come, whatever the clock says that they are sent by. Beside
#: the server, not below it: PostgreSQL takes a child that ends for one of its own that crashed.
_FREE = r"""cat >/tmp/free.sql <<'EOF'
SELECT coalesce(max(reply_time)::text, 'none') AS heard FROM pg_stat_replication
WHERE application_name = {name} \gset
SELECT CASE :'heard' WHEN :'before' THEN :late + 1 ELSE 0 END AS late, :'heard' AS before \gset
SELECT c FROM (VALUES ('ALTER SYSTEM RESET {setting}'), ('SELECT pg_reload_conf()')) t (c)
WHERE :late >= {patience} AND current_setting('{setting}') = {name} \gexec
EOF
(while sleep 1; do
    export PGAPPNAME=mngdb-guard PGHOST={run} PGPORT={port} PGUSER={user} PGDATABASE=postgres
    while echo '\i /tmp/free.sql'; do sleep 1; done | psql -wXq -v before=none -v late=0
done >/dev/null 2>&1 &)
"""
#: Seconds without a report: the guard, which sees more, comes first.
_SILENCE = 7
#: The secret for psql, in memory and gone with the shell: an environment can be looked into.
_PASSFILE = r"""umask 077
file=$(mktemp /tmp/health.XXXXXX) || exit 1
trap 'rm -f "$file"' EXIT
trap 'exit 1' HUP INT TERM
printf '*:*:*:*:%s\n' "$(printf %s "$secret" | sed 's/[:\\]/\\&/g')" >"$file"
"""
#: Databases of apps may carry a search_path that leads to their functions.
_PSQL = "env PGOPTIONS='-c search_path=' psql"
_FORGET = (
    "# The server that starts next has no use for it. Written by mngdb.\nunset POSTGRES_PASSWORD\n"
)


def container(asked: DesiredInstance, unit: Unit, *, first: bool) -> Container:
    """The container of one server. With `first`, the script that makes databases and logins at a
    first start without mngdb is written too: it needs the driver, and it is another one each time
    (verifiers are salted)."""
    name = asked.instance.name
    wanted = render.settings(asked)
    buffers = _mb(wanted["shared_buffers"])
    connections = int(wanted["max_connections"])
    maintenance = 4 * _mb(wanted["maintenance_work_mem"])
    initdb = [word for word in unit.prepare[1:] if not word.startswith(_NOT_FOR_IMAGE)]
    at = asked.instance.spec.port
    port = "" if at == POSTGRES.port else f" -p {at}"
    return Container(
        # shared memory, three autovacuum workers and an index build, sessions, and as much again
        # as shared memory for the files' pages, which are given back under pressure
        memory=(2 * buffers + maintenance + 10 * connections + 256) * _MB,
        processes=connections + 128,
        health=_health(asked),
        entrypoint=("bash", "-c", _start(asked), "start"),
        environment={
            "POSTGRES_USER": render.ADMIN,
            "POSTGRES_DB": "postgres",
            "POSTGRES_PASSWORD_FILE": secret_path(name, "admin"),
            "POSTGRES_INITDB_ARGS": " ".join([*initdb, "--auth-host=scram-sha-256"]),
            "PGDATA": POSTGRES.image.data,
        },
        first={"init_users_dbs.sql": _script(asked), "zz_forget.sh": _FORGET} if first else {},
        first_at=_FIRST,
        tmpfs=("/tmp", POSTGRES.image.run),  # noqa: S108 - the container's own
        shared=max(256 * _MB, buffers * _MB // 8),
        rescue=_rescue(asked),
        exporter=_exporter(asked) if asked.instance.monitored else None,
        prompts=((f"a prompt of {asked.instance.unit}", f"{_PSQL}{port} -U {render.ADMIN}"),),
    )


def _start(asked: DesiredInstance) -> str:
    """The image's start, after what has to be there before it."""
    before = _freed(asked) if asked.instance.recovery_point == "sync" else ""
    if asked.site is not None and asked.tls is not None:
        copy = f"cat {asked.tls.own} >{render.key(asked.site, asked.tls)}"
        before += f"(umask 077 && {copy}) || exit 1\n"
    return before + _START


def _freed(asked: DesiredInstance) -> str:
    return _FREE.format(
        name=render.quote(render.slot(asked)),
        setting=render.AWAITED,
        patience=_SILENCE,
        run=POSTGRES.image.run,
        port=asked.instance.spec.port,
        user=render.ADMIN,
    )


def _mb(value: str) -> int:
    """PostgreSQL's spelling of a size, in MB."""
    match = re.fullmatch(r"(\d+)\s*(kB|MB|GB|TB)?", value)
    if match is None:
        return 128
    factors = {"kB": 1 / 1024, "MB": 1, "GB": 1024, "TB": 1 << 20, None: 8 / 1024}
    return max(1, int(int(match[1]) * factors[match[2]]))


def _health(asked: DesiredInstance) -> str:
    """The image's first server has no TCP, and pg_isready is content without a database."""
    port = asked.instance.spec.port
    grants = asked.instance.granted(PostgresGrant).values()
    there = sorted({*named(grants), "postgres"})
    names = ", ".join(render.quote(name) for name in there)
    found = f"FROM pg_database WHERE datname IN ({names})"
    query = f"SELECT 1 / (count(*) = {len(there)})::int {found}"
    options = f" PGSSLMODE=verify-full PGSSLROOTCERT={asked.tls.ca}" if asked.tls else ""
    return (
        read_secret(asked.instance.name, "admin")
        + _PASSFILE
        + f"export PGPASSFILE=$file PGCONNECT_TIMEOUT=3{options}\n"
        + f"psql -wXAtq -h 127.0.0.1 -p {port} -U {render.ADMIN} -d postgres -f - "
        + f"<<'EOF'\n\\set ON_ERROR_STOP on\n{query};\nEOF\n"
    )


def _script(asked: DesiredInstance) -> str:
    """The very statements that the first `up` would send, as psql takes them."""
    from mngdb.engines.postgres import facts, reconcile
    from mngdb.engines.postgres.script import Script

    script = Script()
    for step in reconcile.reconcile(asked, facts.initial(asked)).steps:
        step.run(cast("Session", script))  # at a first start they only write
    return script.text()


def _rescue(asked: DesiredInstance) -> tuple[tuple[str, ...], str]:
    """The socket inside lets its owner in without a password, so a lost secret can be mended."""
    from mngdb.engines.postgres import scram

    verifier = scram.verifier(asked.secrets["admin"])
    port = str(asked.instance.spec.port)
    psql = ("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", POSTGRES.image.run, "-p", port)
    argv = (*psql, "-U", render.ADMIN, "-d", "postgres", "-f", "-")
    return argv, f"ALTER ROLE {render.ADMIN} PASSWORD {render.quote(verifier)};\n"


def _exporter(asked: DesiredInstance) -> Exporter:
    unit, port = asked.instance.unit, asked.instance.spec.port
    ca = asked.tls.ca if asked.tls else ""
    ssl = f"sslmode=verify-full&sslrootcert={ca}" if ca else "sslmode=disable"
    return Exporter(
        image=_EXPORTER,
        port=POSTGRES.metrics.port,
        user=_EXPORTER_USER,
        # off by default, and two rules read it
        command=("--collector.database_wraparound",),
        environment={
            "DATA_SOURCE_URI": f"{asked.host}:{port}/postgres?{ssl}",
            "DATA_SOURCE_USER": MONITOR,
            "DATA_SOURCE_PASS_FILE": f"{SECRETS}/{unit}-exporter",
        },
        secret=asked.secrets[MONITOR],
        ca=ca,
    )
