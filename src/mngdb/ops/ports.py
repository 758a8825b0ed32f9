"""Chooses the ports that the file leaves to mngdb, and remembers them in STATE/ports.json: written
before a server starts, kept by `down`, gone with `destroy`."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from mngdb import disk
from mngdb.errors import MngdbError
from mngdb.identity import record
from mngdb.identity.home import homes
from mngdb.spec.ports import OpenPort, filled, fixed_ports, open_ports
from mngdb.spec.stack import Stack

_FILE = "ports.json"
_LAST = 65535


class DamagedError(MngdbError):
    """The note of the ports cannot be read."""


def opened(stack: Stack, environ: Mapping[str, str]) -> Stack:
    """The stack with the ports that are remembered, and for others those that `up` would choose
    now. Raises MngdbError for a note that is damaged."""
    wanted = open_ports(stack)
    return filled(stack, _chosen(stack, wanted, _kept(stack, wanted), environ) if wanted else {})


def settled(
    stack: Stack, environ: Mapping[str, str], stays: Callable[[OpenPort], bool] | None = None
) -> Stack:
    """The same with every choice written: no two stacks of an account choose the same. The stack's
    folder has to exist. With `stays`, ports of which it is false are chosen anew if others have
    them. Raises MngdbError, OSError."""
    wanted = open_ports(stack)
    if not wanted:
        (stack.state / _FILE).unlink(missing_ok=True)
        return stack
    with disk.alone(stack.state.parent / ".lock"):
        noted = kept = _kept(stack, wanted)
        if stays is not None:
            kept = {
                one.name: noted[one.name]
                for one in wanted
                if one.name in noted and (stays(one) or _is_free(stack, one, noted[one.name]))
            }
        chosen = _chosen(stack, wanted, kept, environ)
        if chosen != noted:
            disk.write(stack.state / _FILE, json.dumps(chosen, indent=1) + "\n")
    return stack if chosen == stack.chosen else filled(stack, chosen)


def _kept(stack: Stack, wanted: list[OpenPort]) -> dict[str, int]:
    """Those that are remembered. A damaged note is written anew where it has the agent's alone,
    which no app connects to."""
    try:
        return _noted(stack.state)
    except DamagedError:
        if any(one.instance for one in wanted):
            raise
        return {}


def _chosen(
    stack: Stack, wanted: list[OpenPort], kept: Mapping[str, int], environ: Mapping[str, str]
) -> dict[str, int]:
    missing = [one for one in wanted if one.name not in kept]
    chosen = {one.name: kept[one.name] for one in wanted if one.name in kept}
    taken = fixed_ports(stack) | set(chosen.values())
    if missing:
        taken |= set(_of_others(stack.state, environ))
    for one in missing:
        port = next(
            (
                port
                for port in range(one.first, _LAST + 1)
                if port not in taken and _is_free(stack, one, port)
            ),
            None,
        )
        if port is None:
            raise MngdbError(f"no port from {one.first} on is free for {one.name}")
        chosen[one.name] = port
        taken.add(port)
    return chosen


def _is_free(stack: Stack, wanted: OpenPort, port: int) -> bool:
    """Whether a port is free, or a process of the stack has it: a server keeps its own."""
    from mngdb.targets.process import machine  # here: few commands choose

    folders = (stack.state, (stack.state / "servers").resolve())
    return machine.is_free(wanted.hosts, port, folders)


def _of_others(state: Path, environ: Mapping[str, str]) -> Iterator[int]:
    """The ports that other stacks remember, running or not, as far as this account may look."""
    for home in homes(environ):
        for other, _ in record.records(home):
            if other != state:
                with contextlib.suppress(MngdbError, OSError):  # told to whoever uses that stack
                    yield from _noted(other, anybody=True).values()


def _noted(state: Path, *, anybody: bool = False) -> dict[str, int]:
    path = state / _FILE
    text = disk.read_own(path, owners=None if anybody else ())
    if text is None:
        return {}
    try:
        found = json.loads(text)
        if all(isinstance(one, int) and 0 < one <= _LAST for one in found.values()):
            return {str(name): port for name, port in found.items()}
    except (ValueError, AttributeError, RecursionError):
        pass
    raise DamagedError(f"{path} is damaged", "remove it; 'mngdb up' chooses the ports anew")
