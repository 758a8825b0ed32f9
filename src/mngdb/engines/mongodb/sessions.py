"""Who is connected to MongoDB: the stage $currentOp, and what serverStatus counts."""

from __future__ import annotations

from typing import Any

from mngdb.engines.mongodb.client import Document, Session
from mngdb.facts.sessions import OneSession, Sessions

#: What drivers and other members keep asking, each for up to ten seconds, until something changes.
_HEARTBEATS = frozenset({"hello", "isMaster", "ismaster"})
_STAGE = {"$currentOp": {"allUsers": True, "idleConnections": True, "idleSessions": False}}


def look(session: Session) -> Sessions:
    """Every client's connection but our own; the server's own threads are left out."""
    counts = session.command("serverStatus")["connections"]
    found = []
    for one in session.client.admin.aggregate([_STAGE]):
        if "client" not in one and "client_s" not in one:
            continue
        if "$currentOp" in str(one.get("command", {}).get("pipeline", "")):
            continue
        found.append(_one(one))
    return Sessions(int(counts["current"]) + int(counts["available"]), tuple(found))


def _one(one: Document) -> OneSession:
    users = one.get("effectiveUsers") or [{"user": ""}]
    host = str(one.get("client") or one.get("client_s", "")).rpartition(":")[0]
    command: Any = one.get("command") or {}
    name = next(iter(command), "")
    # the values stay away: a filter may hold what is secret
    doing = " ".join(filter(None, (name, str(one.get("ns", "")))))
    if one.get("waitingForLock"):
        state = "waiting"
    elif one.get("active"):
        state = "heartbeat" if name in _HEARTBEATS else "active"
    else:
        state = "idle"
    return OneSession(
        str(one.get("connectionId", "")),
        str(users[0]["user"]),
        str(one.get("ns", "")).partition(".")[0],
        " ".join(filter(None, (host, str(one.get("appName", ""))))),
        state,
        float(one.get("microsecs_running", 0)) / 1e6,
        doing,
    )
