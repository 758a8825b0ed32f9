"""What to run for each alert, in order. `{i}` is the instance."""

from __future__ import annotations

from collections.abc import Mapping

from mngdb.spec.engine_info import ENGINE_INFO

_LOOK = ("mngdb doctor", "mngdb status", "mngdb logs {i}")
_SPACE = ("mngdb check --only 'host.*'", "mngdb logs {i}")
#: What keeps vacuum from its work, by name.
_HELD_BACK = (
    "mngdb sessions {i}",
    "mngdb check --only postgres.vacuum-horizon",
    "mngdb check --only postgres.prepared",
    "mngdb check --only postgres.slots",
)
_LOGIN = ("mngdb status", "mngdb check --only '*password*'")
#: Alert to the commands of its chapter. What is not here has those of its subject.
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "PostgresDown": (*_LOOK, "mngdb up"),
    "PostgresConnectionsHigh": ("mngdb connections {i}", "mngdb sessions {i} --all"),
    "PostgresConnectionsExhausted": ("mngdb connections {i}", "mngdb sessions {i} --all"),
    "PostgresLocksNearLimit": ("mngdb sessions {i} --all", "mngdb locks --instance {i}"),
    "PostgresDeadlocks": ("mngdb locks --instance {i}", "mngdb logs {i}"),
    "PostgresWraparoundNear": ("mngdb check --only postgres.wraparound", *_HELD_BACK),
    "PostgresWraparoundImminent": ("mngdb check --only postgres.wraparound", *_HELD_BACK),
    "PostgresArchiveFailing": ("mngdb check --only postgres.archive-healthy", *_SPACE),
    "PostgresWalPilesUp": (
        "mngdb check --only postgres.slots",
        "mngdb check --only postgres.archive-healthy",
        *_SPACE,
    ),
    "PostgresLongTransaction": ("mngdb sessions {i}", "mngdb locks --instance {i}"),
    "PostgresIdleInTransaction": ("mngdb sessions {i}", "mngdb locks --instance {i}"),
    "RedisDown": (*_LOOK, "mngdb up"),
    "RedisMemoryHigh": ("mngdb memory {i}", "mngdb check --only 'redis.memory-*'"),
    "RedisNoMemoryLimit": ("mngdb plan", "mngdb up"),
    "RedisConnectionsHigh": ("mngdb connections {i}", "mngdb sessions {i} --all"),
    "RedisConnectionsRejected": ("mngdb connections {i}", "mngdb sessions {i} --all"),
    "RedisEvicting": ("mngdb check --only 'redis.memory-*'", "mngdb check --only redis.eviction"),
    "RedisFragmented": ("mngdb memory {i}", "mngdb check --only redis.fragmentation"),
    "RedisLogRewriteFailing": _SPACE,
    "RedisLogWriteFailing": _SPACE,
    "RedisSnapshotFailing": _SPACE,
    "RedisLoginsRefused": ("mngdb sessions {i} --all", *_LOGIN),
    "RedisSlowCommands": ("mngdb slow {i}", "mngdb sessions {i}"),
    "MongodbDown": (*_LOOK, "mngdb up"),
    "MongodbConnectionsHigh": ("mngdb connections {i}", "mngdb sessions {i} --all"),
    "MongodbOplogShort": ("mngdb check --only 'mongodb.oplog-*'", "mngdb plan"),
    "MongodbQueueLong": ("mngdb slow {i}", "mngdb indexes {i}"),
    "MongodbCacheFull": ("mngdb memory {i}", "mngdb slow {i}", "mngdb indexes {i}"),
    "HostCpuHigh": ("mngdb slow", "mngdb sessions"),
    "HostMemoryLow": ("mngdb memory", "mngdb check --only 'host.*'"),
    "BackupOld": ("mngdb check --only '*.backup-proved'",),
    "DrillSlow": ("mngdb check --only '*.backup-proved'",),
    "SecretOld": ("mngdb check --only 'secrets.*'",),
    "CertificateExpiring": ("mngdb plan", "mngdb up"),
    "CertificateExpired": ("mngdb plan", "mngdb up"),
    "UnitDown": ("mngdb status", "mngdb up"),
    "DockerDown": ("mngdb doctor", "systemctl start docker"),
    "UnitRestarting": ("mngdb status", "mngdb check --severity critical"),
    "AgentGone": ("mngdb status", "mngdb up"),
    "ChecksFailing": ("mngdb check --severity critical",),
    "NotificationsFailing": ("mngdb alerts",),
}
BY_SUBJECT: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(ENGINE_INFO, _LOOK),
    "host": ("mngdb status", "mngdb check --only 'host.*'"),
    "backup": ("mngdb check --only '*.backup-proved'",),
    "secrets": ("mngdb check --only 'secrets.*'",),
    "mngdb": ("mngdb status",),
}
