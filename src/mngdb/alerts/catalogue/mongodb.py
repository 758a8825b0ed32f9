"""Rules for MongoDB, on the metrics of Percona's mongodb_exporter."""

from __future__ import annotations

from mngdb.alerts.expr import Expr, highest, lowest, metric, total
from mngdb.alerts.rules import described

_STATE = metric("mongodb_rs_myState")
_OPLOG = metric("mongodb_mongod_replset_oplog_head_timestamp") - metric(
    "mongodb_mongod_replset_oplog_tail_timestamp"
)


def _applied(state: str) -> Expr:
    """When the members in this state applied their last operation, in milliseconds."""
    return metric("mongodb_rs_members_optimeDate", member_state=state)


RULES = described(
    __file__,
    {
        "MongodbDown": lambda _: metric("mongodb_up").equals(0),
        "MongodbExporterGone": "mongodb_up",
        "MongodbConnectionsHigh": lambda share: (
            total(metric("mongodb_ss_connections", conn_type="current"), "instance")
            / total(metric("mongodb_ss_connections", conn_type="current|available"), "instance")
            > share
        ),
        "MongodbReplicationLag": lambda seconds: (
            (highest(_applied("PRIMARY"), "instance") - lowest(_applied("SECONDARY"), "instance"))
            / 1000
            > seconds
        ),
        "MongodbMemberUnhealthy": lambda _: metric("mongodb_rs_members_health").equals(0),
        # 1 primary, 2 secondary, 7 arbiter; all others neither read nor write
        "MongodbNotServing": lambda _: (
            _STATE.differs(1).where(_STATE.differs(2)).where(_STATE.differs(7))
        ),
        "MongodbNoPrimary": lambda _: _STATE.equals(2).unless(
            metric("mongodb_rs_members_health", member_state="PRIMARY").equals(1), "instance"
        ),
        # a server that is younger than the window has not filled it yet
        "MongodbOplogShort": lambda seconds: (seconds > _OPLOG).where(
            metric("mongodb_ss_uptime") > seconds, "instance"
        ),
        "MongodbQueueLong": lambda waiting: (
            metric("mongodb_ss_globalLock_currentQueue", count_type="total") > waiting
        ),
        "MongodbCacheFull": lambda share: (
            metric("mongodb_ss_wt_cache_bytes_currently_in_the_cache")
            / metric("mongodb_ss_wt_cache_maximum_bytes_configured")
            > share
        ),
    },
)
