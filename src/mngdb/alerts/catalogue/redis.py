"""Rules for Redis, on redis_exporter's metrics."""

from __future__ import annotations

from mngdb.alerts.expr import highest, increase, metric, rate
from mngdb.alerts.rules import MINUTE, described

_USED = metric("redis_memory_used_bytes")
_MAX = metric("redis_memory_max_bytes")
#: Below this a server's own overhead looks like fragmentation.
_SMALL = 128 << 20

RULES = described(
    __file__,
    {
        "RedisDown": lambda _: metric("redis_up").equals(0),
        "RedisExporterGone": "redis_up",
        "RedisExporterFailing": lambda _: (
            highest(metric("redis_exporter_last_scrape_error"), "instance") > 0
        ).unless(metric("redis_up").equals(0), "instance"),
        # without maxmemory the divisor is 0 and the quotient infinite: RedisNoMemoryLimit tells
        "RedisHighMemory": lambda share: (share < _USED / _MAX).where(_MAX > 0),
        "RedisNoMemoryLimit": lambda _: _MAX.equals(0),
        # redis_config_maxclients vanishes where the exporter may not run CONFIG
        "RedisHighConnections": lambda share: (
            metric("redis_connected_clients") / metric("redis_max_clients") > share
        ),
        "RedisConnectionsRejected": lambda times: (
            increase(metric("redis_rejected_connections_total"), 5 * MINUTE) > times
        ),
        "RedisEvictedKeys": lambda per_second: (
            rate(metric("redis_evicted_keys_total"), 5 * MINUTE) > per_second
        ),
        "RedisWritesRefused": lambda times: (
            increase(metric("redis_errors_total", err="OOM"), 5 * MINUTE) > times
        ),
        "RedisFragmented": lambda ratio: (metric("redis_mem_fragmentation_ratio") > ratio).where(
            metric("redis_memory_used_rss_bytes") > _SMALL
        ),
        "RedisLogRewriteFailing": lambda _: (
            metric("redis_aof_last_bgrewrite_status")
            .equals(0)
            .where(metric("redis_aof_enabled").equals(1))
        ),
        "RedisLogWriteFailing": lambda _: (
            metric("redis_aof_last_write_status")
            .equals(0)
            .where(metric("redis_aof_enabled").equals(1))
        ),
        "RedisSnapshotFailing": lambda _: metric("redis_rdb_last_bgsave_status").equals(0),
        "RedisLoginsRefused": lambda times: (
            increase(metric("redis_acl_access_denied_auth_total"), 5 * MINUTE) > times
        ),
        "RedisAccessRefused": lambda times: (
            increase(metric("redis_acl_access_denied_cmd_total"), 5 * MINUTE)
            + increase(metric("redis_acl_access_denied_key_total"), 5 * MINUTE)
            + increase(metric("redis_acl_access_denied_channel_total"), 5 * MINUTE)
            > times
        ),
        "RedisSlowCommands": lambda times: (
            increase(metric("redis_slowlog_last_id"), 15 * MINUTE) > times
        ),
    },
)
