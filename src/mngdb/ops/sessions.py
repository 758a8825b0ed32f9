"""`sessions` and `connections`: who is connected to each server, who holds how many."""

from __future__ import annotations

from importlib import import_module

from mngdb.facts.sessions import Sessions
from mngdb.ops import ask, workers
from mngdb.ops.context import Context
from mngdb.spec.base import EngineName

_ALL: tuple[EngineName, ...] = ("postgres", "redis", "mongodb")


def sessions(context: Context, instance: str | None) -> dict[str, workers.Result[Sessions]]:
    """Instance to its sessions, or why they could not be seen."""

    def question(session: object, asked: object) -> Sessions:
        engine = asked.instance.engine  # type: ignore[attr-defined]
        found: Sessions = import_module(f"mngdb.engines.{engine}.sessions").look(session)
        return found

    return ask.each(context, ask.chosen(context, instance, _ALL), question)
