"""The servers' logs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mngdb.errors import UsageError
from mngdb.ops.agent import AgentUnit
from mngdb.ops.context import Context
from mngdb.spec.agent import AGENT
from mngdb.spec.stack import Instance
from mngdb.targets.local import logs

if TYPE_CHECKING:
    from mngdb.targets.compose.host import ComposeHost


def _managed(context: Context, name: str) -> Instance:
    instance = context.instance(name)
    if instance.target.external:
        raise UsageError(
            f"{name} is run by somebody else; its log is not here", "ask whoever runs it"
        )
    return instance


def _of_agent(context: Context, name: str) -> bool:
    return name == AGENT and context.stack.agent is not None


def _service(context: Context, name: str) -> ComposeHost | None:
    """Who keeps the log of a container beside the servers, which has no instance's name."""
    here = any(one.target.compose for one in context.stack.instances.values())
    named = name in context.stack.instances or not here
    return None if named or name not in context.compose.beside.names else context.compose


def tail(context: Context, name: str, lines: int) -> list[str]:
    """The last lines of a log: an instance's, the agent's, that of a container beside the servers.
    Raises UsageError for a server that is not ours."""
    lines = max(0, lines)
    compose = _service(context, name)
    if compose is not None:
        return compose.log_lines(name, lines)
    if _of_agent(context, name):
        return logs.last(AgentUnit(context).log, lines)
    instance = _managed(context, name)
    return context.host(instance).log_lines(instance.unit, lines)


def follow(context: Context, name: str, lines: int) -> Iterator[str]:
    """The last lines of a log, as `tail`, then others as they come, without end."""
    lines = max(0, lines)
    compose = _service(context, name)
    if compose is not None:
        return compose.follow(name, lines)
    if _of_agent(context, name):
        return logs.follow(AgentUnit(context).log, lines)
    instance = _managed(context, name)
    return context.host(instance).follow(instance.unit, lines)
