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
    found = leftovers(context)
    return [_stop(context, host, note) for host, note in found if host.process(note.unit)]


def _stop(context: Context, host: Host, note: Note) -> Step:
    def run(_: object) -> None:
        host.stop(note.unit, registry.engine(note.engine).stop_signal)

    moved = note.instance in context.stack.instances
    detail = f"its instance {'lives elsewhere now' if moved else 'left the file'}; its data stays"
    return Step(note.instance, note.engine, "stop", note.unit, detail, run)


def remarks(context: Context) -> list[Remark]:
    """Where the data of those that are stopped is."""
    return [
        _remark(context, note, host.place(note.unit))
        for host, note in leftovers(context)
        if host.process(note.unit) is None
    ]


def _remark(context: Context, note: Note, place: str) -> Remark:
    if note.instance in context.stack.instances:
        text = f"{note.instance} lived elsewhere before; what it had there is in {place}"
        return Remark("", text, "bring it over by dump and restore, or remove it")
    text = f"{note.unit} is not in the file; its data is in {place}"
    return Remark("", text, f"put {note.instance} back into the file, or remove its data")
