"""`restore`: a server of restored data beside the live one, or in its place."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from mngdb import stopping
from mngdb.errors import InterruptError, MngdbError, UsageError
from mngdb.events import Progress
from mngdb.lock import lock
from mngdb.model import Step
from mngdb.ops import audit
from mngdb.ops.backup import notes, schedule, sources
from mngdb.ops.backup.notes import Note, Restored
from mngdb.ops.backup.reach import Aim
from mngdb.ops.backup.restored import FOLDER, alone, found, place_of, remove, runs
from mngdb.ops.backup.scratch import Scratch, Tell, room
from mngdb.ops.context import Context

if TYPE_CHECKING:
    from mngdb.ops.up import Report


def beside(context: Context, aim: Aim, tell: Tell) -> Restored:
    """Restore into a server beside the live one. What a killed command had begun is done anew.
    Raises MngdbError; nothing of it is left then."""
    state = context.stack.state / FOLDER / aim.key
    with alone(context, FOLDER, aim.instance):
        note = notes.read(state)
        if note is not None and note.replaced:
            raise _replaced(aim, note)
        if note is not None and note.undone:
            raise UsageError(
                f"{note.text} is kept where {aim.text} would be restored",
                f"remove it with: mngdb restore --forget {note.instance} --replaced",
            )
        if note is not None and note.done is not None and runs(context, state, note):
            raise UsageError(
                f"{aim.text} is restored already, at {note.host}:{note.port}",
                f"'mngdb restore --forget {note.instance}' removes restored servers",
            )
        return _made(context, aim, state, tell)


def in_place(context: Context, aim: Aim, tell: Tell) -> tuple[Restored, Report]:
    """Restore, put the data in the place of the live one's, whose data is kept until it is
    forgotten, and start the live server. A server that was restored beside it is taken as it is.
    What a killed command had begun is finished. Raises MngdbError."""
    given, state = context.instance(aim.instance), context.stack.state / FOLDER / aim.key
    if context.target(given).disposable is None:
        raise UsageError(
            f"{given.name} is on {given.target.kind}: its data cannot be replaced by mngdb",
            f"mngdb restore {given.name} without --replace, then copy what you need",
        )
    with alone(context, FOLDER, aim.instance):
        note = notes.read(state)
        if note is not None and note.replaced:
            raise _replaced(aim, note)
        done = note.done if note is not None else None
        if done is None:
            done = _made(context, aim, state, tell)
        elif note is not None and note.undone:
            tell(Progress(given.unit, f"gets {note.text}"))
        return done, _exchanged(context, state, tell, replaced=True)


def _replaced(aim: Aim, note: Note) -> UsageError:
    return UsageError(
        f"{aim.text} has replaced the data of {note.instance} already",
        f"mngdb restore {note.instance} --undo brings the data before that back",
    )


def undo(context: Context, instance: str, tell: Tell) -> tuple[str, Report]:
    """Bring the data back that a restore in place has replaced last, and start the live server.
    Returns what it was replaced by. Raises UsageError where there is none, MngdbError."""
    mine = [one for one in found(context, instance, replaced=True) if one[1].replaced]
    if not mine:
        raise UsageError(f"no restore has replaced the data of {instance}")
    state, note = max(mine, key=lambda one: notes.written(one[0]))
    return note.snapshot, _exchanged(context, state, tell, replaced=False)


def _made(context: Context, aim: Aim, state: Path, tell: Tell) -> Restored:
    remove(context, state, notes.read(state))
    room(context, aim)
    begun = time.monotonic()
    scratch = Scratch(context, aim, state)
    try:
        asked = scratch.make(tell)
        unable = {app: why for app, why in scratch.logins(asked).items() if why}
    except BaseException as error:
        scratch.remove()
        if isinstance(error, KeyboardInterrupt):
            raise InterruptError(
                f"interrupted; {aim.instance} is as it was, and nothing is left of the restore",
                None,
            ) from None
        raise
    access = scratch.admin(asked)
    done = Restored(
        instance=aim.instance,
        engine=aim.manifest.engine,
        snapshot=aim.manifest.id,
        restored_to=aim.moment,
        address=f"{access.host}:{access.port}",
        url=scratch.engine.url(replace(access, password=None)),
        seconds=time.monotonic() - begun,
        phases=scratch.phases,
        unable=unable,
    )
    notes.write(state, replace(notes.needed(state), done=done))
    return done


def _exchanged(context: Context, state: Path, tell: Tell, *, replaced: bool) -> Report:
    """Exchange the data, and start the live server. From its stop on, the first Ctrl-C only waits;
    after a second one, or an error, it is started with the data that it has. Raises MngdbError."""
    note = notes.needed(state)
    live = context.instance(note.instance)
    waits = "is stopped: it is started before this ends; Ctrl-C again ends it at once"
    with stopping.interruptible(lambda: tell(Progress(live.unit, waits))):
        try:
            _swap(context, state, replaced=replaced)
        except BaseException as error:
            how = "runs again"
            try:
                if _started(context, live.name, tell).errors:
                    how = "does not run"
            except (MngdbError, OSError):
                how = "does not run"
            if isinstance(error, KeyboardInterrupt):
                raise InterruptError(
                    f"interrupted; {live.unit} {how}, with the data that it had"
                ) from None
            tell(Progress(live.unit, f"{how}, with the data that it had"))
            raise
        if replaced:
            sources.settle(context.stack.state, live.name)
        has = f"{live.unit} has the {'restored data' if replaced else 'data from before'}"
        try:
            return _started(context, live.name, tell)
        except KeyboardInterrupt:
            raise InterruptError(
                f"interrupted; {has}, and may not run yet", f"mngdb up {live.name}"
            ) from None
        except MngdbError as error:
            raise MngdbError(
                f"{has}, and does not run: {error.message}", f"mngdb up {live.name}"
            ) from None


def _started(context: Context, instance: str, tell: Tell) -> Report:
    from mngdb.ops.choice import choose
    from mngdb.ops.up import up

    return up(context, frozenset(), tell, choose(context, [instance]))


def _swap(context: Context, state: Path, *, replaced: bool) -> None:
    """Exchange the data of the restored server and of the live one, both stopped: at once, so that
    each has one of both whenever this is interrupted."""
    note = notes.needed(state)
    live = context.instance(note.instance)
    engine, servers = context.engine(live), context.target(live).servers
    made = place_of(context, state, note)
    assert servers is not None  # noqa: S101 — for mypy
    with lock(context.stack.state / "lock", "restore"):
        made[0].servers.stop(note.unit, engine.stop_signal)
        servers.stop(live.unit, engine.stop_signal)
        if not note.live:  # killed after the exchange, nobody takes it for a restored server
            notes.write(state, replace(note, undone=True))
        made[0].exchange(note.unit, servers, live.unit)
        notes.write(state, replace(note, replaced=replaced, undone=not replaced))
        schedule.broken(context, live.name)  # it is another history now
        detail = f"its data and that of snapshot {note.snapshot} exchanged"
        step: Step[None] = Step(live.name, live.engine, "change", live.unit, detail, lambda _: None)
        audit.note(context.stack.state, "restore", step)
