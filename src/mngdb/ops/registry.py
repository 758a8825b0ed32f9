"""The engines, by name. An engine's code is imported when it is used."""

from __future__ import annotations

from importlib import import_module

from mngdb.model import Engine
from mngdb.spec.base import EngineName

_CLASSES = {
    "postgres": ("mngdb.engines.postgres", "PostgresEngine"),
    "redis": ("mngdb.engines.redis", "RedisEngine"),
    "mongodb": ("mngdb.engines.mongodb", "MongodbEngine"),
}


def engine(name: EngineName) -> Engine:
    """The engine called `name`."""
    module, attribute = _CLASSES[name]
    found: Engine = getattr(import_module(module), attribute)()
    return found
