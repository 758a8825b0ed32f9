"""Servers whose instance left the file: they are stopped, their data stays."""

from __future__ import annotations

from mngdb.host import Host, Note
from mngdb.model import Remark, Step
from mngdb.ops import registry
from mngdb.ops.context import Context


def leftovers(context: Context) -> list[tuple[Host, Note]]:
    """The units that were made and are not in the file, or that live elsewhere now."""
    here = {
        (id(context.host(i)), i.unit)
        for i in context.stack.instances.values()
        if not i.target.external
    }
    return [
        (host, note)
        for host in context.hosts()
        for note in host.units()
        if (id(host), note.unit) not in here
    ]


def steps(context: Context) -> list[Step]:
    """A stop for each of them that runs."""
    return [_stop(host, note) for host, note in leftovers(context) if host.process(note.unit)]


def _stop(host: Host, note: Note) -> Step:
    def run(_: object) -> None:
        host.stop(note.unit, registry.engine(note.engine).stop_signal)

    detail = "its instance left the file; its data stays"
    return Step(note.instance, note.engine, "stop", note.unit, detail, run)


def remarks(context: Context) -> list[Remark]:
    """Where the data of those that are stopped is."""
    return [
        Remark(
            "",
            f"{note.unit} is not in the file; its data is in {host.place(note.unit)}",
            f"put {note.instance} back into the file, or remove that folder",
        )
        for host, note in leftovers(context)
        if host.process(note.unit) is None
    ]
