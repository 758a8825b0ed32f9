"""Finds the stack that a folder stands for: new, known, moved, copied, renamed, somebody else's.

Only `moved` changes anything: the record says from then on where the project is.
"""

from __future__ import annotations

import os
import secrets
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from mngdb import disk
from mngdb.errors import ForeignError, LockedError, UsageError
from mngdb.identity import before, holdings, pointer, record
from mngdb.identity.home import VARIABLE, called, homes
from mngdb.identity.record import DamagedError, Record

#: `before`: its state is in the project's `.mngdb`, where the version before kept it.
Kind = Literal["new", "known", "before"]


class Located(Struct, frozen=True):
    """The stack of a folder: what a command has to know before it does anything."""

    kind: Kind
    state: Path
    """The stack's folder; of a `new` one where it will be."""
    record: Record
    """Of a `new` one as it will be."""
    home: Path
    """The folder of this account's stacks."""
    notice: str = ""
    """What a person should know, once."""
    trouble: UsageError | None = None
    """Why this folder may not be used for it."""

    def claim(self) -> Located:
        """Make the stack's folder, its record and the project's pointer where they are missing.
        Can be run at any time. Raises OSError, UsageError, and LockedError when another command
        made the stack meanwhile."""
        if self.trouble is not None:
            raise self.trouble
        if self.kind == "before":
            return self
        if self.kind == "new":
            self._make()
        record.make(self.state)  # its mode
        pointer.write(self.project, self.record.name, self.state)
        return replace(self, kind="known")

    def reclaim(self) -> bool:
        """Under the stack's lock: make the record and the pointer again, where a `destroy` that was
        waited for has removed them after `claim`, and say whether it has. Raises OSError."""
        if (self.state / record.FILE).exists():
            return False
        self.record.write(self.state)
        pointer.write(self.project, self.record.name, self.state)
        return True

    def pointed(self) -> Path | None:
        """The state that the project's pointer names now."""
        return pointer.read(self.project, self.record.name)

    def forget(self, before: Path | None = None) -> None:
        """Remove the project's pointer, where it is this stack's; `before` is what it named then,
        and names again."""
        pointer.remove(self.project, self.record.name, self.state)
        if before is not None:
            pointer.write(self.project, self.record.name, before)

    def _make(self) -> None:
        mine = self.record
        record.make(self.home)
        # no stack is made by two commands at the same moment
        with disk.alone(self.home / ".lock"):
            found = _Search(mine.name, self.project, mine.file, self.home).run()
            if found.kind == "known" and found.state != self.state:
                raise LockedError(
                    "another mngdb is working on this stack: it has just started",
                    "wait until it finishes, then try again",
                )
            record.make(self.state)
            mine.write(self.state)

    @property
    def project(self) -> Path:
        """The folder of the stack's file."""
        return Path(self.record.project)


def folder_of(file: Path, environ: Mapping[str, str]) -> Path:
    """The folder of a file as it was named: `/srv/app/current`, and not the release that it is a
    link to today."""
    if file.is_symlink() or ".." in file.parts:
        return file.resolve().parent
    if file.is_absolute():
        return file.parent
    here = environ.get("PWD", "")
    if not (here.startswith("/") and Path(here).is_dir() and Path(here).samefile(".")):
        return (Path.cwd() / file).parent
    return Path(here, file).parent


def locate(
    name: str, files: Sequence[Path], environ: Mapping[str, str], *, fresh: bool = False
) -> Located:
    """The stack called `name` of the files' folder; with `fresh` one that begins empty whatever
    there was. Raises UsageError where no state can be, or where `fresh` has no meaning."""
    own, *others = homes(environ)
    search = _Search(name, folder_of(files[0], environ), files[0].name, own, others)
    found = search.run()
    if not fresh:
        return found
    if found.kind != "new":
        raise UsageError(
            f"this folder already has the stack {name!r}: {found.state}",
            "omit --new; 'mngdb destroy' removes the stack",
        )
    return replace(found, trouble=None)


@dataclass
class _Search:
    name: str
    folder: Path
    file: str
    home: Path
    others: Sequence[Path] = ()
    """Where other accounts have their stacks, as far as this one may see them."""

    @cached_property
    def inode(self) -> str:
        return record.inode(self.folder)

    def run(self) -> Located:
        pointed = pointer.read(self.folder, self.name)
        found = self._record(pointed)
        if pointed is not None and found is not None and self._here(found):
            return self._known(pointed, found)  # the usual case needs no search
        every = list(record.records(self.home))
        for state, other in every:
            if other.name == self.name and self._here(other):
                same = other.linked or other.inode == self.inode
                return self._known(state, other) if same else self._replaced(state)
        if pointed is not None:
            return self._strange(pointed) if found is None else self._elsewhere(pointed, found)
        if pointer.is_state(self.folder):
            state = self.folder / pointer.FOLDER
            trouble = before.trouble(self.name, self.folder)
            return Located("before", state, self._fresh(), self.home, trouble=trouble)
        for state, other in every:
            if other.name != self.name and other.file == self.file and self._mine(state, other):
                return self._renamed(other)
        for state, other in every:
            if other.name == self.name and not other.there() and holdings.units(state):
                return self._orphan(state, other)
        theirs = self._of_another_account()
        return self.new() if theirs is None else self._strange(theirs)

    def _of_another_account(self) -> Path | None:
        """As root: the stack of this folder and name that the folder's own account has."""
        owner = self.folder.stat().st_uid
        if os.geteuid() == owner:
            return None
        for place in self.others:
            for state, other in record.records(place):
                mine = other.name == self.name and self._here(other)
                if mine and state.lstat().st_uid == owner:
                    return state
        return None

    def _record(self, pointed: Path | None) -> Record | None:
        """The record of the stack that the pointer names, where it is one of this account's."""
        if pointed is None or pointed.parent != self.home or not record.is_folder(pointed.name):
            return None
        try:
            found = record.read(pointed)
        except (FileNotFoundError, DamagedError):
            return None
        return found if found.name == self.name else None

    def _here(self, found: Record) -> bool:
        if found.project == str(self.folder):
            return True
        try:
            return Path(found.project).samefile(self.folder)
        except OSError:
            return False

    def _fresh(self) -> Record:
        return Record(
            id=secrets.token_hex(16),
            name=self.name,
            project=str(self.folder),
            file=self.file,
            inode=self.inode,
            created=record.now(),
        )

    def new(self, trouble: UsageError | None = None) -> Located:
        """A stack that is not there yet."""
        fresh = self._fresh()
        return Located("new", self.home / fresh.folder, fresh, self.home, trouble=trouble)

    def _mine(self, state: Path, found: Record) -> bool:
        """Whether a stack of another name is the one of this folder: also when it was moved."""
        if self._here(found):
            return True
        pointed = pointer.read(self.folder, found.name) == state
        return pointed and (self._same(found) or not self._still(state, found))

    def _same(self, found: Record) -> bool:
        """Whether this is the very folder, moved: it has its inode."""
        return found.inode == self.inode and not found.linked

    # --- answers

    def _known(self, state: Path, found: Record) -> Located:
        if found.inode != self.inode:
            found = replace(found, inode=self.inode)
            found.write(state)
        return Located("known", state, found, self.home)

    def _replaced(self, state: Path) -> Located:
        return self.new(
            UsageError(
                f"{self.folder} is not the directory that the stack {self.name!r} was created "
                "in: it was replaced by another one with the same name",
                f"if it is the same project: {attach(state)}; to start an empty stack: "
                "mngdb up --new",
            )
        )

    def _elsewhere(self, state: Path, found: Record) -> Located:
        """The pointer came with a folder that was moved, or copied."""
        if self._same(found) or not self._still(state, found):
            moved = replace(found, project=str(self.folder), file=self.file, inode=self.inode)
            moved.write(state)
            notice = f"the project was moved from {found.project} to {self.folder}"
            return Located("known", state, moved, self.home, notice=notice)
        return self.new(
            UsageError(
                f"{self.folder} is a copy of {found.project}, which the stack {self.name!r} "
                "belongs to",
                "set another 'name' in the file to start an empty stack here; to continue here "
                f"with the data: {attach(state)}",
            )
        )

    def _still(self, state: Path, found: Record) -> bool:
        """Whether the project is where the record says, and is the stack's."""
        there = Path(found.project)
        if not found.there():
            return False
        pointed = pointer.read(there, found.name)
        return pointed is None or pointed == state

    def _lost(self, state: Path) -> Located:
        return self.new(
            UsageError(
                f"the state of the stack {self.name!r} is missing: {state} does not exist",
                "restore it (from a backup, or by mounting it), or start an empty stack: "
                "mngdb up --new",
            )
        )

    def _strange(self, pointed: Path) -> Located:
        """The pointer names what is none of this account's stacks."""
        try:
            owner = pointed.lstat().st_uid
        except PermissionError:
            # it may be there: whoever shuts us out knows
            owner = disk.nearest(pointed).stat().st_uid
        except OSError:
            return self._lost(pointed)
        name, empty = self.name, "or start an empty stack: mngdb up --new"
        if owner != os.geteuid():
            said = f"the stack {name!r} of this folder belongs to {called(owner)}: {pointed}"
            hint = f"run mngdb as {called(owner).removeprefix('the ')}, {empty}"
            return self.new(ForeignError(said, hint, owner))
        if pointed.parent == self.home:
            file = pointed / record.FILE
            why = "damaged" if file.exists() else "missing"
            said = f"the stack {name!r} cannot be identified: {file} is {why}"
            hint = f"restore the file from a backup, or recreate it: {attach(pointed)}"
        else:
            said = f"the stack {name!r} of this folder is in another state directory: {pointed}"
            hint = f"export {VARIABLE}={shlex.quote(str(pointed.parent.parent))}, {empty}"
        return self.new(UsageError(said, hint))

    def _renamed(self, found: Record) -> Located:
        return self.new(
            UsageError(
                f"the stack of this folder is named {found.name!r}, but {self.file} says "
                f"{self.name!r}: its servers would start empty",
                f"write 'name: {found.name}' again; to start an empty stack in addition: "
                "mngdb up --new",
            )
        )

    def _orphan(self, state: Path, found: Record) -> Located:
        return self.new(
            UsageError(
                f"a stack {self.name!r} was created in {found.project}, which no longer exists; "
                f"its data is in {state}",
                f"to continue with it here: {attach(state)}; to start an empty one: mngdb up --new",
            )
        )


def attach(state: Path) -> str:
    """The command that makes the current folder the project of a stack."""
    return f"mngdb stacks attach {shlex.quote(state.name)}"
