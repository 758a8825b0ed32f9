"""`slow`: what takes the servers' time, all engines in one ranked list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mngdb.errors import MngdbError
from mngdb.facts.slow import Slow, Statement
from mngdb.model import Asked
from mngdb.ops import ask, workers
from mngdb.ops.context import Context
from mngdb.spec.base import EngineName

_ALL: tuple[EngineName, ...] = ("postgres", "redis", "mongodb")


@dataclass(frozen=True)
class Ranked:
    """The most expensive statements with their instances, notes on how to read them, and the
    instances that could not be asked."""

    statements: list[tuple[str, Statement]]
    notes: dict[str, str]
    errors: dict[str, MngdbError]


def slow(context: Context, instance: str | None, most: int, since: float | None) -> Ranked:
    """The `most` expensive statements; `since`, in seconds before now, where the server tells
    when something was."""
    chosen = ask.chosen(context, instance, _ALL)
    results = ask.each(
        context, chosen, lambda session, asked: of_instance(context, session, asked, since)
    )
    found: list[tuple[str, Statement]] = []
    notes = {}
    answers, errors = workers.apart(results)
    for name, one in answers.items():
        found += [(name, statement) for statement in one.statements]
        if one.note:
            notes[name] = one.note
    found.sort(key=lambda pair: -pair[1].total_ms)
    return Ranked(found[:most], notes, errors)


#: Of each PostgreSQL so many are explained: each takes a connection of its app.
_EXPLAINED = 20


def of_instance(context: Context, session: Any, asked: Asked, since: float | None) -> Slow:
    """The statements of one server, on its session."""
    grants = asked.instance.grants
    if asked.instance.engine == "postgres":
        from mngdb.engines.postgres import slow as postgres

        known = context.with_secrets(asked)
        apps = {app: context.login(known, app) for app in grants}
        found = postgres.look(session, apps, _EXPLAINED)
        if since is None:
            return found
        return Slow(found.statements, f"{found.note}: PostgreSQL does not tell when each ran")
    if asked.instance.engine == "redis":
        from mngdb.engines.redis import slow as redis

        patterns = {app: tuple(grant.keys) for app, grant in grants.items()}  # type: ignore[union-attr]
        return redis.look(session, patterns, since)
    from mngdb.engines.mongodb import slow as mongodb

    databases = ask.databases(asked)
    return mongodb.look(session, databases, since)
