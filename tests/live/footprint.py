"""What a stack takes of its machine, to be compared with what it takes after much work."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
from msgspec import Struct

from tests.conftest import Cli
from tests.live.scrapes import pid_of


class Footprint(Struct, frozen=True):
    """At a moment."""

    processes: tuple[str, ...]
    """The names of those that work in the stack's folder, without those that they started."""
    ports: int
    """On which these listen."""
    files: frozenset[str]
    """Of the state, without servers' own data."""
    temporary: tuple[str, ...]
    stored: frozenset[str]
    """The store's objects, without those of the log."""
    handles: int
    """The agent's, without its connections."""
    threads: int
    """The agent's."""
    memory: int
    """Bytes that are the agent's own."""


def footprint(cli: Cli, store: Path, temporary: Path) -> Footprint:
    """Of a stack with an agent, whose commands have `temporary` as their TMPDIR."""
    agent = psutil.Process(pid_of(cli, "mng-agent"))
    mine = list(_processes(cli.state))
    pids = {one.pid for one in mine}
    files = (one.relative_to(store) for one in store.rglob("*") if one.is_file())
    return Footprint(
        processes=tuple(sorted(one.name() for one in mine if one.ppid() not in pids)),
        ports=sum(len(_ports(one)) for one in mine),
        files=frozenset(_files(cli.state)),
        temporary=tuple(sorted(one.name for one in temporary.iterdir())),
        stored=frozenset(
            str(one) for one in files if not any(part.endswith(".log") for part in one.parts)
        ),
        handles=agent.num_fds() - len(agent.net_connections("all")),
        threads=agent.num_threads(),
        memory=agent.memory_full_info().uss,
    )


def _processes(state: Path) -> Iterator[psutil.Process]:
    for one in psutil.process_iter():
        with suppress(psutil.Error):
            if Path(one.cwd()).is_relative_to(state):
                yield one


def _ports(process: psutil.Process) -> list[int]:
    with suppress(psutil.Error):
        found = process.net_connections("inet")
        return [one.laddr.port for one in found if one.status == psutil.CONN_LISTEN]
    return []


def _files(state: Path) -> Iterator[str]:
    for at, folders, names in os.walk(state):
        folders[:] = [one for one in folders if one != "servers"]
        yield from (str((Path(at) / one).relative_to(state)) for one in names + folders)
