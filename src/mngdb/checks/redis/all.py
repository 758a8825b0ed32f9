"""What has to be true of a Redis server in production.

Sources: the requirements (B12 to B17), the guide's chapters, and redis.io's pages: "security",
"ACL", "persistence", "administration", "latency", "clients", "TLS".
"""

from __future__ import annotations

from mngdb.checks.redis import access, config, health

CHECKS = (*access.CHECKS, *config.CHECKS, *health.CHECKS)
