"""What a Redis tells of its memory, in one round trip."""

from __future__ import annotations

from typing import Any

from mngdb.engines.redis.client import Session
from mngdb.engines.redis.look import pairs, parse_info, told
from mngdb.engines.redis.sessions import described, others
from mngdb.facts.redis_memory import RedisClient, RedisMemory
from mngdb.findings import see

_QUESTIONS = (
    ("INFO", "memory", "stats"),
    ("MEMORY", "STATS"),
    ("MEMORY", "DOCTOR"),
    ("CLIENT", "LIST"),
    ("CLIENT", "ID"),
    ("CONFIG", "GET", "activedefrag", "active-defrag-ignore-bytes"),
)


def look(session: Session) -> RedisMemory:
    """The figures; what this login may not ask is a reason. Raises UnobservableError without INFO,
    ConnectError when the server is gone."""
    info, stats, doctor, clients, own, settings = session.ask_all(_QUESTIONS)
    return RedisMemory(
        info=parse_info(told(info, "INFO")),
        stats=see(lambda: _figures(told(stats, "MEMORY STATS"))),
        doctor=see(lambda: str(told(doctor, "MEMORY DOCTOR"))),
        clients=see(lambda: _clients(told(clients, "CLIENT LIST"), str(own))),
        settings=see(lambda: pairs(told(settings, "CONFIG GET"))),
    )


def _figures(flat: list[Any]) -> dict[str, float]:
    """Numbers by name; those of all databases' tables together are `keys.tables`."""
    found: dict[str, float] = {"keys.tables": 0}
    for name, value in zip(flat[::2], flat[1::2], strict=True):
        if isinstance(value, list):
            # db.0: its tables
            inner = dict(zip(value[::2], value[1::2], strict=True))
            found["keys.tables"] += sum(float(size) for size in inner.values())
        else:
            found[name] = float(value)
    return found


def _clients(text: str, own: str) -> tuple[RedisClient, ...]:
    found = []
    for words in others(text, own):
        client, command = described(words)
        sizes = int(words.get("tot-mem", 0)), int(words["omem"])
        found.append(RedisClient(words["id"], words.get("user", ""), client, *sizes, command))
    return tuple(found)
