"""What `status` asks of a server."""

from __future__ import annotations

from mngdb.engines.redis.client import Session
from mngdb.engines.redis.observe import parse_info
from mngdb.engines.redis.release import release
from mngdb.model import Vitals


def vitals(session: Session) -> Vitals:
    """Version and uptime. Raises RefusedError when INFO is not permitted."""
    info = parse_info(session.ask("INFO", "server"))
    found = release(info)
    return Vitals(found.version, float(info["uptime_in_seconds"]), found.product)
