"""`restore`: a server of restored data beside the live one, or in its place."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from mngdb import disk, stopping
from mngdb.errors import InterruptError, LockedError, MngdbError, UsageError
from mngdb.events import Progress
from mngdb.lock import lock
from mngdb.model import Step
from mngdb.ops import audit
from mngdb.ops.backup import place, schedule, sources
from mngdb.ops.backup.history import iso
from mngdb.ops.backup.reach import Aim
from mngdb.ops.backup.scratch import NOTE, Scratch, Tell, disposable, ended, room
from mngdb.ops.context import Context
from mngdb.spec.stack import Instance
from mngdb.targets.protocol import Disposable, Servers, UnitRecord

if TYPE_CHECKING:
    from mngdb.ops.up import Report

FOLDER = place.RESTORED


class Restored(Struct, frozen=True):
    """A server of restored data. `seconds` from the first byte read until it answered as each app;
    `phases` are parts of it."""

    instance: str
    engine: str
    snapshot: str
    restored_to: float
    address: str
    url: str
    seconds: float
    phases: dict[str, float]


class Note(Struct, frozen=True, kw_only=True):
    """What is in the folder of a restored server. `done`: what came of the restore; None: it has
    not ended. `replaced`: its data was put in the place of the live one's, which is here since;
    `undone`: and back, with what was written to it meanwhile."""

    instance: str
    unit: str
    snapshot: str
    host: str
    port: int
    done: Restored | None = None
    replaced: bool = False
    undone: bool = False

    @property
    def live(self) -> bool:
        """Whether its data was the live server's."""
        return self.replaced or self.undone

    @property
    def text(self) -> str:
        """What there is, for people."""
        if self.replaced:
            return f"the data that {self.instance} had before its restore"
        return f"the data that {self.instance} had before --undo" if self.undone else self.unit


def beside(context: Context, aim: Aim, tell: Tell) -> Restored:
    """Restore into a server beside the live one. What a killed command had begun is done anew.
    Raises MngdbError; nothing of it is left then."""
    state = context.stack.state / FOLDER / aim.key
    with alone(context, FOLDER, aim.instance):
        note = _read(state)
        if note is not None and note.replaced:
            raise _replaced(aim, note)
        if note is not None and note.undone:
            raise UsageError(
                f"{note.text} is kept where {aim.text} would be restored",
                f"remove it with: mngdb restore --forget {note.instance} --replaced",
            )
        if note is not None and note.done is not None and _runs(context, state, note):
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
        note = _read(state)
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
    every = _all(context, FOLDER)
    mine = [(at, note) for at, note in every if note.instance == instance and note.replaced]
    if not mine:
        raise UsageError(f"no restore has replaced the data of {instance}")
    state, note = max(mine, key=lambda one: (one[0] / NOTE).stat().st_mtime)
    return note.snapshot, _exchanged(context, state, tell, replaced=False)


def _made(context: Context, aim: Aim, state: Path, tell: Tell) -> Restored:
    _forgotten(context, state, _read(state))
    room(context, aim)
    begun = time.monotonic()
    scratch = Scratch(context, aim, state)
    try:
        asked = scratch.make(tell)
        _usable(scratch.logins(asked))
    except BaseException as error:
        scratch.remove()
        if isinstance(error, KeyboardInterrupt):
            raise InterruptError(
                f"interrupted; {aim.instance} is as it was, and nothing is left of the restore",
                None,
            ) from None
        raise
    access = scratch.admin(asked)
    found = Restored(
        instance=aim.instance,
        engine=aim.manifest.engine,
        snapshot=aim.manifest.id,
        restored_to=aim.moment,
        address=f"{access.host}:{access.port}",
        url=scratch.engine.url(replace(access, password=None)),
        seconds=time.monotonic() - begun,
        phases=scratch.phases,
    )
    note = _read(state)
    assert note is not None  # noqa: S101 — for mypy
    _write(state, replace(note, done=found))
    return found


def _exchanged(context: Context, state: Path, tell: Tell, *, replaced: bool) -> Report:
    """Exchange the data, and start the live server. From its stop on, the first Ctrl-C only waits;
    after a second one, or an error, it is started with the data that it has. Raises MngdbError."""
    note = _read(state)
    assert note is not None  # noqa: S101 — for mypy
    live = context.instance(note.instance)
    waits = "is stopped: it is started before this ends; Ctrl-C again ends it at once"
    with stopping.interruptible(lambda: tell(Progress(live.unit, waits))):
        try:
            _swap(context, state, replaced=replaced)
        except BaseException as error:
            runs = "runs again"
            try:
                if _started(context, live.name, tell).errors:
                    runs = "does not run"
            except (MngdbError, OSError):
                runs = "does not run"
            if isinstance(error, KeyboardInterrupt):
                raise InterruptError(
                    f"interrupted; {live.unit} {runs}, with the data that it had"
                ) from None
            tell(Progress(live.unit, f"{runs}, with the data that it had"))
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
    note = _read(state)
    assert note is not None  # noqa: S101 — for mypy
    live = context.instance(note.instance)
    engine, servers = context.engine(live), context.target(live).servers
    made = _place(context, state, note)
    assert servers is not None  # noqa: S101 — for mypy
    with lock(context.stack.state / "lock", "restore"):
        made[0].servers.stop(note.unit, engine.stop_signal)
        servers.stop(live.unit, engine.stop_signal)
        if not note.live:  # killed after the exchange, nobody takes it for a restored server
            _write(state, replace(note, undone=True))
        made[0].exchange(note.unit, servers, live.unit)
        _write(state, replace(note, replaced=replaced, undone=not replaced))
        schedule.broken(context, live.name)  # it is another history now
        detail = f"its data and that of snapshot {note.snapshot} exchanged"
        step: Step[None] = Step(live.name, live.engine, "change", live.unit, detail, lambda _: None)
        audit.note(context.stack.state, "restore", step)


@contextlib.contextmanager
def alone(context: Context, folder: str, instance: str) -> Iterator[None]:
    """In the block, nobody else makes servers of an instance's data in this folder of the state.
    Raises UsageError where somebody does."""
    disk.folder(context.stack.state / folder, mode=0o711 if os.geteuid() == 0 else 0o700)
    try:
        with lock(context.stack.state / f"{folder}-{instance}.lock", "restore", 0.0):
            yield
    except LockedError:
        raise UsageError(
            f"another command restores {instance} just now",
            "wait until it finishes, then try again",
        ) from None


def _usable(logins: Mapping[str, str | None]) -> None:
    problems = [f"{app}: {why}" for app, why in logins.items() if why]
    if problems:
        raise MngdbError(f"apps cannot use the restored server: {'; '.join(problems)}")


def found(
    context: Context, instance: str | None = None, *, replaced: bool
) -> list[tuple[Path, Note]]:
    """Restored servers, of an instance or all; with `replaced` what the live ones had instead."""
    every = _all(context, FOLDER)
    return [
        (state, note)
        for state, note in every
        if note.live == replaced and instance in {None, note.instance}
    ]


def owners(context: Context) -> set[str]:
    """The instances whose data they are of."""
    return {note.instance for _, note in _all(context, FOLDER)}


def forget(context: Context, every: Sequence[tuple[Path, Note]]) -> None:
    """Stop and remove them. Raises MngdbError for a server that does not stop."""
    for state, note in every:
        _forgotten(context, state, note)


def running(context: Context) -> list[tuple[Servers, UnitRecord, Note]]:
    """The servers that run with restored data beside the live ones, of instances of the file."""
    running = []
    for state, note in found(context, replaced=False):
        if note.instance in context.stack.instances and _runs(context, state, note):
            made, instance = _place(context, state, note)
            record = UnitRecord(note.unit, note.instance, instance.engine)
            running.append((made.servers, record, note))
    return running


class Beside(Struct, frozen=True):
    """A server that runs with restored data beside the live one."""

    instance: str
    unit: str
    address: str
    restored_to: str


def listing(context: Context) -> list[Beside]:
    """Every one of them, whose restore has ended."""
    return [
        Beside(note.instance, note.unit, note.done.address, iso(note.done.restored_to))
        for _, _, note in running(context)
        if note.done is not None
    ]


def sweep(context: Context, folder: str, instance: str) -> None:
    """Stop and remove what killed commands left of an instance's servers, of whom nobody is
    working any more."""
    for state, note in _all(context, folder):
        if note.instance == instance:
            _forgotten(context, state, note)


def _all(context: Context, folder: str) -> list[tuple[Path, Note]]:
    states = (path.parent for path in (context.stack.state / folder).glob(f"*/{NOTE}"))
    return [(one, note) for one in sorted(states) if (note := _read(one)) is not None]


def _runs(context: Context, state: Path, note: Note) -> bool:
    return _place(context, state, note)[0].servers.process(note.unit) is not None


def _forgotten(context: Context, state: Path, note: Note | None) -> None:
    if note is not None:
        found, instance = _place(context, state, note)
        ended(found.servers, instance, context.engine(instance).stop_signal)
    disk.remove(state)


def _place(context: Context, state: Path, note: Note) -> tuple[Disposable, Instance]:
    every = context.stack.instances
    # one that has left the file: any other knows how to stop and to remove it
    given, make = disposable(context, every.get(note.instance) or next(iter(every.values())))
    instance = replace(given, unit=note.unit, monitored=False, role="beside")
    return make(instance, state), instance


def _read(state: Path) -> Note | None:
    """What is in a folder; None where nothing was begun there, or nobody can say."""
    try:
        return msgspec.json.decode(disk.read_own(state / NOTE) or "null", type=Note | None)
    except msgspec.DecodeError:
        return None


def _write(state: Path, note: Note) -> None:
    disk.write(state / NOTE, msgspec.json.encode(note).decode() + "\n")
