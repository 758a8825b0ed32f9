"""`bloat`: space that is taken and holds nothing."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from mngdb.facts.bloat import Bloated
from mngdb.model import Asked
from mngdb.ops import ask, workers
from mngdb.ops.context import Context


def bloat(context: Context, instance: str | None) -> dict[str, workers.Result[Bloated]]:
    """Instance to its bloated tables and collections, the worst first."""
    chosen = ask.chosen(context, instance, ["postgres", "mongodb"])

    def question(session: Any, asked: Asked) -> Bloated:
        databases = ask.databases(asked, session)
        module = import_module(f"mngdb.engines.{asked.instance.engine}.bloat")
        found: Bloated = module.look(session, databases)
        return found

    return ask.each(context, chosen, question)
