"""Rules for MongoDB, on the metrics of Percona's mongodb_exporter."""

from __future__ import annotations

from mngdb.alerts.expr import Expr, highest, lowest, metric, total
from mngdb.alerts.rules import DAY, HOUR, MINUTE, Rule

_STATE = metric("mongodb_rs_myState")
_OPLOG = metric("mongodb_mongod_replset_oplog_head_timestamp") - metric(
    "mongodb_mongod_replset_oplog_tail_timestamp"
)


def _applied(state: str) -> Expr:
    """When the members in this state applied their last operation, in milliseconds."""
    return metric("mongodb_rs_members_optimeDate", member_state=state)


RULES = (
    Rule(
        "MongodbDown",
        "mongodb",
        "critical",
        lambda _: metric("mongodb_up").equals(0),
        None,
        MINUTE,
        "MongoDB {instance} does not answer",
        "The exporter cannot log in. Look at 'mngdb status' and 'mngdb logs {instance}'.",
        "B11",
        down=True,
    ),
    Rule(
        "MongodbExporterGone",
        "mongodb",
        "critical",
        "mongodb_up",
        None,
        2 * MINUTE,
        "nothing measures MongoDB {instance}",
        "No exporter reports on it, so no other rule of it can fire. Look at 'mngdb status'.",
        "B11",
    ),
    Rule(
        "MongodbConnectionsHigh",
        "mongodb",
        "warning",
        lambda share: (
            total(metric("mongodb_ss_connections", conn_type="current"), "instance")
            / total(metric("mongodb_ss_connections", conn_type="current|available"), "instance")
            > share
        ),
        0.8,
        5 * MINUTE,
        "MongoDB {instance} is near its limit of connections",
        "Look for an app whose pool is too large or that opens a client for each request "
        "('mngdb connections {instance}').",
        "B11",
    ),
    Rule(
        "MongodbReplicationLag",
        "mongodb",
        "warning",
        lambda seconds: (
            (highest(_applied("PRIMARY"), "instance") - lowest(_applied("SECONDARY"), "instance"))
            / 1000
            > seconds
        ),
        10,
        MINUTE,
        "a secondary of MongoDB {instance} is behind",
        "So much would be rolled back if the primary died now. Look at the secondary's disk.",
        "B11",
    ),
    Rule(
        "MongodbMemberUnhealthy",
        "mongodb",
        "critical",
        lambda _: metric("mongodb_rs_members_health").equals(0),
        None,
        MINUTE,
        "the member {member_idx} of MongoDB {instance} is away",
        "Look at the server and at the network between the members.",
        "B11",
    ),
    Rule(
        "MongodbNotServing",
        "mongodb",
        "critical",
        # 1 primary, 2 secondary, 7 arbiter; all others neither read nor write
        lambda _: _STATE.differs(1).where(_STATE.differs(2)).where(_STATE.differs(7)),
        None,
        MINUTE,
        "MongoDB {instance} is neither primary nor secondary",
        "It starts, recovers or rolls back; apps cannot use it. Its log says which.",
        "B11",
    ),
    Rule(
        "MongodbOplogShort",
        "mongodb",
        "warning",
        # a server that is younger than the window has not filled it yet
        lambda seconds: (seconds > _OPLOG).where(metric("mongodb_ss_uptime") > seconds, "instance"),
        DAY,
        HOUR,
        "the oplog of MongoDB {instance} covers less than it should",
        "A member that is away longer has to be copied anew, and no point in time before it can "
        "be restored. Raise 'oplog'.",
        "B7",
        agreed="point_in_time",
    ),
    Rule(
        "MongodbQueueLong",
        "mongodb",
        "warning",
        lambda waiting: metric("mongodb_ss_globalLock_currentQueue", count_type="total") > waiting,
        100,
        5 * MINUTE,
        "operations wait in line in MongoDB {instance}",
        "It is overloaded: look for slow operations and missing indexes ('mngdb slow {instance}').",
        "B9",
    ),
    Rule(
        "MongodbCacheFull",
        "mongodb",
        "warning",
        lambda share: (
            metric("mongodb_ss_wt_cache_bytes_currently_in_the_cache")
            / metric("mongodb_ss_wt_cache_maximum_bytes_configured")
            > share
        ),
        0.95,
        15 * MINUTE,
        "the cache of MongoDB {instance} is full",
        "From 95 % on, apps' own threads have to evict pages. Raise 'memory'.",
        "B11; eviction_trigger of WiredTiger",
    ),
)
