"""What a PostgreSQL server tells of its memory, in one round trip with a limit of time.

https://www.postgresql.org/docs/17/runtime-config-resource.html, …/pgbuffercache.html
"""

from __future__ import annotations

from collections.abc import Mapping

from mngdb.engines.postgres.batch import ask_each
from mngdb.engines.postgres.client import Session
from mngdb.errors import UnobservableError
from mngdb.facts.memory import Content
from mngdb.facts.postgres_memory import Backend, PostgresMemory
from mngdb.findings import Seen

#: Seconds for all questions. Going through a large cache takes a part of one.
_PATIENCE = 10.0
_NAMES = (
    "shared_buffers",
    "work_mem",
    "hash_mem_multiplier",
    "maintenance_work_mem",
    "autovacuum_work_mem",
    "autovacuum_max_workers",
    "max_connections",
    "shared_memory_size",
)
_QUESTIONS = {
    "limit": "SET statement_timeout = '8s'",
    "settings": """
SELECT name, CASE WHEN unit ~ '[kM]?B$' AND setting::numeric >= 0
                  THEN setting::numeric * pg_size_bytes(CASE WHEN unit ~ '^[0-9]' THEN unit
                                                             ELSE '1' || unit END)
                  ELSE setting::numeric END::float8 AS value
FROM pg_settings WHERE name IN ('{names}')
""".format(names="', '".join(_NAMES)),
    "huge_pages": "SELECT current_setting('huge_pages_status', true) AS status",
    "backends": """
SELECT pid, backend_type AS kind, coalesce(usename, '') AS app,
       concat_ws(' ', host(client_addr), nullif(application_name, '')) AS client,
       coalesce(state, '') AS state,
       greatest(0, extract(epoch FROM clock_timestamp()
                           - coalesce(state_change, backend_start))) AS seconds
FROM pg_stat_activity WHERE pid <> pg_backend_pid()
""",
    "databases": """
SELECT datname AS name, blks_hit AS hit, blks_read AS read, temp_bytes AS temporary,
       temp_files AS files
FROM pg_stat_database WHERE datname IS NOT NULL AND datname !~ '^template' ORDER BY blks_hit DESC
""",
    "where": """
SELECT quote_ident(n.nspname) AS schema FROM pg_extension e
JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_buffercache'
""",
}
#: By database, and by table or index where this database knows the name.
_CACHED = """
SELECT coalesce(d.datname, 'shared by all') AS database,
       CASE WHEN b.reldatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
            THEN coalesce(c.oid::regclass::text, '') ELSE '' END AS name,
       count(*) * current_setting('block_size')::int8 AS size,
       count(*) FILTER (WHERE b.isdirty) * current_setting('block_size')::int8 AS dirty
FROM {schema}.pg_buffercache b LEFT JOIN pg_database d ON d.oid = b.reldatabase
     LEFT JOIN pg_class c ON pg_relation_filenode(c.oid) = b.relfilenode
WHERE b.relfilenode IS NOT NULL GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 12
"""
_FILLED = """
SELECT count(*) FILTER (WHERE relfilenode IS NOT NULL)
         * current_setting('block_size')::int8 AS used,
       count(*) FILTER (WHERE isdirty) * current_setting('block_size')::int8 AS dirty
FROM {schema}.pg_buffercache
"""


def look(session: Session) -> PostgresMemory:
    """The figures; what this login may not see is a reason. Raises ConnectError."""
    asked = ask_each(session.main, _QUESTIONS, _PATIENCE)
    filled: Seen[tuple[int, int] | None] = Seen(None)
    cached = _by_use(asked["databases"])
    if asked["where"].found:
        schema = asked["where"].found[0]["schema"]
        texts = {"cached": _CACHED.format(schema=schema), "filled": _FILLED.format(schema=schema)}
        inside = ask_each(session.main, texts, _PATIENCE)
        if inside["cached"].found is not None:
            cached = Seen(_contents(inside["cached"].found))
        filled = _map_filled(inside["filled"])
    return PostgresMemory(
        settings=_settings(asked["settings"]),
        backends=_backends(asked["backends"]),
        databases=_databases(asked["databases"]),
        cached=cached,
        filled=filled,
        huge_pages=_huge_pages(asked["huge_pages"]),
    )


def _settings(rows: Seen[list[dict[str, float]]]) -> Seen[Mapping[str, float]]:
    if rows.found is None:
        return Seen(missing=rows.missing)
    return Seen({str(row["name"]): float(row["value"]) for row in rows.found})


def _backends(rows: Seen[list[dict[str, object]]]) -> Seen[tuple[Backend, ...]]:
    if rows.found is None:
        return Seen(missing=rows.missing)
    # who may not see others' sessions sees them without a state
    if any(row["kind"] is None for row in rows.found):
        return Seen(missing="this login is not a member of pg_read_all_stats")
    return Seen(tuple(Backend(**row) for row in rows.found))  # type: ignore[arg-type]


def _databases(rows: Seen[list[dict[str, object]]]) -> Seen[tuple[Mapping[str, object], ...]]:
    return Seen(missing=rows.missing) if rows.found is None else Seen(tuple(rows.found))


def _huge_pages(rows: Seen[list[dict[str, str | None]]]) -> Seen[str]:
    if rows.found is None or rows.found[0]["status"] is None:
        return Seen(missing=rows.missing or "available from PostgreSQL 17 on")
    return Seen(rows.found[0]["status"])


def _contents(rows: list[dict[str, object]]) -> tuple[Content, ...]:
    total = sum(int(row["size"]) for row in rows) or 1  # type: ignore[call-overload]
    found = []
    for row in rows:
        size, dirty = int(row["size"]), int(row["dirty"])  # type: ignore[call-overload]
        name = ".".join(filter(None, (str(row["database"]), str(row["name"]))))
        note = f"{dirty / size:.0%} to be written" if dirty else ""
        found.append(Content(name, size, size / total, note))
    return tuple(found)


def _by_use(rows: Seen[list[dict[str, int]]]) -> Seen[tuple[Content, ...]]:
    """Without pg_buffercache: who uses the cache, by reads that it answered."""
    if rows.found is None:
        return Seen(missing=rows.missing)
    hits = sum(row["hit"] for row in rows.found)
    if not hits:
        return Seen(())
    return Seen(
        tuple(
            Content(
                str(row["name"]),
                None,
                row["hit"] / hits,
                f"{row['hit'] / max(1, row['hit'] + row['read']):.1%} of its reads",
            )
            for row in rows.found
            if row["hit"]
        )
    )


def _map_filled(rows: Seen[list[dict[str, int]]]) -> Seen[tuple[int, int] | None]:
    if rows.found is None:
        return Seen(missing=rows.missing)
    if not rows.found:
        raise UnobservableError("pg_buffercache gave no row")
    return Seen((rows.found[0]["used"], rows.found[0]["dirty"]))
