"""Rules for Redis, on redis_exporter's metrics."""

from __future__ import annotations

from mngdb.alerts.expr import highest, increase, metric, rate
from mngdb.alerts.rules import MINUTE, Rule

_USED = metric("redis_memory_used_bytes")
_MAX = metric("redis_memory_max_bytes")
#: Below this a server's own overhead looks like fragmentation.
_SMALL = 128 << 20

RULES = (
    Rule(
        "RedisDown",
        "redis",
        "critical",
        lambda _: metric("redis_up").equals(0),
        None,
        MINUTE,
        "Redis {instance} does not answer",
        "The exporter cannot log in. Look at 'mngdb status' and 'mngdb logs {instance}'.",
        "B18",
        down=True,
    ),
    Rule(
        "RedisExporterGone",
        "redis",
        "critical",
        "redis_up",
        None,
        2 * MINUTE,
        "nothing measures Redis {instance}",
        "No exporter reports on it, so no other rule of it can fire. Look at 'mngdb status'.",
        "B18; redis_up == 0 alone is blind to a dead exporter",
    ),
    Rule(
        "RedisExporterFailing",
        "redis",
        "warning",
        lambda _: (highest(metric("redis_exporter_last_scrape_error"), "instance") > 0).unless(
            metric("redis_up").equals(0), "instance"
        ),
        None,
        5 * MINUTE,
        "not everything of Redis {instance} can be measured",
        "The exporter's log says what fails: most often its login may not ask for it.",
        "B18",
    ),
    Rule(
        "RedisMemoryHigh",
        "redis",
        "warning",
        # without maxmemory the divisor is 0 and the quotient infinite: RedisNoMemoryLimit tells
        lambda share: (share < _USED / _MAX).where(_MAX > 0),
        0.8,
        5 * MINUTE,
        "Redis {instance} uses more of its maxmemory than it should",
        "At the limit it evicts keys or refuses writes. Raise 'memory', or look for what takes it: "
        "'mngdb keys {instance}'; scripts, functions and clients: 'mngdb memory {instance}'.",
        "B18",
    ),
    Rule(
        "RedisNoMemoryLimit",
        "redis",
        "warning",
        lambda _: _MAX.equals(0),
        None,
        5 * MINUTE,
        "Redis {instance} has no maxmemory",
        "It grows until the machine kills it. 'mngdb up' sets the file's limit.",
        "B16",
    ),
    Rule(
        "RedisConnectionsHigh",
        "redis",
        "warning",
        # redis_config_maxclients vanishes where the exporter may not run CONFIG
        lambda share: metric("redis_connected_clients") / metric("redis_max_clients") > share,
        0.8,
        0,
        "Redis {instance} is near its limit of clients",
        "New connections are refused at maxclients. Look for an app that does not close its own "
        "('mngdb connections {instance}').",
        "B18",
    ),
    Rule(
        "RedisConnectionsRejected",
        "redis",
        "critical",
        lambda times: increase(metric("redis_rejected_connections_total"), 5 * MINUTE) > times,
        0,
        0,
        "Redis {instance} refuses connections",
        "maxclients is reached; apps get errors now. 'mngdb connections {instance}' says who holds "
        "them.",
        "B18",
        covers="RedisConnectionsHigh",
    ),
    Rule(
        "RedisEvicting",
        "redis",
        "warning",
        lambda per_second: rate(metric("redis_evicted_keys_total"), 5 * MINUTE) > per_second,
        0,
        0,
        "Redis {instance} throws keys out to stay below maxmemory",
        "Right for a cache, loss for anything else. Raise 'memory', or set the rule's threshold.",
        "B18",
    ),
    Rule(
        "RedisFragmented",
        "redis",
        "warning",
        lambda ratio: (metric("redis_mem_fragmentation_ratio") > ratio).where(
            metric("redis_memory_used_rss_bytes") > _SMALL
        ),
        1.5,
        15 * MINUTE,
        "the memory of Redis {instance} is fragmented",
        "It takes far more from the machine than its data need. A restart or 'activedefrag' helps.",
        "B16",
    ),
    Rule(
        "RedisLogRewriteFailing",
        "redis",
        "warning",
        lambda _: (
            metric("redis_aof_last_bgrewrite_status")
            .equals(0)
            .where(metric("redis_aof_enabled").equals(1))
        ),
        None,
        5 * MINUTE,
        "Redis {instance} cannot rewrite its append-only file",
        "The file grows without end. Look for a full disk or too little memory to fork.",
        "B15",
    ),
    Rule(
        "RedisLogWriteFailing",
        "redis",
        "critical",
        lambda _: (
            metric("redis_aof_last_write_status")
            .equals(0)
            .where(metric("redis_aof_enabled").equals(1))
        ),
        None,
        0,
        "Redis {instance} cannot write its append-only file",
        "Writes are refused until it can. The disk is full or gone.",
        "B15",
    ),
    Rule(
        "RedisSnapshotFailing",
        "redis",
        "critical",
        lambda _: metric("redis_rdb_last_bgsave_status").equals(0),
        None,
        MINUTE,
        "Redis {instance} cannot save a snapshot",
        "Writes are refused while 'stop-writes-on-bgsave-error' is on. Look at the disk.",
        "B15",
    ),
    Rule(
        "RedisLoginsRefused",
        "redis",
        "warning",
        lambda times: increase(metric("redis_acl_access_denied_auth_total"), 5 * MINUTE) > times,
        10,
        0,
        "logins to Redis {instance} fail",
        "An app has an old secret ('mngdb doctor APP'), or somebody is guessing.",
        "B13",
    ),
    Rule(
        "RedisSlowCommands",
        "redis",
        "info",
        lambda times: increase(metric("redis_slowlog_last_id"), 15 * MINUTE) > times,
        100,
        0,
        "many commands of Redis {instance} are slow",
        "'mngdb slow {instance}' shows them; each holds up all others.",
        "B17",
    ),
)
