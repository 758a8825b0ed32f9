"""`locks`: who blocks whom, and ending a session."""

from __future__ import annotations

from mngdb.engines.protocol import Diagnose, S, Verb
from mngdb.facts.locks import Node, chains
from mngdb.model import DesiredInstance, Step
from mngdb.ops import ask, audit, workers
from mngdb.ops.context import Context
from mngdb.spec.base import EngineName


def locks(context: Context, instance: str | None) -> dict[str, workers.Result[tuple[Node, ...]]]:
    """Instance to its chains of waiting sessions, or why it could not be asked."""

    def verb(engine: Diagnose[S]) -> Verb[S, tuple[Node, ...]] | None:
        look = engine.locks
        return look and (lambda session, asked: chains(look(session, asked)))

    return ask.each(context, instance, "locks", verb)


def kill(context: Context, instance: str | None, pid: int, terminate: bool, force: bool) -> str:
    """End a statement or a session; what was done. Written into the audit log. Raises UsageError
    where several instances could be meant and none is named: the same pid may be in each."""

    def verb(engine: Diagnose[S]) -> Verb[S, tuple[str, EngineName, str]] | None:
        end = engine.end_session
        if end is None:
            return None

        def question(session: S, asked: DesiredInstance) -> tuple[str, EngineName, str]:
            done = end(session, pid, terminate=terminate, force=force)
            return asked.instance.name, asked.instance.engine, done

        return question

    name, engine, found = ask.one(context, instance, "locks kill", verb, "--instance")
    action = "terminate" if terminate else "cancel"
    step: Step[None] = Step(
        name, engine, "stop", f"session {pid}", f"{action}: {found}", lambda _: None
    )
    if context.stack.state.is_dir():
        audit.note(context.stack.state, "locks kill", step)
    return found
