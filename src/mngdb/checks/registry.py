"""All checks, by engine. An engine's are imported when they are asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from mngdb.checks.backups import PROVED
from mngdb.findings import Check

_MODULES = {
    "postgres": "mngdb.checks.postgres.all",
    "redis": "mngdb.checks.redis.all",
    "mongodb": "mngdb.checks.mongodb.all",
    "atlas": "mngdb.checks.atlas",
    "stack": "mngdb.checks.stack",
    "host": "mngdb.checks.host",
    "secrets": "mngdb.checks.secrets",
    "env": "mngdb.checks.environment",
}
#: What is judged around the servers, not on a connection to one.
AROUND = ("host", "secrets")
#: What has a command of its own: `mngdb env check`.
APART = ("env",)


def of(engine: str) -> tuple[Check[Any], ...]:
    """The checks of an engine, in the order in which they are shown; none where it has none."""
    if engine not in _MODULES:
        return ()
    found: tuple[Check[Any], ...] = import_module(_MODULES[engine]).CHECKS
    return found + ((PROVED[engine],) if engine in PROVED else ())


def by_engine() -> dict[str, tuple[Check[Any], ...]]:
    """Engine to its checks, as far as `mngdb check` judges them."""
    return {engine: of(engine) for engine in _MODULES if engine not in APART}


def every() -> tuple[Check[Any], ...]:
    """All checks of all engines."""
    return tuple(check for checks in by_engine().values() for check in checks)
