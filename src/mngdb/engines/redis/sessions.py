"""Who is connected to Redis: https://redis.io/docs/latest/commands/client-list/"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from mngdb.engines.redis import acl
from mngdb.engines.redis.client import Session
from mngdb.engines.redis.look import parse_info
from mngdb.facts.sessions import OneSession, Sessions
from mngdb.model import DesiredInstance


def look(session: Session, asked: DesiredInstance) -> Sessions:
    """Every client but ourselves, by its app or login. Raises RefusedError when CLIENT LIST is
    not permitted."""
    own = str(session.ask("CLIENT", "ID"))
    limit = int(parse_info(session.ask("INFO", "clients")).get("maxclients", 0))
    found = others(session.ask("CLIENT", "LIST"), own)
    apps = {login: app for login, (app, _) in acl.by_login(asked).items()}
    return Sessions(limit, tuple(_one(words, apps) for words in found))


def others(clients: str, own: str) -> Iterator[dict[str, str]]:
    """The fields of each line of CLIENT LIST but that of the client `own`."""
    for line in clients.splitlines():
        words = dict(pair.split("=", 1) for pair in line.split(" ") if "=" in pair)
        if words.get("id") != own:
            yield words


def described(words: dict[str, str]) -> tuple[str, str]:
    """Where a client comes from with what it calls itself, and its last command."""
    client = " ".join(filter(None, (words["addr"].rpartition(":")[0], words.get("name"))))
    return client, words["cmd"].replace("|", " ").upper()


def _one(words: dict[str, str], apps: Mapping[str, str]) -> OneSession:
    idle = float(words["idle"])
    flags = words["flags"]
    if "b" in flags:
        state = "waiting"
    elif "S" in flags:
        state = "heartbeat"  # a replica acknowledges once a second
    elif "P" in flags:
        state = "subscribed"
    else:
        state = "idle" if idle >= 1 else "active"
    client, command = described(words)
    age = float(words["age"])
    app = apps.get(words["user"], words["user"])
    return OneSession(words["id"], app, words["db"], client, state, idle, command, age)


def hang_up(session: Session, login: str, only: Collection[str] | None) -> None:
    """End the sessions of a login but our own, or those with the ids `only`, which the server uses
    once. Raises ConnectError."""
    own = str(session.ask("CLIENT", "ID"))
    every = others(session.ask("CLIENT", "LIST"), own)
    ids = [o["id"] for o in every if (o["user"] == login if only is None else o["id"] in only)]
    session.ask_all([["CLIENT", "KILL", "ID", one] for one in ids])
