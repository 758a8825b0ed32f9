"""Rules for the machine, the backups, the secrets and mngdb itself, on the agent's metrics."""

from __future__ import annotations

from mngdb.alerts.expr import increase, metric
from mngdb.alerts.rules import MINUTE, described

_DISK = 1 - metric("mngdb_host_disk_free_bytes") / metric("mngdb_host_disk_size_bytes")

RULES = described(
    __file__,
    {
        "HostCpuHigh": lambda share: metric("mngdb_host_cpu_ratio") > share,
        "HostMemoryLow": lambda share: (
            metric("mngdb_host_memory_available_bytes") / metric("mngdb_host_memory_total_bytes")
            < share
        ),
        "HostDiskHigh": lambda share: share < _DISK,
        "HostDiskFull": lambda share: share < _DISK,
        "BackupOld": lambda seconds: metric("mngdb_backup_age_seconds") > seconds,
        "ArchiveStalled": lambda seconds: metric("mngdb_archive_age_seconds") > seconds,
        "CommitsWaiting": lambda seconds: metric("mngdb_commits_late_seconds") > seconds,
        "CommitsUnprotected": lambda _: metric("mngdb_commits_wait").equals(0),
        "DrillFailed": lambda _: metric("mngdb_drill_passed").equals(0),
        "DrillSlow": lambda seconds: metric("mngdb_drill_seconds") > seconds,
        "DrillSlowing": lambda factor: (
            metric("mngdb_drill_seconds") / metric("mngdb_drill_usual_seconds") > factor
        ).where(metric("mngdb_drill_seconds") > MINUTE),
        "BackupUnproved": lambda seconds: metric("mngdb_drill_age_seconds") > seconds,
        "BackupKeyMissing": lambda _: metric("mngdb_backup_secret_fits").equals(0),
        "BackupKeyOld": lambda seconds: metric("mngdb_backup_key_age_seconds") > seconds,
        "StoreGrowing": lambda factor: (
            metric("mngdb_store_bytes") / metric("mngdb_store_week_ago_bytes") > factor
        ),
        "StoreFilling": lambda seconds: metric("mngdb_store_full_seconds") < seconds,
        "SecretOld": lambda seconds: metric("mngdb_secret_age_seconds") > seconds,
        "CertificateExpiring": lambda seconds: metric("mngdb_certificate_expiry_seconds") < seconds,
        "CertificateExpired": lambda seconds: metric("mngdb_certificate_expiry_seconds") < seconds,
        "UnitDown": lambda _: metric("mngdb_unit_up").equals(0),
        "DockerDown": lambda _: metric("mngdb_docker_up").equals(0),
        "UnitRestarting": lambda times: (
            increase(metric("mngdb_unit_restarts_total"), 15 * MINUTE) > times
        ),
        "AccessRefused": lambda times: (
            increase(metric("mngdb_refused_total", kind="access"), 5 * MINUTE) > times
        ),
        "LoginsRefused": lambda times: (
            increase(metric("mngdb_refused_total", kind="login"), 5 * MINUTE) > times
        ),
        # also with external servers alone, which have no units
        "AgentGone": "mngdb_build_info",
        "ChecksFailing": lambda failing: (
            metric("mngdb_findings", severity="critical", verdict="fail") > failing
        ),
        "NotificationsFailing": lambda times: (
            increase(metric("mngdb_notifications_failed_total"), 15 * MINUTE) > times
        ),
    },
)
