"""What the dashboards show: panel by panel, only metrics that exist."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from mngdb.alerts.expr import Expr, Matcher, Selector, highest, increase, metric, rate, total
from mngdb.alerts.rules import DAY, MINUTE, Subject

Kind = Literal["timeseries", "stat"]
_WINDOW = 5 * MINUTE
_CHOSEN = Matcher("instance", "=~", "$instance")


@dataclass(frozen=True)
class Panel:
    """One chart. `unit` is Grafana's name of it; a legend names labels as `{{label}}`."""

    title: str
    unit: str
    lines: tuple[tuple[Expr, str], ...]
    kind: Kind = "timeseries"
    width: int = 8
    colours: tuple[tuple[str, float], ...] = ()
    """Of a stat: colour and from which value on, ascending. Without, Grafana's own: red from 80."""

    @property
    def exprs(self) -> Iterator[Expr]:
        """What it plots."""
        return (expr for expr, _ in self.lines)


def _of(name: str, **labels: str) -> Selector:
    """A metric of the instances that are chosen above the dashboard."""
    found = metric(name, **labels)
    return Selector(found.name, (_CHOSEN, *found.matchers))


def _per_second(name: str, **labels: str) -> Expr:
    return rate(_of(name, **labels), _WINDOW)


_BY = "{{instance}}"
_ON = (("red", -math.inf), ("green", 1.0))
_MONGO_USED = total(_of("mongodb_ss_connections", conn_type="current"), "instance")
#: What stands on the overview, by what the stack has to have.
OVERVIEW: tuple[tuple[Subject, Panel], ...] = (
    ("postgres", Panel("PostgreSQL", "bool_on_off", ((metric("pg_up"), _BY),), "stat", 4, _ON)),
    ("redis", Panel("Redis", "bool_on_off", ((metric("redis_up"), _BY),), "stat", 4, _ON)),
    ("mongodb", Panel("MongoDB", "bool_on_off", ((metric("mongodb_up"), _BY),), "stat", 4, _ON)),
    (
        "mngdb",
        Panel("Units", "bool_on_off", ((metric("mngdb_unit_up"), "{{unit}}"),), "stat", 6, _ON),
    ),
    (
        "mngdb",
        Panel(
            "Restarts in a day",
            "short",
            ((increase(metric("mngdb_unit_restarts_total"), DAY), "{{unit}}"),),
            "stat",
            6,
            # `increase` estimates: one restart may be 0.99
            (("green", -math.inf), ("orange", 0.5)),
        ),
    ),
    ("host", Panel("Processors", "percentunit", ((metric("mngdb_host_cpu_ratio"), "busy"),))),
    (
        "host",
        Panel(
            "Memory",
            "bytes",
            (
                (metric("mngdb_host_memory_total_bytes"), "there is"),
                (metric("mngdb_host_memory_available_bytes"), "available"),
            ),
        ),
    ),
    (
        "host",
        Panel(
            "Disk in use",
            "percentunit",
            (
                (
                    1 - metric("mngdb_host_disk_free_bytes") / metric("mngdb_host_disk_size_bytes"),
                    "{{path}}",
                ),
            ),
        ),
    ),
    (
        "postgres",
        Panel(
            "PostgreSQL: share of max_connections",
            "percentunit",
            (
                (
                    total(metric("pg_stat_database_numbackends"), "instance")
                    / highest(metric("pg_settings_max_connections"), "instance"),
                    _BY,
                ),
            ),
        ),
    ),
    (
        "redis",
        Panel(
            "Redis: memory",
            "bytes",
            (
                (metric("redis_memory_used_bytes"), "{{instance}} used"),
                (metric("redis_memory_max_bytes"), "{{instance}} maxmemory"),
            ),
        ),
    ),
    (
        "mongodb",
        Panel(
            "MongoDB: connections",
            "short",
            ((total(metric("mongodb_ss_connections", conn_type="current"), "instance"), _BY),),
        ),
    ),
    (
        "secrets",
        Panel(
            "Certificates expire in",
            "s",
            ((metric("mngdb_certificate_expiry_seconds"), _BY),),
            "stat",
            colours=(("red", -math.inf), ("orange", float(DAY)), ("green", 21.0 * DAY)),
        ),
    ),
    (
        "secrets",
        Panel("Age of secrets", "s", ((metric("mngdb_secret_age_seconds"), "{{secret}}"),)),
    ),
)
ENGINES: dict[str, tuple[Panel, ...]] = {
    "postgres": (
        Panel(
            "Transactions",
            "ops",
            (
                (
                    total(_per_second("pg_stat_database_xact_commit"), "instance"),
                    "{{instance}} commit",
                ),
                (
                    total(_per_second("pg_stat_database_xact_rollback"), "instance"),
                    "{{instance}} rollback",
                ),
            ),
        ),
        Panel(
            "Connections by database",
            "short",
            (
                (
                    total(_of("pg_stat_database_numbackends"), "instance", "datname"),
                    "{{instance}} {{datname}}",
                ),
            ),
        ),
        Panel(
            "Sessions by state",
            "short",
            (
                (
                    total(_of("pg_stat_activity_count"), "instance", "state"),
                    "{{instance}} {{state}}",
                ),
            ),
        ),
        Panel(
            "Oldest transaction",
            "s",
            (
                (
                    highest(_of("pg_stat_activity_max_tx_duration"), "instance", "datname"),
                    "{{instance}} {{datname}}",
                ),
            ),
        ),
        Panel(
            "Found in the cache",
            "percentunit",
            (
                (
                    total(_per_second("pg_stat_database_blks_hit"), "instance")
                    / (
                        total(_per_second("pg_stat_database_blks_hit"), "instance")
                        + total(_per_second("pg_stat_database_blks_read"), "instance")
                    ),
                    _BY,
                ),
            ),
        ),
        Panel(
            "Size of databases",
            "bytes",
            ((_of("pg_database_size_bytes"), "{{instance}} {{datname}}"),),
        ),
        Panel(
            "Deadlocks in an hour",
            "short",
            (
                (
                    total(increase(_of("pg_stat_database_deadlocks"), 3600), "instance", "datname"),
                    "{{instance}} {{datname}}",
                ),
            ),
        ),
        Panel("WAL on disk", "bytes", ((_of("pg_wal_size_bytes"), _BY),)),
        Panel(
            "WAL segments archived, and failures",
            "ops",
            (
                (_per_second("pg_stat_archiver_archived_count"), "{{instance}} archived"),
                (_per_second("pg_stat_archiver_failed_count"), "{{instance}} failed"),
            ),
        ),
    ),
    "redis": (
        Panel("Commands", "ops", ((_per_second("redis_commands_processed_total"), _BY),)),
        Panel("Clients", "short", ((_of("redis_connected_clients"), _BY),)),
        Panel(
            "Memory",
            "bytes",
            (
                (_of("redis_memory_used_bytes"), "{{instance}} used"),
                (_of("redis_memory_used_rss_bytes"), "{{instance}} resident"),
                (_of("redis_memory_max_bytes"), "{{instance}} maxmemory"),
            ),
        ),
        Panel(
            "Keys found",
            "percentunit",
            (
                (
                    _per_second("redis_keyspace_hits_total")
                    / (
                        _per_second("redis_keyspace_hits_total")
                        + _per_second("redis_keyspace_misses_total")
                    ),
                    _BY,
                ),
            ),
        ),
        Panel("Keys", "short", ((_of("redis_db_keys"), "{{instance}} {{db}}"),)),
        Panel(
            "Keys evicted and expired",
            "ops",
            (
                (_per_second("redis_evicted_keys_total"), "{{instance}} evicted"),
                (_per_second("redis_expired_keys_total"), "{{instance}} expired"),
            ),
        ),
        Panel("Fragmentation", "short", ((_of("redis_mem_fragmentation_ratio"), _BY),)),
        Panel(
            "Network",
            "Bps",
            (
                (_per_second("redis_net_input_bytes_total"), "{{instance}} in"),
                (_per_second("redis_net_output_bytes_total"), "{{instance}} out"),
            ),
        ),
        Panel(
            "Time by command",
            "s",
            ((_per_second("redis_commands_duration_seconds_total"), "{{instance}} {{cmd}}"),),
        ),
    ),
    "mongodb": (
        Panel(
            "Operations",
            "ops",
            ((_per_second("mongodb_ss_opcounters"), "{{instance}} {{legacy_op_type}}"),),
        ),
        Panel("Connections", "short", ((_MONGO_USED, _BY),)),
        Panel(
            "Waiting operations",
            "short",
            ((_of("mongodb_ss_globalLock_currentQueue"), "{{instance}} {{count_type}}"),),
        ),
        Panel(
            "Cache",
            "bytes",
            (
                (
                    _of("mongodb_ss_wt_cache_bytes_currently_in_the_cache"),
                    "{{instance}} used",
                ),
                (
                    _of("mongodb_ss_wt_cache_maximum_bytes_configured"),
                    "{{instance}} at most",
                ),
            ),
        ),
        Panel(
            "Window of the oplog",
            "s",
            (
                (
                    _of("mongodb_mongod_replset_oplog_head_timestamp")
                    - _of("mongodb_mongod_replset_oplog_tail_timestamp"),
                    _BY,
                ),
            ),
        ),
        Panel(
            "Documents",
            "ops",
            ((_per_second("mongodb_ss_metrics_document"), "{{instance}} {{doc_op_type}}"),),
        ),
    ),
}
