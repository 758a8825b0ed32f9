"""`slow`: what takes the servers' time, all engines in one ranked list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mngdb.errors import MngdbError
from mngdb.facts.slow import Slow, Snapshot, Statement
from mngdb.model import Asked
from mngdb.ops import ask, workers
from mngdb.ops.context import Context
from mngdb.spec.agent import AGENT
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
    """The `most` expensive statements; with `since`, in seconds, those of that span before now.
    Redis and MongoDB tell when each was; of PostgreSQL the agent knows earlier sums."""
    chosen = ask.chosen(context, instance, _ALL)
    results = ask.each(
        context, chosen, lambda session, asked: of_instance(context, session, asked, since, most)
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
EXPLAINED = 20


def of_instance(
    context: Context, session: Any, asked: Asked, since: float | None = None, most: int = EXPLAINED
) -> Slow:
    """The statements of one server, on its session; of PostgreSQL at most `most`."""
    grants = asked.instance.grants
    if asked.instance.engine == "postgres":
        from mngdb.engines.postgres import slow as postgres

        apps = {app: context.login(asked, app) for app in grants}

        def before(moment: float) -> tuple[Snapshot | None, str]:
            from mngdb.ops.history import History

            history = History(context.stack.state / AGENT)
            return history.before(asked.instance.name, moment)

        return postgres.look(session, apps, (most, EXPLAINED), since, before)
    if asked.instance.engine == "redis":
        from mngdb.engines.redis import slow as redis

        patterns = {app: tuple(grant.keys) for app, grant in grants.items()}  # type: ignore[union-attr]
        return redis.look(session, patterns, since)
    from mngdb.engines.mongodb import slow as mongodb

    databases = ask.databases(asked, session)
    return mongodb.look(session, databases, since)
