"""Servers at a provider's that cost money and that the file does not name: those of instances that
left it, and those that commands made beside a live one."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from mngdb.errors import UsageError
from mngdb.model import Notice, Step
from mngdb.ops.context import Context
from mngdb.targets.protocol import Departed, Hosted
from mngdb.words import named

if TYPE_CHECKING:
    from mngdb.ops.backup.notes import Note

#: Folders of the stack's state: what drills and restores of a part work in, and restored servers
#: (ops.backup, which `up` as a rule need not import).
_WORK, _RESTORED = {"drills": "drill", "parts": "restore"}, "restored"


def departed(context: Context) -> list[tuple[Hosted, Departed]]:
    """Those whose instance left the file."""
    every = (one.hosted for one in context.targets())
    return [(one, left) for one in every if one is not None for left in one.departed()]


def steps(context: Context, allow: Collection[str]) -> list[Step[None]]:
    """What `up` removes: what killed commands left, and the server of a departed instance where the
    command names it."""
    return [
        *(_removal(context, hosted, one) for hosted, one in departed(context) if one.name in allow),
        *(_sweep(context, folder, note) for folder, note in _left(context)),
    ]


def notices(context: Context, allow: Collection[str] = ()) -> list[Notice]:
    """What stays, what it costs and what removes it."""
    return [
        *(
            Notice(
                one.instance.name,
                one.text,
                f"mngdb up --allow {named(one.name)} deletes it with its data and its backups; or "
                f"put {one.instance.name} back into the file",
            )
            for _, one in departed(context)
            if one.name not in allow
        ),
        *(
            Notice(
                note.instance,
                f"{note.unit}, of a restore, costs money: {_cost(context, note)}",
                f"mngdb restore --forget {note.instance}",
            )
            for note in _beside(context, _RESTORED)
        ),
    ]


def told(context: Context) -> list[Notice]:
    """The same with what killed commands left."""
    left = (
        Notice(
            note.instance,
            f"{note.unit} is left of a {_WORK[folder]} that was interrupted, and costs money: "
            f"{_cost(context, note)}",
            "mngdb up",
        )
        for folder, note in [*_left(context)]
    )
    return [*notices(context), *left]


def _removal(context: Context, hosted: Hosted, one: Departed) -> Step[None]:
    asked = context.asked(one.instance, invent=True, find=False)
    remove = hosted.removal(asked, lambda _: None)

    def run(_: None) -> None:
        if remove is not None:
            remove()

    detail = "its instance left the file; its data and its backups go with it"
    return Step(one.instance.name, one.instance.engine, "drop", one.name, detail, run)


def _beside(context: Context, folder: str) -> Iterator[Note]:
    """What there is in a folder of the state, of instances of the file."""
    if not (context.stack.state / folder).is_dir():
        return
    from mngdb.ops.backup import notes

    for _, note in notes.every(context.stack.state / folder):
        if note.keeper and note.instance in context.stack.instances:
            yield note


def _left(context: Context) -> list[tuple[str, Note]]:
    """What killed commands left, with its folder: those that go on hold their lock."""
    found = []
    for folder in _WORK:
        for note in _beside(context, folder):
            from mngdb.ops.backup.restored import alone

            with suppress(UsageError), alone(context, folder, note.instance):
                found.append((folder, note))
    return found


def _sweep(context: Context, folder: str, note: Note) -> Step[None]:
    from mngdb.ops.backup.restored import alone, sweep

    def run(_: None) -> None:
        with alone(context, folder, note.instance):
            sweep(context, folder, note.instance)

    detail = f"left of a {_WORK[folder]} that was interrupted; it costs {_cost(context, note)}"
    engine = context.instance(note.instance).engine
    return Step(note.instance, engine, "drop", note.unit, detail, run)


def _cost(context: Context, note: Note) -> str:
    from mngdb.ops.backup import hosted

    return hosted.cost(context, note.instance)
