"""Servers whose instance left the file: they are stopped, their data stays."""

from __future__ import annotations

from mngdb.model import Notice, Step
from mngdb.ops import registry
from mngdb.ops.context import Context
from mngdb.targets.protocol import Servers, UnitRecord


def leftovers(context: Context) -> list[tuple[Servers, UnitRecord]]:
    """The units that were made and are not in the file, or that live elsewhere now."""
    every = context.stack.members.values()
    here = {(id(context.target(one.instance).servers), one.name) for one in every}
    return [
        (servers, note)
        for servers in context.servers()
        for note in servers.units()
        if (id(servers), note.unit) not in here
    ]


def steps(context: Context) -> list[Step[None]]:
    """A stop for each of them that runs."""
    found = leftovers(context)
    return [_stop(context, servers, note) for servers, note in found if servers.process(note.unit)]


def _stop(context: Context, servers: Servers, note: UnitRecord) -> Step[None]:
    def run(_: object) -> None:
        servers.stop(note.unit, registry.engine(note.engine).stop_signal)

    moved = note.instance in context.stack.instances
    detail = (
        f"its instance {'moved to another target' if moved else 'left the file'}; its data is kept"
    )
    return Step(note.instance, note.engine, "stop", note.unit, detail, run)


def notices(context: Context) -> list[Notice]:
    """Where the data of those that are stopped is."""
    return [
        _notice(context, note, servers.place(note.unit))
        for servers, note in leftovers(context)
        if servers.process(note.unit) is None
    ]


def _notice(context: Context, note: UnitRecord, place: str) -> Notice:
    if note.instance in context.stack.instances:
        text = f"{note.instance} ran on another target before; its data there is in {place}"
        return Notice("", text, "migrate it by dump and restore, or remove it")
    text = f"{note.unit} is not in the file; its data is in {place}"
    return Notice("", text, f"put {note.instance} back into the file, or remove its data")
