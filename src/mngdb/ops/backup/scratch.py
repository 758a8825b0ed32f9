"""A server of restored data that is made beside those of the file: to use it, or to try it."""

from __future__ import annotations

import errno
import os
import shutil
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from msgspec.structs import replace

from mngdb import disk
from mngdb.errors import FillingError, MngdbError, of_system
from mngdb.events import Meter, Progress
from mngdb.model import DesiredInstance
from mngdb.ops.backup import bases, notes, place
from mngdb.ops.backup.notes import Note
from mngdb.ops.backup.pick import older
from mngdb.ops.backup.reach import Aim, came_upon
from mngdb.ops.backup.stored import StoredSnapshot
from mngdb.ops.backup.tried import Phase, Tell, Tried
from mngdb.ops.context import Context
from mngdb.spec.engine_info import ENGINE_INFO
from mngdb.spec.stack import Instance, Role
from mngdb.spec.units import Amount
from mngdb.targets.protocol import Disposable, Servers, Target

#: What is asked for of a disk, of what is needed about.
_SPARE = 1.1
#: Bytes that are filled in so much faster (`Instance.filling`) that a second start is worth it.
_MUCH = 256 << 20
_FULL = "free space, then run the same command again"


class Scratch(Tried):
    """A server of restored data that is being made in `state`, a folder of its own."""

    def __init__(
        self,
        context: Context,
        aim: Aim,
        state: Path,
        *,
        memory: Amount | None = None,
        role: Role = "beside",
    ) -> None:
        """Raises UsageError where there is no program for it."""
        super().__init__(context, aim)
        self.state = state
        version = aim.manifest.taken.version
        self._given, make = disposable(context, context.instance(aim.instance), version)
        given = self._given
        self.instance = replace(
            given,
            unit=f"{given.unit}-{aim.key[-6:]}",
            spec=given.spec.model_copy(update={"port": _free_port(given.spec.bind[0])}),
            memory=memory or given.memory,
            monitored=False,
            recovery_point="stream",
            role=role,
        )
        self.place: Disposable = make(self.instance, state)

    @property
    def target(self) -> Target:
        """It alone."""
        return self.place.target

    machine: str = ""

    def make(self, tell: Tell, *, closed: bool = False) -> DesiredInstance:
        """Fill its data folder, start it and bring it to what the file says. See Tried.make."""
        try:
            try:
                return self._make(tell, closed, filling=self.aim.size >= _MUCH)
            except FillingError:
                self.remove()
                return self._make(tell, closed, filling=False)
        except MngdbError as error:
            if os.strerror(errno.ENOSPC) in error.message:
                error.message += f", on the disk of {self.state}"
                error.hint = _FULL
            raise

    def open(self, asked: DesiredInstance, tell: Tell) -> DesiredInstance:
        """See Tried.open."""
        asked = replace(asked, instance=self.instance)
        with Phase(self.phases, "settle"):
            self.place.target.converger(asked, tell).up()
        return asked

    def _make(self, tell: Tell, closed: bool, *, filling: bool) -> DesiredInstance:
        asked = replace(
            self.context.asked(self._given, invent=True),
            instance=replace(self.instance, closed=closed),
            site=self.place.target.site(self.instance),
        )
        saved = self._saved(Meter(self.instance.name, tell, self.aim.read))
        note = Note(
            instance=self.instance.name,
            unit=self.instance.unit,
            snapshot=self.manifest.id,
            host=asked.host,
            port=self.instance.spec.port,
            version=self.manifest.taken.version,
        )
        own_folder(self.state)
        notes.write(self.state, note)  # for whoever removes it
        self.place.servers.expect({self.instance.name: asked})
        self.place.servers.begin()
        for step in self.place.servers.repairs({self.instance.name: asked}):
            step.run(None)
        self.place.servers.publish({self.instance.name: asked})
        first = replace(asked, instance=replace(self.instance, filling=filling, closed=True))
        with Phase(self.phases, "copy"):
            tell(Progress(self.instance.unit, f"unpacking {self.aim.text}"))
            self.place.fill(asked, lambda at, who: self.engine.lay(asked, saved, at, who))
        with ThreadPoolExecutor(1, "mngdb-sync") as pool:
            # what was unpacked is on its way to the disk while the server reads it from memory
            synced = pool.submit(self._sync, asked)
            with Phase(self.phases, "recovery"):
                self.place.target.converger(first, tell).up()
            with Phase(self.phases, "load"), self.session(asked) as session:
                self.engine.load(session, first, saved)
            with Phase(self.phases, "settle"):
                if self.engine.settings(first) != self.engine.settings(asked):
                    self.place.servers.stop(self.instance.unit, self.engine.stop_signal)
                self.place.target.converger(asked, tell).up()
                synced.result()
        return asked

    def _sync(self, asked: DesiredInstance) -> None:
        try:
            self.place.sync(asked)
        except OSError as error:
            raise of_system(error) from None

    def _saved(self, took: Callable[[int, int], None]) -> StoredSnapshot:
        catalog = place.catalog_of(self.context, self.manifest)

        def broken(name: str, text: str) -> str | None:
            of = self.manifest.instance
            bases.forget(self.context.stack.state, of)
            came_upon(self.context, of, name, text)
            return older(self.context, of, self.manifest.id, self.aim.instance)

        def saved(aim: Aim, parents: tuple[StoredSnapshot, ...]) -> StoredSnapshot:
            opener = place.opener(self.context, aim.manifest)
            return StoredSnapshot(catalog, opener, aim, parents, took, broken)

        return saved(self.aim, tuple(saved(Aim(one), ()) for one in self.aim.parents))

    def remove(self) -> None:
        """Stop it and remove its data. Raises MngdbError, OSError."""
        ended(self.place.servers, self.instance, self.engine.stop_signal)
        disk.remove(self.state)


def replaceable(context: Context, given: Instance) -> bool:
    """Whether the data of an instance can be exchanged with that of a restored server, which runs
    where the instance lives."""
    return context.target(given).disposable is not None


def disposable(
    context: Context, given: Instance, version: str
) -> tuple[Instance, Callable[[Instance, Path], Disposable]]:
    """What makes servers of an instance's data, which is of a server of `version`, and the instance
    as it is there: where it lives, or as a process of this machine where that is no place for
    them."""
    make = context.target(given).disposable
    if make is not None:
        return given, make
    context.make_accounts_of(place.HERE)
    moved = place.home(context, given, version)
    make = context.target(moved).disposable
    assert make is not None  # noqa: S101 — for mypy
    return moved, make


def ended(servers: Servers, instance: Instance, with_signal: int) -> None:
    """Stop such a server, whatever it takes, and remove it."""
    try:
        servers.stop(instance.unit, with_signal)
    except MngdbError:
        servers.kill(instance.unit)  # nothing of it is needed
    servers.remove()


def own_folder(state: Path) -> None:
    """Make the folder of one server."""
    mode = 0o711 if os.geteuid() == 0 else 0o700
    disk.folder(state.parent, mode=mode)
    disk.folder(state, mode=mode)


def _free_port(host: str) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def room(state: Path, aim: Aim) -> None:
    """Raise MngdbError where the disk of a folder, that need not be there yet, has no room for what
    is restored."""
    there = disk.nearest(state)
    free, needed = shutil.disk_usage(there).free, needs(aim) * _SPARE
    if free < needed:
        raise MngdbError(
            f"restoring needs {needed:,.0f} bytes, but only {free:,} are free in {there}", _FULL
        )


def needs(aim: Aim) -> int:
    """Bytes that a server takes that is restored, about."""
    return aim.size + ENGINE_INFO[aim.manifest.engine].ahead
