"""What has to be true of a MongoDB server in production.

Sources: the requirements (B4 to B11, B22), the guide's chapters, the manual's pages (mongodb.com:
"security checklist", "production notes", "operations checklist" and those named below), and the
titles of the CIS MongoDB 7 Benchmark v1.2.0 as Tenable's public list of its audit items gives them.
"""

from __future__ import annotations

from mngdb.checks.mongodb import access, health, host, network, parameters, replica

CHECKS = (
    *access.CHECKS,
    *network.CHECKS,
    *host.CHECKS,
    *parameters.CHECKS,
    *replica.CHECKS,
    *health.CHECKS,
)
