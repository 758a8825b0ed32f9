"""The servers' logs."""

from __future__ import annotations

from collections.abc import Iterator

from mngdb.errors import UsageError
from mngdb.ops.agent import AgentUnit
from mngdb.ops.context import Context
from mngdb.spec.agent import AGENT
from mngdb.spec.stack import Instance
from mngdb.targets.local import logs


def _managed(context: Context, name: str) -> Instance:
    instance = context.instance(name)
    if instance.target.external:
        raise UsageError(
            f"{name} is run by somebody else; its log is not here", "ask whoever runs it"
        )
    return instance


def _of_agent(context: Context, name: str) -> bool:
    return name == AGENT and context.stack.agent is not None


def tail(context: Context, name: str, lines: int) -> list[str]:
    """The last lines of an instance's log. Raises UsageError for a server that is not ours."""
    if _of_agent(context, name):
        text = logs.tail(AgentUnit(context).log, 256 * max(0, lines))
        return text.splitlines()[-lines:] if lines > 0 else []
    instance = _managed(context, name)
    return context.host(instance).log_lines(instance.unit, max(0, lines))


def follow(context: Context, name: str) -> Iterator[str]:
    """Lines as they come, without end."""
    if _of_agent(context, name):
        return logs.follow(AgentUnit(context).log)
    instance = _managed(context, name)
    return context.host(instance).follow(instance.unit)
