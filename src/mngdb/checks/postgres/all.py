"""What has to be true of a PostgreSQL server in production.

Sources: the requirements (A1 to A12, and those of part B that speak of every server), the chapters
of PostgreSQL's manual by their titles, and the public list of pgdsat, which numbers its controls as
the CIS Benchmark for PostgreSQL 17 does and adds some of its own (`pgdsat 5.9`).
"""

from __future__ import annotations

from mngdb.checks.postgres import (
    durable,
    hba,
    health,
    limits,
    log,
    network,
    rights,
    roles,
    tables,
)

CHECKS = (
    *network.CHECKS,
    *hba.CHECKS,
    *roles.CHECKS,
    *rights.CHECKS,
    *durable.CHECKS,
    *limits.CHECKS,
    *log.CHECKS,
    *health.CHECKS,
    *tables.CHECKS,
)
