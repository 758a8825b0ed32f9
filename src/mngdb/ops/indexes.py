"""`indexes`: which cost without use, and which are missing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mngdb.errors import ConnectError, StepError, UnobservableError
from mngdb.facts.indexes import ORDER, Advice
from mngdb.facts.slow import Missing
from mngdb.model import Asked
from mngdb.ops import ask, slow, workers
from mngdb.ops.context import Context

_NOT_TOLD = "what is missing is not told"
_NO_PLANS = "plans are asked for as the apps of the file, and it has none here"


def indexes(context: Context, instance: str | None) -> dict[str, workers.Result[Advice]]:
    """Instance to what to do about its indexes, the missing ones first."""
    chosen = ask.chosen(context, instance, ["postgres", "mongodb"])

    def question(session: Any, asked: Asked) -> Advice:
        databases = ask.databases(asked, session)
        notes = []
        missing: list[Missing] = []
        try:
            slow_ones = slow.of_instance(context, session, asked)
            missing = [lack for one in slow_ones.statements for lack in one.missing]
            if asked.instance.engine == "mongodb" and slow_ones.note:
                notes.append(f"{_NOT_TOLD}: {slow_ones.note}")
        except ConnectError:
            raise
        except (UnobservableError, StepError) as error:
            # what is there twice or not used is known without
            notes.append(
                f"{_NOT_TOLD}: {error.message}" + (f"; {error.hint}" if error.hint else "")
            )
        if asked.instance.engine == "postgres":
            from mngdb.engines.postgres import index_use as postgres

            found = postgres.look(session, databases, missing)
            if not asked.instance.grants and not notes:
                notes.append(f"{_NOT_TOLD}: {_NO_PLANS}")
        else:
            from mngdb.engines.mongodb import index_use as mongodb

            found = mongodb.look(session, databases, missing, asked)
        order = sorted(found.indexes, key=lambda one: (ORDER.index(one.kind), -one.size))
        note = "; ".join(filter(None, (found.note, *notes)))
        return replace(found, indexes=tuple(order), note=note)

    return ask.each(context, chosen, question)
