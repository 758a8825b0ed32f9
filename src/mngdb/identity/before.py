"""State in the project's own `.mngdb`, where the version before kept it: known again, and moved."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from pathlib import Path

from mngdb import disk
from mngdb.errors import ForeignError, MngdbError, UsageError
from mngdb.identity import pointer, record
from mngdb.identity.home import called
from mngdb.identity.record import Record
from mngdb.run import run

#: Seconds that the copy of a stack's data to another file system may take.
_COPY = 24 * 3600.0


def trouble(name: str, project: Path) -> UsageError | None:
    """Why a `.mngdb` of the version before may not be used as it is."""
    state = project / pointer.FOLDER
    owner = state.lstat().st_uid
    if owner != os.geteuid():
        return ForeignError(
            f"{state} belongs to {called(owner)}", "run mngdb as that account", owner
        )
    servers = _linked(state)
    if servers is None or servers.is_relative_to(project) or servers.name == _own(name, project):
        return None
    return UsageError(
        f"{project} is a copy of the project that the data in {servers} belongs to, or was moved",
        f"a copy: remove {state} to start an empty stack here; "
        f"moved: mngdb stacks attach {servers}",
    )


def attach(name: str, project: Path, servers: Path) -> None:
    """Say that a project of the version before was moved here, and that its data goes on here.
    Raises UsageError for data that is not the project's."""
    state = project / pointer.FOLDER
    if _linked(state) != servers or not servers.is_dir():
        raise UsageError(f"{state} does not name the data in {servers}")
    there = servers.with_name(_own(name, project))
    if there.exists():
        raise UsageError(f"{there} exists already", "this folder already has data")
    servers.rename(there)
    (state / "servers").unlink()
    (state / "servers").symlink_to(there)


def move(state: Path, mine: Record, home: Path) -> Path:
    """Move a `state` whose servers are stopped to the folder of stacks `home`, as the stack `mine`:
    whole or not at all. Returns where it is then. Killed, it can be run again. Raises OSError,
    MngdbError."""
    target = home / mine.folder
    record.make(target)
    target.rmdir()  # its parents are what was wanted
    servers = _linked(state)
    if servers is not None:
        (state / "servers").unlink()
        (state / "servers").symlink_to(servers)  # one that was relative to the project
    (state / ".gitignore").unlink(missing_ok=True)
    mine.write(state)
    try:
        state.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy(state, target)
        shutil.rmtree(state)
    record.make(target)  # its mode
    pointer.write(Path(mine.project), mine.name, target)
    return target


def _copy(state: Path, target: Path) -> None:
    part = target.with_name(f".{target.name}")
    shutil.rmtree(part, ignore_errors=True)
    try:
        run(["cp", "--archive", "--reflink=auto", str(state), str(part)], timeout=_COPY)
        disk.sync_tree(part)
    except (MngdbError, OSError):
        shutil.rmtree(part, ignore_errors=True)
        raise
    part.rename(target)
    disk.sync(target.parent)


def _linked(state: Path) -> Path | None:
    """Where the servers' data is, when it is not in the state itself."""
    link = state / "servers"
    return Path(os.path.normpath(state / link.readlink())) if link.is_symlink() else None


def _own(name: str, project: Path) -> str:
    digest = hashlib.sha256(os.fsencode(project.resolve())).hexdigest()[:8]
    return f"{name}-{digest}"
