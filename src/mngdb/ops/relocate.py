"""Moves a stack whose state is still in the project, where the version before kept it."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from mngdb.identity import before
from mngdb.lock import lock
from mngdb.model import Step
from mngdb.ops import audit
from mngdb.ops.context import Context
from mngdb.ops.down import stop_here
from mngdb.spec.agent import AGENT


def due(context: Context) -> Step[None] | None:
    """The step that `relocated` takes; None: the state is where it belongs."""
    found = context.located
    if found.kind != "before":
        return None
    detail = (
        f"moved out of the project, to {found.home / found.record.folder}; its servers are "
        "restarted"
    )
    return Step(AGENT, AGENT, "move", "state", detail, lambda _: None, restart=True)


def relocated(
    context: Context, on_event: Callable[[object], None]
) -> tuple[Context, Step[None] | None]:
    """The stack with its state where it belongs, and the step that was taken for it. Servers of
    this machine are stopped for it. Raises MngdbError, OSError; nothing is moved then."""
    step = due(context)
    if step is None:
        return context, None
    found = context.located
    with lock(found.state / "lock", "up"):
        stop_here(context, on_event)
        state = before.move(found.state, found.record, found.home)
    audit.note(state, "up", step)
    stack = replace(context.stack, state=state)
    located = replace(found, kind="known", state=state)
    return replace(context, stack=stack, located=located), step
