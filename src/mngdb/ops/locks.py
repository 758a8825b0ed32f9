"""`locks`: who blocks whom in PostgreSQL, and ending a session."""

from __future__ import annotations

from mngdb.errors import UsageError
from mngdb.facts.locks import Node, chains
from mngdb.model import Step
from mngdb.ops import ask, audit, workers
from mngdb.ops.context import Context


def locks(context: Context, instance: str | None) -> dict[str, workers.Result[tuple[Node, ...]]]:
    """Instance to its chains of waiting sessions, or why it could not be asked."""
    from mngdb.engines.postgres.locks import look

    chosen = ask.chosen(context, instance, ["postgres"])
    return ask.each(context, chosen, lambda session, _: chains(look(session)))


def kill(context: Context, instance: str | None, pid: int, terminate: bool, force: bool) -> str:
    """End a statement or a session; what was done. Written into the audit log. Raises UsageError
    where the file has several PostgreSQL and none is named: the same pid may be in each."""
    from mngdb.engines.postgres.locks import end

    one, *others = ask.chosen(context, instance, ["postgres"])
    if others:
        names = ", ".join(found.name for found in (one, *others))
        raise UsageError("in which PostgreSQL?", f"--instance NAME, one of: {names}")

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
