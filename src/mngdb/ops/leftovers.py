"""Servers whose instance left the file: they are stopped, their data stays."""

from __future__ import annotations

from mngdb.model import Remark, Step
from mngdb.ops import registry
from mngdb.ops.context import Context
from mngdb.targets.local.host import LocalHost
from mngdb.targets.local.layout import Note


def leftovers(context: Context) -> list[Note]:
    """The units that were made here and are not in the file."""
    here = {i.unit for i in context.stack.instances.values() if not i.target.external}
    return [note for note in context.host.layout.units() if note.unit not in here]


def steps(context: Context) -> list[Step]:
    """A stop for each of them that runs."""
    return [_stop(note) for note in leftovers(context) if context.host.process(note.unit)]


def _stop(note: Note) -> Step:
    def run(host: LocalHost) -> None:
        host.stop(note.unit, registry.engine(note.engine).stop_signal)

    detail = "its instance left the file; its data stays"
    return Step(note.instance, note.engine, "stop", note.unit, detail, run)


def remarks(context: Context) -> list[Remark]:
    """Where the data of those that are stopped is."""
    layout = context.host.layout
    return [
        Remark(
            "",
            f"{note.unit} is not in the file; its data is in {layout.unit(note.unit).root}",
            f"put {note.instance} back into the file, or remove that folder",
        )
        for note in leftovers(context)
        if context.host.process(note.unit) is None
    ]
