"""For each rule a series that makes it fire and one that does not, in promtool's notation.

Values are 70 seconds apart: `1+2x3` is 1 3 5 7, `5x2` is 5 5 5, `_` is no sample, `stale` ends one.
"""

from __future__ import annotations

from typing import NamedTuple

Series = dict[str, str]


class Case(NamedTuple):
    """Series that make the rule fire at some time, and series that never do."""

    fires: Series
    quiet: Series


def redis(**values: str) -> Series:
    return {f'redis_{k}{{instance="redis",job="redis"}}': v for k, v in values.items()}


def mongo(**values: str) -> Series:
    return {f'mongodb_{k}{{instance="mongodb",job="mongodb"}}': v for k, v in values.items()}


def pg(inside: str = "", /, **values: str) -> Series:
    more = f",{inside}" if inside else ""
    return {f'pg_{k}{{instance="postgres",job="postgres"{more}}}': v for k, v in values.items()}


def own(inside: str, /, **values: str) -> Series:
    more = f",{inside}" if inside else ""
    return {f'mngdb_{k}{{instance="mngdb",job="mngdb"{more}}}': v for k, v in values.items()}


def about(instance: str, inside: str = "", /, **values: str) -> Series:
    more = f",{inside}" if inside else ""
    return {f'mngdb_{k}{{instance="{instance}",job="mngdb"{more}}}': v for k, v in values.items()}


_UP = {"redis": redis(up="1x40"), "pg": pg(up="1x40"), "mongo": mongo(up="1x40")}
_DB = 'datname="shop"'
_CONN = 'mongodb_ss_connections{instance="mongodb",job="mongodb",conn_type="%s"}'
_APPLIED = (
    'mongodb_rs_members_optimeDate{instance="mongodb",job="mongodb",member_idx="%s:27017",'
    'member_state="%s"}'
)
_HEALTH = (
    "mongodb_rs_members_health"
    '{instance="mongodb",job="mongodb",member_idx="b:27017",member_state="SECONDARY"}'
)
_PRIMARY = _HEALTH.replace("SECONDARY", "PRIMARY")
_QUEUE = 'mongodb_ss_globalLock_currentQueue{instance="mongodb",job="mongodb",count_type="total"}'
_HEAD, _TAIL = "mongod_replset_oplog_head_timestamp", "mongod_replset_oplog_tail_timestamp"


def _backends(count: int, *, monitors: int | None = 2) -> Series:
    """`count` connections in two databases, of 100 that apps may have; `monitors` are reserved
    besides, which PostgreSQL 15 does not know."""
    return {
        **pg('datid="1",datname="shop"', stat_database_numbackends=f"{count - 3}x40"),
        **pg('datid="2",datname="postgres"', stat_database_numbackends="3x40"),
        **pg(settings_max_connections=f"{103 + (monitors or 0)}x40"),
        **pg(settings_superuser_reserved_connections="3x40"),
        **({} if monitors is None else pg(settings_reserved_connections=f"{monitors}x40")),
    }


def _locks(count: int) -> Series:
    """`count` locks in two databases, in a table with room for 6,400."""
    return {
        **pg('datname="shop",mode="exclusivelock"', locks_count=f"{count - 9}x40"),
        **pg('datname="postgres",mode="accesssharelock"', locks_count="9x40"),
        **pg(settings_max_locks_per_transaction="64x40", settings_max_connections="90x40"),
        **pg(settings_max_prepared_transactions="10x40"),
    }


def _transaction(state: str, seconds: int, user: str = "shop") -> Series:
    labels = f'{_DB},state="{state}",usename="{user}"'
    return pg(labels, stat_activity_max_tx_duration=f"{seconds}x40")


def _disk(free: int) -> Series:
    return {
        **own('path="/data"', host_disk_free_bytes=f"{free}x40"),
        **own('path="/data"', host_disk_size_bytes="1000x40"),
    }


def _lag(milliseconds: int) -> Series:
    """A primary and two secondaries, one of which is this far behind."""
    behind = 1_000_000 - milliseconds
    return {
        _APPLIED % ("a", "PRIMARY"): "1000000+70000x40",
        _APPLIED % ("b", "SECONDARY"): "1000000+70000x40",
        _APPLIED % ("c", "SECONDARY"): f"{behind}+70000x40",
    }


def _archiver(failed: str, archived: str) -> Series:
    return pg(stat_archiver_failed_count=failed, stat_archiver_archived_count=archived)


CASES: dict[str, Case] = {
    "PostgresDown": Case(pg(up="1x5 0x30"), pg(up="1x5 0 1x30")),
    "PostgresExporterGone": Case(pg(up="1x5 stale"), _UP["pg"]),
    "PostgresExporterFailing": Case(
        {
            **pg(exporter_last_scrape_error="0x40"),
            **pg('collector="wal"', scrape_collector_success="1x5 0x34"),
            **pg('collector="locks"', scrape_collector_success="1x40"),
        },
        {
            **pg(exporter_last_scrape_error="1x40", up="0x40"),
            **pg('collector="wal"', scrape_collector_success="0x40"),
        },
    ),
    "PostgresConnectionsHigh": Case(_backends(81), _backends(80)),
    "PostgresConnectionsExhausted": Case(_backends(96), _backends(95)),
    "PostgresReplicationLag": Case(
        pg(replication_lag_seconds="0x5 11x30", replication_is_replica="1x40"),
        pg(replication_lag_seconds="99x40", replication_is_replica="0x40"),
    ),
    "PostgresDeadlocks": Case(
        pg(_DB, stat_database_deadlocks="7x5 8x30"), pg(_DB, stat_database_deadlocks="7x40")
    ),
    "PostgresLocksNearLimit": Case(_locks(4501), _locks(4400)),
    "PostgresWraparoundNear": Case(
        pg(_DB, database_wraparound_age_datfrozenxid_seconds="490000000+1000000x40"),
        pg(_DB, database_wraparound_age_datfrozenxid_seconds="200000000x40"),
    ),
    "PostgresWraparoundImminent": Case(
        pg(_DB, database_wraparound_age_datfrozenxid_seconds="1499000000+500000x40"),
        pg(_DB, database_wraparound_age_datfrozenxid_seconds="600000000x40"),
    ),
    "PostgresArchiveFailing": Case(
        _archiver("0x5 1+1x30", "9x40"),
        _archiver("0x5 1+1x30", "9+1x40"),
    ),
    "PostgresWalPilesUp": Case(
        pg(wal_size_bytes="100+10x40", settings_max_wal_size_bytes="100x40"),
        pg(wal_size_bytes="200x40", settings_max_wal_size_bytes="100x40"),
    ),
    "PostgresLongTransaction": Case(
        _transaction("active", 3601), _transaction("active", 99999, user="")
    ),
    "PostgresIdleInTransaction": Case(
        _transaction("idle in transaction (aborted)", 601), _transaction("active", 3600)
    ),
    "RedisDown": Case(redis(up="1x5 0x30"), redis(up="1x5 0 1x30")),
    "RedisExporterGone": Case(redis(up="1x5 stale"), _UP["redis"]),
    "RedisExporterFailing": Case(
        redis(exporter_last_scrape_error="0x5 1x30", up="1x40"),
        redis(exporter_last_scrape_error="1x40", up="0x40"),
    ),
    "RedisHighMemory": Case(
        redis(memory_used_bytes="79+1x40", memory_max_bytes="100x40"),
        redis(memory_used_bytes="1000x40", memory_max_bytes="0x40"),
    ),
    "RedisNoMemoryLimit": Case(redis(memory_max_bytes="0x40"), redis(memory_max_bytes="1x40")),
    "RedisHighConnections": Case(
        redis(connected_clients="70+5x10 0x20", max_clients="100x40"),
        redis(connected_clients="80x40", max_clients="100x40"),
    ),
    "RedisConnectionsRejected": Case(
        redis(rejected_connections_total="0x5 3x30"), redis(rejected_connections_total="3x40")
    ),
    "RedisEvictedKeys": Case(
        redis(evicted_keys_total="0x5 1000x30"), redis(evicted_keys_total="1000x40")
    ),
    "RedisWritesRefused": Case(
        {'redis_errors_total{instance="redis",job="redis",err="OOM"}': "0+1x40"},
        {'redis_errors_total{instance="redis",job="redis",err="NOPERM"}': "0+1x40"},
    ),
    "RedisFragmented": Case(
        redis(mem_fragmentation_ratio="1.6x40", memory_used_rss_bytes="1000000000x40"),
        redis(mem_fragmentation_ratio="9x40", memory_used_rss_bytes="9000000x40"),
    ),
    "RedisLogRewriteFailing": Case(
        redis(aof_last_bgrewrite_status="0x40", aof_enabled="1x40"),
        redis(aof_last_bgrewrite_status="0x40", aof_enabled="0x40"),
    ),
    "RedisLogWriteFailing": Case(
        redis(aof_last_write_status="1x3 0x30", aof_enabled="1x40"),
        redis(aof_last_write_status="1x40", aof_enabled="1x40"),
    ),
    "RedisSnapshotFailing": Case(
        redis(rdb_last_bgsave_status="1x3 0x30"), redis(rdb_last_bgsave_status="1x3 0 1x30")
    ),
    "RedisLoginsRefused": Case(
        redis(acl_access_denied_auth_total="0+4x40"),
        redis(acl_access_denied_auth_total="0+1x40"),
    ),
    "RedisAccessRefused": Case(
        redis(
            acl_access_denied_cmd_total="0+2x40",
            acl_access_denied_key_total="0+2x40",
            acl_access_denied_channel_total="0+2x40",
        ),
        redis(
            acl_access_denied_cmd_total="0+1x40",
            acl_access_denied_key_total="0+1x40",
            acl_access_denied_channel_total="0+1x40",
        ),
    ),
    "RedisSlowCommands": Case(redis(slowlog_last_id="0+20x40"), redis(slowlog_last_id="0+2x40")),
    "MongodbDown": Case(mongo(up="1x5 0x30"), mongo(up="1x5 0 1x30")),
    "MongodbExporterGone": Case(mongo(up="1x5 stale"), _UP["mongo"]),
    "MongodbConnectionsHigh": Case(
        {_CONN % "current": "81x40", _CONN % "available": "19x40", _CONN % "active": "9x40"},
        {_CONN % "current": "80x40", _CONN % "available": "20x40", _CONN % "active": "9x40"},
    ),
    "MongodbReplicationLag": Case(_lag(10_001), _lag(10_000)),
    "MongodbMemberUnhealthy": Case({_HEALTH: "1x5 0x30"}, {_HEALTH: "1x40"}),
    "MongodbNotServing": Case(mongo(rs_myState="1x5 3x30"), mongo(rs_myState="1x5 2x5 7x30")),
    "MongodbNoPrimary": Case(
        {**mongo(rs_myState="1x5 2x30"), _PRIMARY: "1x5 stale"},
        {**mongo(rs_myState="2x40"), _PRIMARY: "1x40"},
    ),
    "MongodbOplogShort": Case(
        mongo(**{_HEAD: "100000+60x90", _TAIL: "20000+60x90", "ss_uptime": "90000+60x90"}),
        mongo(**{_HEAD: "100000+60x90", _TAIL: "20000+60x90", "ss_uptime": "80000+60x90"}),
    ),
    "MongodbQueueLong": Case({_QUEUE: "101x40"}, {_QUEUE: "100x40"}),
    "MongodbCacheFull": Case(
        mongo(
            ss_wt_cache_bytes_currently_in_the_cache="96x40",
            ss_wt_cache_maximum_bytes_configured="100x40",
        ),
        mongo(
            ss_wt_cache_bytes_currently_in_the_cache="95x40",
            ss_wt_cache_maximum_bytes_configured="100x40",
        ),
    ),
    "HostCpuHigh": Case(own("", host_cpu_ratio="0.81x40"), own("", host_cpu_ratio="0.9x8 0.1x30")),
    "HostMemoryLow": Case(
        own("", host_memory_available_bytes="9x40", host_memory_total_bytes="100x40"),
        own("", host_memory_available_bytes="10x40", host_memory_total_bytes="100x40"),
    ),
    "HostDiskHigh": Case(_disk(199), _disk(201)),
    "HostDiskFull": Case(_disk(49), _disk(51)),
    "BackupOld": Case(
        about("postgres", backup_age_seconds="93600+60x40"),
        about("postgres", backup_age_seconds="86400+60x40"),
    ),
    "ArchiveStalled": Case(
        about("postgres", archive_age_seconds="301+60x40"),
        about("postgres", archive_age_seconds="299x40"),
    ),
    "CommitsWaiting": Case(
        about("postgres", commits_late_seconds="0.7x40"),
        about("postgres", commits_late_seconds="0x40"),
    ),
    "CommitsUnprotected": Case(
        about("postgres", commits_wait="0x40"), about("postgres", commits_wait="1x40")
    ),
    "DrillFailed": Case(
        about("postgres", drill_passed="0x40"), about("postgres", drill_passed="1x40")
    ),
    "DrillSlow": Case(
        about("postgres", drill_seconds="1801x40"), about("postgres", drill_seconds="1800x40")
    ),
    "DrillSlowing": Case(
        about("postgres", drill_seconds="130x40", drill_usual_seconds="64x40"),
        {
            **about("postgres", drill_seconds="120x40", drill_usual_seconds="60x40"),
            **about("redis", drill_seconds="60x40", drill_usual_seconds="6x40"),
        },
    ),
    "BackupUnproved": Case(
        about("postgres", drill_age_seconds="1209601+60x140"),
        about("postgres", drill_age_seconds="86400+60x140"),
    ),
    "BackupKeyMissing": Case(
        own('secret="backup_key"', backup_secret_fits="0x40"),
        own('secret="backup_key"', backup_secret_fits="1x40"),
    ),
    "BackupKeyOld": Case(
        own("", backup_key_age_seconds="31536000+60x40"),
        own("", backup_key_age_seconds="0+60x40"),
    ),
    "StoreGrowing": Case(
        own("", store_bytes="151x90", store_week_ago_bytes="100x90"),
        own("", store_bytes="150x90", store_week_ago_bytes="100x90"),
    ),
    "StoreFilling": Case(
        own("", store_full_seconds="604799x90"), own("", store_full_seconds="604800x90")
    ),
    "SecretOld": Case(
        own('secret="redis_shop"', secret_age_seconds="15552000+60x40"),
        own('secret="redis_shop"', secret_age_seconds="0+60x40"),
    ),
    "CertificateExpiring": Case(
        about("redis", certificate_expiry_seconds="1814460-60x40"),
        about("redis", certificate_expiry_seconds="7776000-60x40"),
    ),
    "CertificateExpired": Case(
        about("redis", certificate_expiry_seconds="86460-60x40"),
        about("redis", certificate_expiry_seconds="1000000-60x40"),
    ),
    "UnitDown": Case(
        own('unit="mng-redis"', unit_up="1x5 0x30"), own('unit="mng-redis"', unit_up="1x40")
    ),
    # NaN: nobody could look whether it runs
    "DockerDown": Case(own("", docker_up="1x5 0x30"), own("", docker_up="1x40")),
    "UnitRestarting": Case(
        own('unit="mng-redis"', unit_restarts_total="0+1x40", unit_up="1x40"),
        own('unit="mng-redis"', unit_restarts_total="0x5 1x30", unit_up="1x40"),
    ),
    "AccessRefused": Case(
        about("postgres", 'app="shop",kind="access"', refused_total="0+6x40"),
        about("postgres", 'app="shop",kind="access"', refused_total="0+4x40")
        | about("postgres", 'app="shop",kind="login"', refused_total="0+9x40"),
    ),
    "LoginsRefused": Case(
        about("mongodb", 'app="others",kind="login"', refused_total="0+3x40"),
        about("mongodb", 'app="others",kind="login"', refused_total="0+2x40")
        | about("mongodb", 'app="others",kind="access"', refused_total="0+9x40"),
    ),
    # a stack of external servers has no units, and an agent
    "AgentGone": Case(
        own('version="1"', build_info="1x5 stale"), own('version="1"', build_info="1x40")
    ),
    "ChecksFailing": Case(
        about("redis", 'severity="critical",verdict="fail"', findings="0x5 1x30"),
        about("redis", 'severity="low",verdict="fail"', findings="9x40"),
    ),
    "NotificationsFailing": Case(
        own('channel="ops"', notifications_failed_total="0+1x40"),
        own('channel="ops"', notifications_failed_total="0x5 1x30"),
    ),
}
