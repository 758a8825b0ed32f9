"""What has to be true of a PostgreSQL server in production.

Sources: the requirements (A1 to A12, and those of part B that speak of every server), the chapters
of PostgreSQL's manual by their titles, and the public list of pgdsat, which numbers its controls as
the CIS Benchmark for PostgreSQL 17 does and adds some of its own (`pgdsat 5.9`).
"""

from __future__ import annotations

from mngdb.checks import (
    postgres_door,
    postgres_durable,
    postgres_hba,
    postgres_health,
    postgres_limits,
    postgres_log,
    postgres_rights,
    postgres_roles,
    postgres_tables,
)

CHECKS = (
    *postgres_door.CHECKS,
    *postgres_hba.CHECKS,
    *postgres_roles.CHECKS,
    *postgres_rights.CHECKS,
    *postgres_durable.CHECKS,
    *postgres_limits.CHECKS,
    *postgres_log.CHECKS,
    *postgres_health.CHECKS,
    *postgres_tables.CHECKS,
)
