"""All stacks of an account, and which folder a stack's project is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct
from msgspec.structs import asdict, replace

from mngdb.errors import UsageError
from mngdb.identity import before, holdings, pointer, record
from mngdb.identity.home import home, homes
from mngdb.identity.locate import Located
from mngdb.identity.record import Record
from mngdb.spec.stack import Stack

_BLOCK = 512


class StackRow(Struct, frozen=True):
    """One stack. `bytes` is what its folder takes on the disk, without volumes of containers."""

    id: str
    name: str
    project: str
    """Empty: its stack.json, which says so, is damaged or missing."""
    there: bool
    """Whether the project is still where it was."""
    units: tuple[str, ...]
    bytes: int
    state: str

    def as_json(self) -> dict[str, object]:
        """The stack as `stacks --json` shows it."""
        return {**asdict(self), "units": list(self.units)}


def stacks(environ: Mapping[str, str]) -> list[StackRow]:
    """Every stack of this account; for root of every account of the machine."""
    every = [*homes(environ)]
    return [
        StackRow(
            id=state.name,
            name=found.name,
            project=found.project,
            there=found.there(),
            units=tuple(holdings.units(state)),
            bytes=disk_use(state),
            state=str(state),
        )
        for folder in every
        for state, found in record.records(folder)
    ] + [
        StackRow(
            id=state.name,
            name=state.name.rpartition("-")[0],
            project="",
            there=False,
            units=tuple(holdings.units(state)),
            bytes=disk_use(state),
            state=str(state),
        )
        for folder in every
        for state in record.damaged(folder)
    ]


def disk_use(state: Path) -> int:
    """Bytes on the disk, the data included where a link leads to it."""
    total, seen = 0, set()
    servers = state / "servers"
    for top in (state, *([servers.resolve()] if servers.is_symlink() else [])):
        for folder, _, names in os.walk(top, onerror=lambda _: None):
            for name in names:
                try:
                    found = Path(folder, name).lstat()
                except FileNotFoundError:
                    continue  # a server removed it meanwhile
                if (found.st_dev, found.st_ino) not in seen:
                    seen.add((found.st_dev, found.st_ino))
                    total += found.st_blocks * _BLOCK
    return total


def attach(stack: Stack, located: Located, wanted: str, environ: Mapping[str, str]) -> Record:
    """Make the file's folder the project of the stack `wanted`: its id, or its name. Raises
    UsageError."""
    project = located.project
    if located.kind == "before" and located.trouble is not None:
        before.attach(stack.name, project, Path(wanted))
        return located.record
    if located.kind != "new":
        raise UsageError(f"this folder already has the stack {stack.name!r}: {located.state}")
    state, found = _one(wanted, located, environ)
    if found.name != stack.name:
        raise UsageError(
            f"the stack {state.name} is named {found.name!r}, but the file says {stack.name!r}",
            f"write 'name: {found.name}' into the file",
        )
    mine = located.record
    attached = replace(found, project=str(project), file=mine.file, inode=mine.inode)
    attached.write(state)
    pointer.write(project, found.name, state)
    return attached


def _one(wanted: str, located: Located, environ: Mapping[str, str]) -> tuple[Path, Record]:
    lost = located.home / wanted
    if lost in record.damaged(located.home):
        mine = located.record
        return lost, replace(mine, id=wanted.rpartition("-")[2] + mine.id[8:])
    every = list(record.records(home(environ)))
    found = [one for one in every if wanted in (one[0].name, one[1].name)]
    if len(found) == 1:
        return found[0]
    known = ", ".join(state.name for state, _ in (found or every)) or "none"
    what = "several stacks are" if found else "no stack of this account is"
    raise UsageError(f"{what} called {wanted!r}", f"existing stacks: {known}")
