"""`bloat`: space that is taken and holds nothing."""

from __future__ import annotations

from mngdb.facts.bloat import Bloated
from mngdb.ops import ask, workers
from mngdb.ops.context import Context


def bloat(context: Context, instance: str | None) -> dict[str, workers.Result[Bloated]]:
    """Instance to its bloated tables and collections, the worst first."""
    return ask.each(context, instance, "bloat", lambda engine: engine.bloat)
