"""`indexes`: which cost without use, and which are missing."""

from __future__ import annotations

from msgspec.structs import replace

from mngdb.engines.protocol import Diagnose, S, Verb
from mngdb.errors import ConnectError, StepError, UnobservableError
from mngdb.facts.indexes import NOT_TOLD, ORDER, Advice
from mngdb.facts.slow import Slow, Span
from mngdb.model import DesiredInstance
from mngdb.ops import ask, workers
from mngdb.ops.context import Context


def indexes(context: Context, instance: str | None) -> dict[str, workers.Result[Advice]]:
    """Instance to what to do about its indexes, the missing ones first."""
    return ask.each(context, instance, "indexes", _question)


def _question(engine: Diagnose[S]) -> Verb[S, Advice] | None:
    look, look_for_slow = engine.indexes, engine.slow
    if look is None:
        return None

    def question(session: S, asked: DesiredInstance) -> Advice:
        slow: Slow | None = None
        notes = []
        try:
            slow = look_for_slow(session, asked, Span()) if look_for_slow else None
        except ConnectError:
            raise
        except (UnobservableError, StepError) as error:
            # what is there twice or not used is known without
            notes.append(f"{NOT_TOLD}: {error.message}" + (f"; {error.hint}" if error.hint else ""))
        found = look(session, asked, slow)
        order = sorted(found.indexes, key=lambda one: (ORDER.index(one.kind), -one.size))
        note = "; ".join(filter(None, (found.note, *notes)))
        return replace(found, indexes=tuple(order), note=note)

    return question
