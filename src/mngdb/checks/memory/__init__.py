"""Judges where a server's memory goes. Pure; the facts are `mngdb.facts.memory`."""

from __future__ import annotations

from mngdb.checks.memory import mongodb, postgres, redis
from mngdb.facts.memory import Around, Memory, MemoryFacts
from mngdb.facts.mongodb_memory import MongodbMemory
from mngdb.facts.postgres_memory import PostgresMemory
from mngdb.facts.redis_memory import RedisMemory


def judge(facts: MemoryFacts, around: Around, name: str) -> Memory:
    """The answer for the instance `name`."""
    match facts:
        case PostgresMemory():
            return postgres.judge(facts, around, name)
        case RedisMemory():
            return redis.judge(facts, around, name)
        case MongodbMemory():
            return mongodb.judge(facts, around, name)
        case _:
            raise TypeError(f"nobody judges {type(facts).__name__}")
