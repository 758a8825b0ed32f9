"""The servers' logs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from queue import SimpleQueue
from threading import Thread

from mngdb.errors import MngdbError, UsageError
from mngdb.ops.agent import AgentUnit
from mngdb.ops.context import Context
from mngdb.spec.agent import AGENT
from mngdb.targets.process import logs
from mngdb.targets.protocol import Servers


def tail(context: Context, name: str, lines: int) -> list[str]:
    """The last lines of a log: an instance's, the agent's, that of a container beside the servers.
    Raises UsageError for a server that is not ours."""
    lines, found = max(0, lines), _keeper(context, name)
    if found is None:
        return logs.last(AgentUnit(context).log, lines)
    servers, unit = found
    return servers.log_lines(unit, lines)


def every(context: Context) -> list[str]:
    """Whose logs are kept here: every member of our own servers, and the agent."""
    units = [
        member.name
        for instance in context.stack.instances.values()
        if context.target(instance).servers is not None
        for member in instance.members
    ]
    return [*units, *([AGENT] if context.stack.agent is not None else [])]


def follow(context: Context, names: Sequence[str], lines: int) -> Iterator[tuple[str, str]]:
    """The last lines of logs, as `tail`, then others as they come, without end, each with whose it
    is."""
    if len(names) == 1:
        yield from ((names[0], line) for line in _follow(context, names[0], lines))
        return
    found: SimpleQueue[tuple[str, str] | MngdbError] = SimpleQueue()

    def read(name: str) -> None:
        try:
            for line in _follow(context, name, lines):
                found.put((name, line))
        except MngdbError as error:
            found.put(error)

    for name in names:
        Thread(target=read, args=(name,), daemon=True).start()
    while True:
        one = found.get()
        if isinstance(one, MngdbError):
            raise one
        yield one


def _follow(context: Context, name: str, lines: int) -> Iterator[str]:
    lines, found = max(0, lines), _keeper(context, name)
    if found is None:
        return logs.follow(AgentUnit(context).log, lines)
    servers, unit = found
    return servers.follow(unit, lines)


def _keeper(context: Context, name: str) -> tuple[Servers, str] | None:
    """Who keeps a log, and of which unit; None: it is the agent's."""
    if name not in context.stack.instances:
        for target in context.targets():
            if target.servers and target.sidecars and name in target.sidecars.names:
                return target.servers, name
        if name == AGENT and context.stack.agent is not None:
            return None
    member = context.member(name)
    servers = context.target(member.instance).servers
    if servers is None:
        raise UsageError(f"{name} is external; its log is not on this machine", "ask its operator")
    return servers, member.name
