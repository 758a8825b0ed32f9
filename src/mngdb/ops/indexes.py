"""`indexes`: which cost without use, and which are missing."""

from __future__ import annotations

import time
from functools import partial

from msgspec.structs import replace

from mngdb.engines.protocol import Diagnose, S, Verb
from mngdb.errors import ConnectError, MngdbError, StepError, UnobservableError
from mngdb.facts.indexes import NOT_TOLD, ORDER, Advice
from mngdb.facts.slow import Slow, Span
from mngdb.model import DesiredInstance
from mngdb.ops import ask, index_ages, workers
from mngdb.ops.context import Context
from mngdb.ops.slow import in_log

#: Seconds for which an index has to be seen without a use before it is called unused: what is
#: asked once a week is a use.
UNUSED = 7 * 86_400.0


def indexes(
    context: Context, instance: str | None, unused: float = UNUSED
) -> dict[str, workers.Result[Advice]]:
    """Instance to what to do about its indexes, the missing ones first. `unused`: seconds without a
    use after which an index is called so."""
    answers = ask.each(context, instance, "indexes", partial(_question, context))
    state, now = context.stack.state, time.time()
    return {
        name: replace(one, value=index_ages.judged(state, name, one.value, unused, now))
        if one.value
        else one
        for name, one in answers.items()
    }


def _question(context: Context, engine: Diagnose[S]) -> Verb[S, Advice] | None:
    look, look_for_slow = engine.indexes, engine.slow
    if look is None:
        return None

    def question(session: S, asked: DesiredInstance) -> Advice:
        slow: Slow | None = None
        notes = []
        try:
            slow = in_log(context, engine, asked)
            if slow is None and look_for_slow is not None:
                slow = look_for_slow(session, asked, Span())
        except ConnectError:
            raise
        except (UnobservableError, StepError) as error:
            # what is there twice or not used is known without
            notes.append(f"{NOT_TOLD}: {error.message}" + (f"; {error.hint}" if error.hint else ""))
        found = look(session, asked, slow)
        try:
            found = _with_suggested(context, asked, found)
        except MngdbError as error:
            notes.append(f"what its provider suggests is unknown: {error.message}")
        order = sorted(found.indexes, key=lambda one: (ORDER.index(one.kind), -one.size))
        note = "; ".join(filter(None, (found.note, *notes)))
        return replace(found, indexes=tuple(order), note=note)

    return question


def _with_suggested(context: Context, asked: DesiredInstance, found: Advice) -> Advice:
    """With what a provider suggests besides."""
    hosted = context.target(asked.instance).hosted
    if hosted is None:
        return found
    known = {(one.database, one.table, one.index) for one in found.indexes}
    more = (
        one for one in hosted.suggested(asked) if (one.database, one.table, one.index) not in known
    )
    return replace(found, indexes=(*found.indexes, *more))
