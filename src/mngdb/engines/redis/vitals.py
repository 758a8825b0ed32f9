"""What `status` asks of a server."""

from __future__ import annotations

from mngdb.engines.redis import full
from mngdb.engines.redis.client import RefusedError, Session, unwritable
from mngdb.engines.redis.look import parse_info
from mngdb.engines.redis.release import release
from mngdb.model import Vitals


def vitals(session: Session) -> Vitals:
    """Version, uptime and role. Raises RefusedError when INFO is not permitted, ConnectError when
    the server takes no writes since it cannot save, or its memory is full."""
    told, answer = session.ask_all([["INFO"], ["PING"]])
    if isinstance(told, RefusedError):
        raise told
    if isinstance(answer, RefusedError) and answer.code == "MISCONF":
        raise unwritable(session.access, answer.message)
    info = parse_info(told)
    if (refusal := full.refusal(info, session.access.instance)) is not None:
        raise refusal
    found = release(info)
    up, replica = float(info["uptime_in_seconds"]), info.get("role") == "slave"
    if not replica:
        return Vitals(found.version, up, found.product, "primary")
    linked = info.get("master_link_status") == "up"
    heard = "master_last_io_seconds_ago" if linked else "master_link_down_since_seconds"
    silent = float(info.get(heard, -1))  # -1: there was no link yet
    return Vitals(found.version, up, found.product, "replica", silent if silent >= 0 else None)
