"""`restore`: a server of restored data beside the live one, or in its place."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from mngdb import stopping
from mngdb.errors import InterruptError, LockedError, MngdbError, UsageError
from mngdb.events import Progress
from mngdb.lock import lock
from mngdb.model import Step
from mngdb.ops import audit, wishes
from mngdb.ops.backup import hosted, kept, notes, replaced, schedule, sources, timing
from mngdb.ops.backup.notes import Note, Restored
from mngdb.ops.backup.reach import Aim
from mngdb.ops.backup.restored import FOLDER, alone, found, place_of, remove, runs
from mngdb.ops.backup.scratch import replaceable
from mngdb.ops.backup.tried import Tell
from mngdb.ops.context import Context

if TYPE_CHECKING:
    from mngdb.ops.up import Report

#: Seconds in which a server that was just started takes an order.
_SUPERSEDE = 30.0


def beside(context: Context, aim: Aim, tell: Tell, *, again: bool = False) -> Restored:
    """Restore into a server beside the live one; with `again` one that runs is as good. What a
    killed command had begun is done anew. Raises MngdbError; nothing of it is left then."""
    with alone(context, FOLDER, aim.instance):
        state, note = next(one for one in _states(context, aim) if not (one[1] and one[1].live))
        if note is not None and note.done is not None and runs(context, state, note):
            if again:
                return note.done
            raise UsageError(
                f"{aim.text} is restored already, at {note.host}:{note.port}",
                f"'mngdb restore --forget {note.instance}' removes restored servers",
            )
        done = _made(context, aim, state, tell)
        notes.write(state, replace(notes.needed(state), done=done))
        return done


def in_place(context: Context, aim: Aim, tell: Tell) -> tuple[Restored, Report]:
    """Restore, put the data in the place of the live one's, whose data is kept until it is
    forgotten, and start the live server. A server that was restored beside it stays as it is:
    nobody knows what was written to it since. What a killed command had begun is finished, or done
    anew. Raises MngdbError."""
    given = context.instance(aim.instance)
    if (own := kept.of(context, given.name)) is not None:
        with alone(context, FOLDER, aim.instance):
            return replaced.replace(context, aim, own, tell)
    if not replaceable(context, given):
        raise UsageError(
            f"{given.name} is on {given.target.kind}: its data cannot be replaced by mngdb",
            f"mngdb restore {given.name} without --replace, then copy what you need",
        )
    with alone(context, FOLDER, aim.instance):
        if begun := _begun(context, aim, tell):
            return begun
        for _, note in found(context, aim.instance, replaced=False):
            if note.done is not None and note.done.restored_to == aim.moment:
                text = "stays as it is, with what was written to it: this is restored afresh"
                tell(Progress(note.done.address, text))
        every = _states(context, aim)
        state = next(at for at, one in every if one is None or not (one.live or one.done))
        done = _made(context, aim, state, tell)
        report, told = _exchanged(context, state, tell, replaced=True, done=done)
        return _with(_finished(context, state), told), report


def _begun(context: Context, aim: Aim, tell: Tell) -> tuple[Restored, Report] | None:
    """The same, where a killed command has put the data in place and did not start the server."""
    for state, note in notes.every(context.stack.state / FOLDER):
        same = note.instance == aim.instance and note.replaced and not note.finished
        if same and note.done is not None and note.done.restored_to == aim.moment:
            text = "has this data already, of a command that was interrupted: it is started"
            tell(Progress(context.instance(note.instance).unit, text))
            sources.settle(context.stack.state, note.instance)
            report = _started(context, note.instance, tell)
            told = _supersede(context, note.instance, report)
            return _with(_finished(context, state), told), report
    return None


def _with(done: Restored, told: tuple[str, ...]) -> Restored:
    return replace(done, notes=(*done.notes, *told))


def _finished(context: Context, state: Path) -> Restored:
    """Note that nothing more is to be done. What there was nothing of before is not kept."""
    note = notes.needed(state)
    assert note.done is not None  # noqa: S101 — for mypy
    if note.done.kept:
        notes.write(state, replace(note, finished=True, halted=False))
    else:
        remove(context, state, note)
    return note.done


def interrupted(context: Context) -> dict[str, tuple[Path, Note]]:
    """Instances of the file whose live server a command has stopped to exchange its data, and has
    not started since: it was killed, or is at it. A server that was stopped by name stays so."""
    down = wishes.stopped(context.stack.state)
    return {
        note.instance: (state, note)
        for state, note in notes.every(context.stack.state / FOLDER)
        if note.halted
        and note.instance in context.stack.instances
        and context.instance(note.instance).unit not in down
    }


def resume(context: Context, instance: str, start: Callable[[str], None]) -> None:
    """Have `start` start the live server that a killed command has left stopped, with the data that
    it has. Raises UsageError where a command is at it, MngdbError, OSError."""
    with alone(context, FOLDER, instance):
        left = interrupted(context).get(instance)
        if left is None:
            return
        state, note = left
        live = context.instance(instance)
        servers = context.target(live).servers
        if servers is not None and servers.process(live.unit) is None:
            if note.replaced:
                sources.settle(context.stack.state, instance)
            start(f"{live.unit} was stopped by a restore that was interrupted; it has {has(note)}")
            _supersede(context, instance)
        notes.write(state, replace(note, finished=note.finished or note.replaced, halted=False))


def has(note: Note) -> str:
    """Which data the live server has, in words."""
    return "the restored data" if note.replaced else "the data from before"


def _states(context: Context, aim: Aim) -> Iterator[tuple[Path, Note | None]]:
    """The folders for restores of the same, and what is in them. Without end."""
    for number in count(1):
        more = f"-{number}" if number > 1 else ""
        state = context.stack.state / FOLDER / f"{aim.key}{more}"
        yield state, notes.read(state)


def to_undo(context: Context, instance: str) -> tuple[Path, Note]:
    """What `undo` exchanges: the data that a restore has replaced last; where all of that is back,
    what `undo` has replaced last. Raises UsageError where there is none."""
    kept = found(context, instance, replaced=True)
    if not kept:
        raise UsageError(f"no restore has replaced the data of {instance}")
    return max(kept, key=lambda one: (one[1].replaced, notes.written(one[0])))


def undo(context: Context, instance: str, tell: Tell) -> tuple[Report, tuple[str, ...]]:
    """Exchange the data of the live server and what `to_undo` gives, and start it. Returns notes
    for people, too. Raises MngdbError."""
    with alone(context, FOLDER, instance):
        state, note = to_undo(context, instance)
        found = _exchanged(context, state, tell, replaced=not note.replaced, done=note.done)
        _finished(context, state)
        return found


def _made(context: Context, aim: Aim, state: Path, tell: Tell) -> Restored:
    remove(context, state, notes.read(state))
    begun = time.monotonic()
    scratch = hosted.begin(context, aim, state)
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
    access, seconds = scratch.admin(asked), time.monotonic() - begun
    whose, took = aim.manifest.instance, scratch.phases
    timing.keep(context.stack.state, timing.measured(whose, aim.size, seconds, took))
    return Restored(
        instance=aim.instance,
        engine=aim.manifest.engine,
        snapshot=aim.manifest.id,
        restored_to=aim.moment,
        address=f"{access.host}:{access.port}",
        url=scratch.engine.url(replace(access, password=None)),
        seconds=seconds,
        phases=took,
        unable=unable,
        notes=scratch.caveats(asked),
    )


def _exchanged(
    context: Context, state: Path, tell: Tell, *, replaced: bool, done: Restored | None
) -> tuple[Report, tuple[str, ...]]:
    """Exchange the data, and start the live server; notes for people come along. From its stop on,
    the first Ctrl-C only waits; after a second one, or an error, it is started with the data that
    it has. Raises MngdbError."""
    from mngdb.ops import up  # noqa: F401 — a Ctrl-C while the server is stopped breaks no import

    note = notes.needed(state)
    live = context.instance(note.instance)
    waits = "is stopped: it is started before this ends; Ctrl-C again ends it at once"
    with stopping.interruptible(lambda: tell(Progress(live.unit, waits))):
        try:
            _swap(context, state, replaced=replaced, done=done)
        except LockedError:
            raise  # another command has the stack: nothing was stopped
        except BaseException as error:
            how = "runs again"
            try:
                if _started(context, live.name, tell).errors:
                    how = "does not run"
                else:
                    notes.write(state, replace(notes.needed(state), halted=False))
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
        now = f"{live.unit} has {has(notes.needed(state))}"
        try:
            report = _started(context, live.name, tell)
        except KeyboardInterrupt:
            raise InterruptError(
                f"interrupted; {now}, and may not run yet", f"mngdb up {live.name}"
            ) from None
        except MngdbError as error:
            raise MngdbError(
                f"{now}, and does not run: {error.message}", f"mngdb up {live.name}"
            ) from None
        return report, _supersede(context, live.name, report)


def _started(context: Context, instance: str, tell: Tell) -> Report:
    from mngdb.ops.choice import choose
    from mngdb.ops.up import up

    return up(context, frozenset(), tell, choose(context, [instance]))


def _supersede(context: Context, instance: str, report: Report | None = None) -> tuple[str, ...]:
    """Have clients that run take the data of a server that was started for newer than what they
    know; what they have to do themselves. Raises MngdbError; of a server that does not run, the
    `report` of its start says so."""
    live = context.instance(instance)
    engine = context.engine(live)
    if engine.supersede is None:
        return ()
    try:
        with context.reach(live):
            deadline = time.monotonic() + _SUPERSEDE
            return engine.supersede(context.as_admin(live), deadline)
    except MngdbError:
        if report is None or not report.errors:
            raise
        return ()


def _swap(context: Context, state: Path, *, replaced: bool, done: Restored | None) -> None:
    """Exchange the data of the restored server and of the live one, both stopped: at once, so that
    each has one of both whenever this is interrupted."""
    note = notes.needed(state)
    live = context.instance(note.instance)
    engine, servers = context.engine(live), context.target(live).servers
    made = place_of(context, state, note)
    assert servers is not None  # noqa: S101 — for mypy
    with lock(context.stack.state / "lock", "restore"):
        made[0].servers.stop(note.unit, engine.stop_signal)
        note = replace(note, halted=True)
        notes.write(state, note)
        servers.stop(live.unit, engine.stop_signal)
        if not note.live:  # killed after the exchange, nobody takes it for a restored server
            notes.write(state, replace(note, undone=True, done=done))
        kept = made[0].exchange(note.unit, servers, live.unit)
        done = replace(done, kept=kept) if done is not None else None
        now = replace(note, replaced=replaced, undone=not replaced, done=done, finished=False)
        notes.write(state, now)
        schedule.broken(context, live.name)  # it is another history now
        detail = f"its data and that of snapshot {note.snapshot} exchanged"
        step: Step[None] = Step(live.name, live.engine, "change", live.unit, detail, lambda _: None)
        audit.note(context.stack.state, "restore", step)
