"""`slow`: what takes the servers' time, all engines in one ranked list."""

from __future__ import annotations

from functools import partial

from msgspec import Struct

from mngdb.engines.protocol import Diagnose, S, Verb
from mngdb.errors import MngdbError
from mngdb.facts.slow import Slow, Span, Statement
from mngdb.model import DesiredInstance
from mngdb.ops import ask, workers
from mngdb.ops.context import Context
from mngdb.ops.history import History
from mngdb.spec.agent import AGENT


class Ranked(Struct, frozen=True):
    """The most expensive statements with their instances, notes on how to read them, and the
    instances that could not be asked."""

    statements: list[tuple[str, Statement]]
    notes: dict[str, str]
    errors: dict[str, MngdbError]


def in_log(
    context: Context, engine: Diagnose[S], asked: DesiredInstance, since: float | None = None
) -> Slow | None:
    """What the target's log of slow operations has, of the last seconds; None: it has no such log.
    Raises MngdbError."""
    lines, read = context.target(asked.instance).slow_log, engine.slow_lines
    if lines is None or read is None:
        return None
    return read(lines(asked, since), asked)


def slow(context: Context, instance: str | None, most: int, since: float | None) -> Ranked:
    """The `most` expensive statements; with `since`, in seconds, those of that span before now.
    Redis and MongoDB tell when each was; of PostgreSQL the agent knows earlier sums."""
    history = History(context.stack.state / AGENT)

    def verb(engine: Diagnose[S]) -> Verb[S, Slow] | None:
        look = engine.slow
        if look is None:
            return None

        def question(session: S, asked: DesiredInstance) -> Slow:
            if (told := in_log(context, engine, asked, since)) is not None:
                return told
            before = partial(history.before, asked.instance.name)
            return look(session, asked, Span(since, most, before))

        return question

    answers, errors = workers.apart(ask.each(context, instance, "slow", verb))
    found: list[tuple[str, Statement]] = []
    notes = {}
    for name, one in answers.items():
        found += [(name, statement) for statement in one.statements]
        if one.note:
            notes[name] = one.note
    found.sort(key=lambda pair: -pair[1].total_ms)
    return Ranked(found[:most], notes, errors)
