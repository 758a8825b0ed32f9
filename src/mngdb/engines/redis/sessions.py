"""Who is connected to Redis: https://redis.io/docs/latest/commands/client-list/"""

from __future__ import annotations

from mngdb.engines.redis.client import Session
from mngdb.engines.redis.observe import parse_info
from mngdb.facts.sessions import OneSession, Sessions


def look(session: Session) -> Sessions:
    """Every client but ourselves. Raises RefusedError when CLIENT LIST is not permitted."""
    own = str(session.ask("CLIENT", "ID"))
    limit = int(parse_info(session.ask("INFO", "clients")).get("maxclients", 0))
    found = []
    for line in session.ask("CLIENT", "LIST").splitlines():
        words = dict(pair.split("=", 1) for pair in line.split(" ") if "=" in pair)
        if words.get("id") != own:
            found.append(_one(words))
    return Sessions(limit, tuple(found))


def _one(words: dict[str, str]) -> OneSession:
    idle = float(words["idle"])
    flags = words["flags"]
    if "b" in flags:
        state = "waiting"
    elif "P" in flags:
        state = "subscribed"
    else:
        state = "idle" if idle >= 1 else "active"
    client = " ".join(filter(None, (words["addr"].rpartition(":")[0], words.get("name"))))
    command = words["cmd"].replace("|", " ").upper()
    return OneSession(words["id"], words["user"], words["db"], client, state, idle, command)
