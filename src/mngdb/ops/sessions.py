"""`sessions` and `connections`: who is connected to each server, who holds how many."""

from __future__ import annotations

from mngdb.facts.sessions import Sessions
from mngdb.ops import ask, workers
from mngdb.ops.context import Context


def sessions(context: Context, instance: str | None) -> dict[str, workers.Result[Sessions]]:
    """Instance to its sessions, or why they could not be seen."""
    return ask.each(context, instance, "sessions", lambda engine: engine.sessions)
