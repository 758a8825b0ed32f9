"""The servers of restored data that there are: beside the live ones, or what those had before."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from mngdb import disk
from mngdb.engines.protocol import AnyEngine
from mngdb.errors import LockedError, UsageError
from mngdb.lock import lock
from mngdb.model import Access, DesiredInstance
from mngdb.ops.access import LOGIN
from mngdb.ops.backup import hosted, kept, notes, place
from mngdb.ops.backup.history import iso
from mngdb.ops.backup.notes import Note
from mngdb.ops.backup.scratch import disposable, ended
from mngdb.ops.context import Context
from mngdb.ops.shell import Conversation, become
from mngdb.spec.stack import Instance
from mngdb.targets.protocol import Disposable, Servers, UnitRecord

FOLDER = place.RESTORED
#: The same for what a drill works in.
DRILLS = "drills"


@contextlib.contextmanager
def alone(context: Context, folder: str, instance: str, patience: float = 0.0) -> Iterator[None]:
    """In the block, nobody else makes servers of an instance's data in this folder of the state.
    Raises UsageError where somebody does for more than `patience` seconds."""
    disk.folder(context.stack.state / folder, mode=0o711 if os.geteuid() == 0 else 0o700)
    command = "drill" if folder == DRILLS else "restore"
    path = context.stack.state / f"{folder}-{instance}.lock"
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(lock(path, command, patience))
        except LockedError as error:
            raise UsageError(
                f"another command restores {instance} just now: {error.holder}", error.hint
            ) from None
        yield  # a lock that the block finds taken is another one


@contextlib.contextmanager
def nobody(context: Context, folder: str, patience: float) -> Iterator[None]:
    """In the block, nobody makes servers of any instance's data in this folder of the state, and
    nothing is left of what killed commands made. Raises UsageError as `alone` does."""
    with contextlib.ExitStack() as held:
        for path in sorted(context.stack.state.glob(f"{folder}-*.lock")):
            name = path.stem.removeprefix(f"{folder}-")
            held.enter_context(alone(context, folder, name, patience))
            sweep(context, folder, name)
        yield


def found(
    context: Context, instance: str | None = None, *, replaced: bool
) -> list[tuple[Path, Note]]:
    """Restored servers, of an instance or all; with `replaced` what the live ones had instead."""
    return [
        (state, note)
        for state, note in notes.every(context.stack.state / FOLDER)
        if note.live == replaced and instance in {None, note.instance}
    ]


def owners(context: Context) -> set[str]:
    """The instances whose data they are of."""
    return {note.instance for _, note in notes.every(context.stack.state / FOLDER)}


def forget(context: Context, every: Sequence[tuple[Path, Note]]) -> None:
    """Stop and remove them. Raises MngdbError for a server that does not stop."""
    for state, note in every:
        remove(context, state, note)


def running(context: Context) -> list[tuple[Servers, UnitRecord, Note]]:
    """The servers that run here with restored data beside the live ones, of instances of the
    file."""
    running = []
    for state, note in found(context, replaced=False):
        there = note.instance in context.stack.instances and not note.keeper
        if there and runs(context, state, note):
            made, instance = place_of(context, state, note)
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
    here = [note for _, _, note in running(context)]
    others = [note for _, note in found(context, replaced=False) if note.keeper]
    return [
        Beside(note.instance, note.unit, note.done.address, iso(note.done.restored_to))
        for note in (*here, *others)
        if note.done is not None
    ]


def url(context: Context, instance: str, app: str | None) -> str:
    """The connection string of an app, or of the administrator, for the server that was restored
    last. Raises UsageError where none runs."""
    engine, asked, login = _login(context, instance, app)
    return engine.url(asked.given(login))


def shell(
    context: Context, instance: str, app: str | None, rest: tuple[str, ...]
) -> Conversation[Any]:
    """Become its client, as `ops.shell`. Raises UsageError where none runs, too."""
    engine, asked, login = _login(context, instance, app)
    folder = asked.site.program.folder if asked.site else None
    given = asked.given(login)

    def connect() -> contextlib.AbstractContextManager[Any]:
        return engine.connect(login, LOGIN)

    command = engine.shell(given, folder)
    command = command.guarded() if app is None else command
    return become(instance, engine, given, command, rest, connect)


def _login(
    context: Context, instance: str, app: str | None
) -> tuple[AnyEngine, DesiredInstance, Access]:
    given = context.instance(instance)
    context.secret(given, app or "admin")  # missing is an error here
    every = found(context, given.name, replaced=False)
    mine = [(state, note) for state, note in every if note.done and runs(context, state, note)]
    if not mine:
        raise UsageError(
            f"no restored server of {given.name} runs", f"mngdb restore {given.name} --to TIME"
        )
    state, note = max(mine, key=lambda one: notes.written(one[0]))
    wanted = context.asked(given, find=False, invent=True)
    if (own := kept.of(context, given.name)) is not None:
        target, there = context.target(given), hosted.beside(own, given, note.unit)
    else:
        made, there = place_of(context, state, note)
        there = replace(there, spec=there.spec.model_copy(update={"port": note.port}))
        target = made.target
    asked = replace(wanted, instance=there, site=target.site(there))
    engine, login = context.engine(there), target.admin(asked)
    if app is not None:
        login = engine.login(asked, login, app)
    return engine, asked, login


def sweep(context: Context, folder: str, instance: str) -> None:
    """Stop and remove what killed commands left of an instance's servers, of whom nobody is
    working any more."""
    for state, note in notes.every(context.stack.state / folder):
        if note.instance == instance:
            remove(context, state, note)


def runs(context: Context, state: Path, note: Note) -> bool:
    """Whether its server does; one at a provider's, until it is removed."""
    return (
        bool(note.keeper)
        or place_of(context, state, note)[0].servers.process(note.unit) is not None
    )


def remove(context: Context, state: Path, note: Note | None) -> None:
    """Stop its server, if there is one, and remove its folder. Raises MngdbError for one that does
    not stop."""
    if note is not None and note.keeper:
        hosted.removed(context, note)
    elif note is not None:
        found, instance = place_of(context, state, note)
        ended(found.servers, instance, context.engine(instance).stop_signal)
    disk.remove(state)


def place_of(context: Context, state: Path, note: Note) -> tuple[Disposable, Instance]:
    """Where its server is, and the instance as it is there."""
    every = context.stack.instances
    # one that has left the file: any other knows how to stop and to remove it
    one = every.get(note.instance) or next(iter(every.values()))
    given, make = disposable(context, one, note.version)
    instance = replace(given, unit=note.unit, monitored=False, role="beside")
    return make(instance, state), instance
