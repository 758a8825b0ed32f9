"""`locks`: who blocks whom in PostgreSQL, and ending a session."""

from __future__ import annotations

from dataclasses import dataclass

from mngdb.facts.locks import Node, chains
from mngdb.model import Step
from mngdb.ops import ask, audit
from mngdb.ops.context import Context


@dataclass(frozen=True)
class Locks:
    """What blocks in one instance."""

    instance: str
    chains: tuple[Node, ...]


def locks(context: Context, instance: str | None) -> list[Locks]:
    """Every chain of waiting sessions, instance by instance."""
    from mngdb.engines.postgres.locks import look

    chosen = ask.chosen(context, instance, ["postgres"])
    found = ask.each(context, chosen, lambda session, _: look(session))
    return [Locks(name, chains(result.get())) for name, result in found.items()]


def kill(context: Context, instance: str | None, pid: int, terminate: bool, force: bool) -> str:
    """End a statement or a session; what was done. Written into the audit log."""
    from mngdb.engines.postgres.locks import end

    one = ask.chosen(context, instance, ["postgres"])[0]

    def run(session: object) -> str:
        return end(session, pid, terminate=terminate, force=force)  # type: ignore[arg-type]

    found = ask.each(context, [one], lambda session, _: run(session))[one.name].get()
    action = "terminate" if terminate else "cancel"
    step = Step(
        one.name, one.engine, "stop", f"session {pid}", f"{action}: {found}", lambda _: None
    )
    if context.stack.state.is_dir():
        audit.note(context.stack.state, "locks kill", step)
    return found
