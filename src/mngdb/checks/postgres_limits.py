"""What keeps one session, one app or one night's growth from taking all of a PostgreSQL server."""

from __future__ import annotations

from mngdb.checks.postgres_settings import among, between, key, setting, size, text, up
from mngdb.facts.postgres import PostgresFacts
from mngdb.findings import Check, Judgement, judged, no_matter

_MB = 1 << 20


def _buffers(facts: PostgresFacts) -> Judgement:
    found = size(facts, "shared_buffers")
    if not facts.memory:
        return judged(found > 128 * _MB, f"shared_buffers {found // _MB} MB (as packaged: 128 MB)")
    share = found / facts.memory
    words = f"shared_buffers {found // _MB} MB: {share:.0%} of {facts.memory // _MB} MB"
    wanted = facts.wanted.get("shared_buffers", "")
    asked = wanted == f"{found // _MB}MB"
    return judged(share <= 0.4 and (asked or share >= 0.1), words)


def _sorts(facts: PostgresFacts) -> Judgement:
    if not facts.memory:
        return no_matter("how much memory there is for it is not known")
    work, connections = size(facts, "work_mem"), int(text(facts, "max_connections"))
    most = work * connections
    words = f"{work // _MB} MB for each of {connections} connections, of {facts.memory // _MB} MB"
    return judged(most <= facts.memory, words)


def _cache(facts: PostgresFacts) -> Judgement:
    cache, buffers = size(facts, "effective_cache_size"), size(facts, "shared_buffers")
    words = f"effective_cache_size {cache // _MB} MB, shared_buffers {buffers // _MB} MB"
    return judged(cache >= buffers, words)


def _reserved(facts: PostgresFacts) -> Judgement:
    found = int(text(facts, "superuser_reserved_connections"))
    return judged(found >= 3, f"superuser_reserved_connections {found}")


_VACUUM = "postgresql.org: Automatic Vacuuming"
_RESOURCES = "postgresql.org: Resource Consumption"

CHECKS: tuple[Check[PostgresFacts], ...] = (
    Check(
        "postgres.autovacuum",
        "dead rows are cleared away",
        "critical",
        setting("autovacuum", among("on")),
        "autovacuum on",
        up("autovacuum = on"),
        (_VACUUM,),
    ),
    Check(
        "postgres.autovacuum-share",
        "vacuum comes before half of a table is dead",
        "low",
        setting("autovacuum_vacuum_scale_factor", between(0, 0.2)),
        "autovacuum_vacuum_scale_factor at most 0.2",
        key("autovacuum_vacuum_scale_factor: 0.2"),
        (_VACUUM,),
    ),
    Check(
        "postgres.autovacuum-freeze",
        "rows are frozen long before transaction ids run out",
        "medium",
        setting("autovacuum_freeze_max_age", between(0, 1_000_000_000)),
        "autovacuum_freeze_max_age at most 1000000000",
        key("autovacuum_freeze_max_age: 200000000"),
        (_VACUUM, "postgresql.org: Routine Vacuuming"),
    ),
    Check(
        "postgres.buffers",
        "the cache is a fair share of the memory",
        "medium",
        _buffers,
        "10 to 40 % of the memory, or what the file says; not the package's 128 MB",
        "postgres: {memory: 25%}, then 'mngdb up'; elsewhere ALTER SYSTEM SET shared_buffers = "
        "'1GB' or a quarter of the memory, and a restart",
        (_RESOURCES,),
    ),
    Check(
        "postgres.sort-memory",
        "sorts of all connections together fit into the memory",
        "high",
        _sorts,
        "work_mem × max_connections at most the memory there is",
        key("work_mem: 4MB"),
        (_RESOURCES,),
    ),
    Check(
        "postgres.cache-size",
        "the planner knows how much is cached",
        "low",
        _cache,
        "effective_cache_size not below shared_buffers",
        up("effective_cache_size = '4GB'"),
        ("postgresql.org: Query Planning",),
    ),
    Check(
        "postgres.page-cost",
        "the planner does not take the disk for a spinning one",
        "low",
        setting("random_page_cost", between(1, 2)),
        "random_page_cost 1.0 to 2.0",
        up("random_page_cost = 1.1"),
        ("postgresql.org: Query Planning",),
    ),
    Check(
        "postgres.temporary-limit",
        "one statement cannot fill the disk with temporary files",
        "medium",
        setting("temp_file_limit", between(0, 1 << 40)),
        "temp_file_limit with a limit",
        up("temp_file_limit = '10GB'"),
        (_RESOURCES,),
    ),
    Check(
        "postgres.reserved-connections",
        "the administrator still gets in when apps have taken all connections",
        "medium",
        _reserved,
        "superuser_reserved_connections 3 or more",
        up("superuser_reserved_connections = 5", restart=True),
        ("A12", "postgresql.org: Connections and Authentication"),
    ),
    Check(
        "postgres.client-gone",
        "a statement ends when its client is gone",
        "medium",
        setting("client_connection_check_interval", between(1, 60_000)),
        "client_connection_check_interval 1 ms to 60 seconds",
        up("client_connection_check_interval = '10s'"),
        ("postgresql.org: Connections and Authentication",),
    ),
    Check(
        "postgres.deadlock-timeout",
        "deadlocks are found within seconds",
        "low",
        setting("deadlock_timeout", between(1, 5_000)),
        "deadlock_timeout at most 5 seconds",
        up("deadlock_timeout = '1s'"),
        ("A12", "postgresql.org: Lock Management"),
    ),
)
