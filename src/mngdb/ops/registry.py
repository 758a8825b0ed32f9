"""The engines, by name. An engine's code is imported when it is used."""

from __future__ import annotations

from importlib import import_module

from mngdb.engines.loading import TURN
from mngdb.engines.protocol import AnyEngine
from mngdb.spec.base import EngineName

#: Each of these has an `ENGINE`.
PACKAGES: dict[EngineName, str] = {
    "postgres": "mngdb.engines.postgres",
    "redis": "mngdb.engines.redis",
    "mongodb": "mngdb.engines.mongodb",
}


def engine(name: EngineName) -> AnyEngine:
    """The engine called `name`."""
    with TURN:
        found: AnyEngine = import_module(PACKAGES[name]).ENGINE
    return found


def every() -> list[AnyEngine]:
    """All engines."""
    return [engine(name) for name in PACKAGES]
