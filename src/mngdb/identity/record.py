"""stack.json: who a stack is. Written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct, to_builtins

from mngdb import disk
from mngdb.errors import MngdbError

FILE = "stack.json"
#: The folder of a stack: its name when it was made, and the first digits of its id.
_FOLDER = re.compile(r"[a-z0-9][^/]*-[0-9a-f]{8}")
#: Bytes. Larger is none of ours.
_LIMIT = 1 << 16


class DamagedError(MngdbError):
    """A stack's record is there and says nothing: who the stack is has to be told anew."""


class Record(Struct, frozen=True):
    """One stack. `project` is the folder of its file as it was named last, `file` the name of the
    first file there, `inode` that folder's device and inode: a moved folder keeps them, a copy
    does not. `created` is UTC, in ISO 8601."""

    id: str
    name: str
    project: str
    file: str
    inode: str
    created: str

    @property
    def folder(self) -> str:
        """The name of its folder when it is made."""
        return f"{self.name}-{self.id[:8]}"

    def write(self, state: Path) -> None:
        """Keep it in the stack's folder. Raises OSError."""
        disk.write(state / FILE, json.dumps(to_builtins(self), indent=1) + "\n")

    @property
    def linked(self) -> bool:
        """Whether the project is named by a link: the name counts then, not what it leads to."""
        return os.path.realpath(self.project) != self.project

    def there(self) -> bool:
        """Whether the project is still where it was."""
        return (Path(self.project) / self.file).exists()


def make(state: Path) -> None:
    """Make the folder of a stack, or the one of all stacks. Root's are such that servers' accounts
    pass through."""
    mode = 0o711 if os.geteuid() == 0 else 0o700
    for path in (state.parent.parent, state.parent):
        if not path.exists():
            disk.folder(path, mode=mode)
    disk.folder(state, mode=mode)


def inode(folder: Path) -> str:
    """A folder's device and inode."""
    found = folder.stat()
    return f"{found.st_dev}:{found.st_ino}"


def now() -> str:
    """This moment, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def read(state: Path) -> Record:
    """The record of a stack's folder. Raises FileNotFoundError where there is none, DamagedError,
    and UsageError for one that is somebody else's."""
    path = state / FILE
    # root lists the stacks of all accounts
    text = disk.read_own(path, limit=_LIMIT, owners=None if os.geteuid() == 0 else ())
    if text is None:
        raise FileNotFoundError(path)
    try:
        found = json.loads(text)
        return Record(**{name: str(found[name]) for name in Record.__struct_fields__})
    except (ValueError, TypeError, KeyError, RecursionError):
        raise DamagedError(
            f"{path} is damaged",
            f"restore it from a backup, or recreate it: mngdb stacks attach {state.name}",
        ) from None


def records(home: Path) -> Iterator[tuple[Path, Record]]:
    """Every stack in a folder of stacks, with its folder. A damaged one is not found by its
    project's path; what names it says so."""
    for state in _folders(home):
        with contextlib.suppress(MngdbError, OSError):
            yield state, read(state)


def damaged(home: Path) -> Iterator[Path]:
    """The folders of those stacks whose record says nothing, or is missing."""
    for state in _folders(home):
        try:
            read(state)
        except (DamagedError, FileNotFoundError):
            yield state
        except (MngdbError, OSError):
            continue


def _folders(home: Path) -> list[Path]:
    try:
        return sorted(path for path in home.iterdir() if is_folder(path.name))
    except (FileNotFoundError, NotADirectoryError):
        return []


def is_folder(name: str) -> bool:
    """Whether a folder's name is one of a stack."""
    return _FOLDER.fullmatch(name) is not None


def remove(state: Path, forget: Callable[[], None]) -> None:
    """Remove the stack's own folder, after which `forget` removes the way to it. Killed, it can be
    run again: who it is and the lock go last."""
    for path in state.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name not in {"lock", FILE}:
            path.unlink()
    forget()
    for name in (FILE, "lock"):
        (state / name).unlink(missing_ok=True)
    try:
        state.rmdir()
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise
        # a command that waited for the lock has begun a new stack here
