"""Servers of restored data: made here of a snapshot in a store, or by who keeps the backups himself
where the instance lives, beside the live server. The latter cost money while they are there."""

from __future__ import annotations

import secrets
from pathlib import Path

from msgspec.structs import replace

from mngdb import disk
from mngdb.errors import UsageError
from mngdb.model import DesiredInstance
from mngdb.ops.backup import kept, notes, place
from mngdb.ops.backup.notes import Note
from mngdb.ops.backup.reach import Aim
from mngdb.ops.backup.scratch import Scratch, own_folder, room
from mngdb.ops.backup.tried import Phase, Tell, Tried
from mngdb.ops.context import Context
from mngdb.spec.stack import Instance, Role
from mngdb.targets.backups import OwnBackups
from mngdb.targets.protocol import Target


def begin(context: Context, aim: Aim, state: Path, *, role: Role = "beside") -> Tried:
    """The server that will be made of it; `state` is its folder, that need not be there. Raises
    MngdbError where there is no room or no program for it."""
    own = kept.of(context, aim.instance)
    if own is not None:
        return HostedServer(context, aim, state, own)
    room(state, aim)
    return Scratch(context, aim, state, role=role)


def openable(context: Context, aim: Aim) -> None:
    """Raise UsageError where no key here opens what is restored, SecretError."""
    if kept.of(context, aim.manifest.instance) is None:
        place.opener(context, aim.manifest)


def cost(context: Context, instance: str) -> str:
    """What a server of restored data costs, in words; empty: nothing."""
    own = kept.of(context, instance)
    return own.cost(context.instance(instance)) if own is not None else ""


class HostedServer(Tried):
    """A server that is made beside the live one, by who runs that."""

    def __init__(self, context: Context, aim: Aim, state: Path, own: OwnBackups) -> None:
        super().__init__(context, aim)
        self.state = state
        self._own = own
        given = context.instance(aim.instance)
        # the first letters tell it from all others
        self.instance = beside(own, given, f"restored-{secrets.token_hex(4)}-{given.unit}")

    @property
    def target(self) -> Target:
        """That of the live one."""
        return self.context.target(self.context.instance(self.aim.instance))

    @property
    def machine(self) -> str:
        """Who runs it."""
        return self._own.keeper

    @property
    def changed(self) -> bool:
        """Its log is its keeper's."""
        return self.aim.until is not None

    def make(self, tell: Tell, *, closed: bool = False) -> DesiredInstance:
        """See Tried.make. Its keeper's logins are those of all his servers: none is kept out."""
        live = self.context.as_admin(self.context.instance(self.aim.instance))
        asked = replace(live, instance=self.instance)
        note = Note(
            instance=self.instance.name,
            unit=self.instance.unit,
            snapshot=self.manifest.id,
            host="",
            port=0,
            version=self.manifest.taken.version,
            keeper=self._own.keeper,
        )
        own_folder(self.state)
        notes.write(self.state, note)  # before anything costs money: for whoever removes it
        with Phase(self.phases, "server"):
            self._own.make(live, self.instance, tell)
        with Phase(self.phases, "restore"):
            self._own.restore(live, self.instance, self.manifest.id, self.aim.until, tell)
        with Phase(self.phases, "settle"), self.session(asked) as session:
            seen = self.engine.reconcile(asked, self.engine.observe(session, asked))
            for step in seen.steps:
                if not step.destructive:
                    step.run(session)
        access = self.admin(asked)
        notes.write(self.state, replace(note, host=access.host, port=access.port))
        return asked

    def remove(self) -> None:
        """See Tried.remove."""
        note = notes.read(self.state)
        if note is not None:
            removed(self.context, note)
        disk.remove(self.state)


def beside(own: OwnBackups, given: Instance, unit: str) -> Instance:
    """An instance as it is on a server beside the live one."""
    return replace(own.beside(given, unit), monitored=False, role="beside")


def removed(context: Context, note: Note) -> None:
    """Remove a server that somebody else made beside a live one. Raises MngdbError."""
    own = kept.of(context, note.instance)
    if own is None:
        raise UsageError(
            f"{note.unit} costs money at {note.keeper}, and the file does not have {note.instance} "
            "there any more",
            f"bring {note.instance} back to the file, then run the same command again",
        )
    given = context.instance(note.instance)
    own.remove(context.asked(given, invent=True, find=False), beside(own, given, note.unit))
