"""The servers' logs."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue
from threading import Thread

from mngdb import room
from mngdb.errors import MngdbError, UnobservableError, UsageError, of_system
from mngdb.facts.logs import LargeLog
from mngdb.ops.agent import AgentUnit
from mngdb.ops.context import Context
from mngdb.spec.agent import AGENT
from mngdb.spec.stack import Instance
from mngdb.targets.log import Log
from mngdb.targets.process.logs import LOG_MAX, LogFile


def tail(context: Context, name: str, lines: int) -> list[str]:
    """The last lines of a log: an instance's, the agent's, that of a container beside the servers.
    Raises UsageError for a server that is not ours, UnobservableError where what it writes cannot
    be read."""
    return _log(context, name).last(max(0, lines))


def every(context: Context) -> list[str]:
    """Whose logs are kept here: every member of our own servers, and the agent."""
    units = [
        member.name
        for instance in context.stack.instances.values()
        if context.target(instance).servers is not None
        for member in instance.members
    ]
    return [*units, *([AGENT] if context.stack.agent is not None else [])]


def follow(
    context: Context, names: Sequence[str], lines: int, failed: Callable[[MngdbError], None]
) -> Iterator[tuple[str, str]]:
    """The last lines of logs, as `tail`, then others as they come, each with whose it is. It ends
    when all of them have: `failed` gets why one cannot be read, and the others go on."""
    found: SimpleQueue[tuple[str, str | BaseException | None]] = SimpleQueue()

    def read(name: str) -> None:
        try:
            for line in _log(context, name).follow(max(0, lines)):
                found.put((name, line))
            found.put((name, None))
        except BaseException as error:  # noqa: BLE001 - whoever waits for lines raises it
            found.put((name, error))

    for name in names:
        Thread(target=read, args=(name,), daemon=True).start()
    going = len(names)
    while going:
        name, one = found.get()
        if isinstance(one, str):
            yield name, one
            continue
        going -= 1
        if isinstance(one, MngdbError | OSError):
            failed(of_system(one))
        elif one is not None:
            raise one


def large(context: Context, instance: Instance) -> LargeLog | None:
    """A server's log that the agent is to keep whole and has no room to set aside."""
    watched, stack = context.target(instance).watched, context.stack
    if watched is None or stack.agent is None or stack.source.logs is None:
        return None
    path = watched.log(instance.unit)
    aside = path.with_name(f"{path.name}.1")  # it waits for room to be compressed
    try:
        size = path.stat().st_size
        waits = aside.stat().st_size if aside.exists() else 0
        if size <= LOG_MAX or max(size, waits) <= room.for_copies(path.parent):
            return None
        return LargeLog(str(path.parent), size + waits, shutil.disk_usage(path.parent).free)
    except OSError:
        return None  # none yet, or not ours to look at


def _log(context: Context, name: str) -> Log:
    """Raises UsageError, UnobservableError."""
    if name not in context.stack.instances:
        for target in context.targets():
            if target.servers and target.sidecars and name in target.sidecars.names:
                return target.servers.log(name)
        if name == AGENT and context.stack.agent is not None:
            unit = AgentUnit(context)
            process = unit.process()
            return LogFile(unit.log, process.pid if process else None)
    member = context.member(name)
    servers = context.target(member.instance).servers
    if servers is None:
        raise UsageError(f"{name} is external; its log is not on this machine", "ask its operator")
    log = servers.log(member.name)
    if why := log.lost():
        raise UnobservableError(
            f"the log of {name} cannot be read: {why}", renewed(member.instance)
        )
    return log


def renewed(instance: Instance) -> str:
    """What helps where a server writes to a log that was moved or removed."""
    return f"'mngdb restart {instance.name}' begins a new log"
