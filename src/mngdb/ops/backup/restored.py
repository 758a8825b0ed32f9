"""`restore`: a server of restored data beside the live one, or in its place."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from mngdb import disk
from mngdb.errors import LockedError, MngdbError, UsageError
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
    not ended. `replaced`: its data was put in the place of the live one's, which is here since."""

    instance: str
    unit: str
    snapshot: str
    host: str
    port: int
    done: Restored | None = None
    replaced: bool = False


def beside(context: Context, aim: Aim, tell: Tell) -> Restored:
    """Restore into a server beside the live one. What a killed command had begun is done anew.
    Raises MngdbError; nothing of it is left then."""
    state = context.stack.state / FOLDER / aim.key
    with alone(context, FOLDER, aim.manifest.instance):
        note = _read(state)
        if note is not None and note.replaced:
            raise _replaced(aim, note)
        if note is not None and note.done is not None and _runs(context, state, note):
            raise UsageError(
                f"{aim.text} is restored already, at {note.host}:{note.port}",
                f"'mngdb restore --forget {note.instance}' removes restored servers",
            )
        return _made(context, aim, state, tell)


def in_place(context: Context, aim: Aim, tell: Tell) -> Restored:
    """Restore, and put the data in the place of the live one's, whose data is kept until it is
    forgotten. The live server is stopped then; `up` starts it. A server that was restored beside
    it is taken as it is. What a killed command had begun is finished. Raises MngdbError."""
    given, state = context.instance(aim.manifest.instance), context.stack.state / FOLDER / aim.key
    if context.target(given).disposable is None:
        raise UsageError(
            f"{given.name} is on {given.target.kind}: its data cannot be replaced by mngdb",
            f"mngdb restore {given.name} without --replace, then copy what you need",
        )
    with alone(context, FOLDER, aim.manifest.instance):
        note = _read(state)
        if note is not None and note.replaced:
            raise _replaced(aim, note)
        done = note.done if note is not None else None
        if done is None:
            done = _made(context, aim, state, tell)
        _swap(context, state, replaced=True)
        sources.settle(context.stack.state, given.name)
        return done


def _replaced(aim: Aim, note: Note) -> UsageError:
    return UsageError(
        f"{aim.text} has replaced the data of {note.instance} already",
        f"mngdb restore {note.instance} --undo brings the data before that back",
    )


def undo(context: Context, instance: str) -> str:
    """Bring the data back that a restore in place has replaced last. Returns what it was replaced
    by. Raises UsageError where there is none."""
    every = _all(context, FOLDER)
    mine = [(at, note) for at, note in every if note.instance == instance and note.replaced]
    if not mine:
        raise UsageError(f"no restore has replaced the data of {instance}")
    state, note = max(mine, key=lambda one: (one[0] / NOTE).stat().st_mtime)
    _swap(context, state, replaced=False)
    return note.snapshot


def _made(context: Context, aim: Aim, state: Path, tell: Tell) -> Restored:
    _forgotten(context, state, _read(state))
    room(context, aim)
    begun = time.monotonic()
    scratch = Scratch(context, aim, state)
    try:
        asked = scratch.make(tell)
        _usable(scratch.logins(asked))
    except BaseException:
        scratch.remove()
        raise
    access = scratch.admin(asked)
    found = Restored(
        instance=aim.manifest.instance,
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
        made[0].exchange(note.unit, servers, live.unit)
        _write(state, replace(note, replaced=replaced))
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
        raise UsageError(f"another command restores {instance} just now") from None


def _usable(logins: Mapping[str, str | None]) -> None:
    problems = [f"{app}: {why}" for app, why in logins.items() if why]
    if problems:
        raise MngdbError(f"apps cannot use the restored server: {'; '.join(problems)}")


def forget(context: Context, instance: str | None = None) -> list[str]:
    """Stop and remove restored servers, of an instance or all, and data that was replaced. Returns
    what was removed. Raises MngdbError for a server that does not stop."""
    gone = []
    for state, note in _all(context, FOLDER):
        if instance is not None and note.instance != instance:
            continue
        _forgotten(context, state, note)
        before = f"the data that {note.instance} had before its restore"
        gone.append(before if note.replaced else note.unit)
    return gone


def running(context: Context) -> list[tuple[Servers, UnitRecord, Note]]:
    """The servers that run with restored data beside the live ones, of instances of the file."""
    found = []
    for state, note in _all(context, FOLDER):
        if note.instance in context.stack.instances and not note.replaced:
            servers, engine = _place(context, state, note)[0].servers, context.stack.instances
            record = UnitRecord(note.unit, note.instance, engine[note.instance].engine)
            if servers.process(note.unit) is not None:
                found.append((servers, record, note))
    return found


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
    given, make = disposable(context, context.instance(note.instance))
    instance = replace(given, unit=note.unit, monitored=False)
    return make(instance, state), instance


def _read(state: Path) -> Note | None:
    """What is in a folder; None where nothing was begun there, or nobody can say."""
    try:
        return msgspec.json.decode(disk.read_own(state / NOTE) or "null", type=Note | None)
    except msgspec.DecodeError:
        return None


def _write(state: Path, note: Note) -> None:
    disk.write(state / NOTE, msgspec.json.encode(note).decode() + "\n")
