"""PROJECT/.mngdb/NAME: a link to the stack's state, for people and for a moved project.

Whoever may write to the project may change it, so it is read and never followed: what it names has
to be a stack of this account that knows the project.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

FOLDER = ".mngdb"
_IGNORE = "*\n"
#: What the version before kept in `.mngdb` itself.
_BEFORE = ("lock", "audit.log", "secrets", "tls", "applied.json", "agent", "compose")


def read(project: Path, name: str) -> Path | None:
    """Where the pointer says that the state is; None: there is no pointer."""
    try:
        return (project / FOLDER / name).readlink()
    except OSError:
        return None


def names(project: Path) -> list[str]:
    """The stacks that a folder has pointers to, whether or not their files are there."""
    try:
        return sorted(one.name for one in (project / FOLDER).iterdir() if one.is_symlink())
    except OSError:
        return []


def is_state(project: Path) -> bool:
    """Whether `.mngdb` is a stack's state itself, as the version before had it."""
    folder = project / FOLDER
    if folder.is_symlink() or not folder.is_dir():
        return False
    found = [folder / name for name in _BEFORE]
    return any(path.exists() and not path.is_symlink() for path in found)


def write(project: Path, name: str, state: Path) -> bool:
    """Make the pointer, ignored by git. False where the project cannot be written to, or where
    something else has the name: the stack is found by its project's path then.

    Nothing is followed: as root we may be in a folder of somebody else's.
    """
    try:
        with contextlib.suppress(FileExistsError):
            (project / FOLDER).mkdir(mode=0o755)
        folder = os.open(project / FOLDER, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        owner = project.stat()
        if os.fstat(folder).st_uid == os.geteuid() and owner.st_uid != os.geteuid():
            os.fchown(folder, owner.st_uid, owner.st_gid)  # who owns the project may remove it
        with contextlib.suppress(FileExistsError):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            handle = os.open(".gitignore", flags, 0o644, dir_fd=folder)
            os.write(handle, _IGNORE.encode())
            os.close(handle)
        with contextlib.suppress(FileNotFoundError):
            if os.readlink(name, dir_fd=folder) == str(state):
                return True
            os.unlink(name, dir_fd=folder)
        os.symlink(state, name, dir_fd=folder)
    except OSError:
        return False
    finally:
        os.close(folder)
    return True


def remove(project: Path, name: str, state: Path) -> None:
    """Remove the pointer to `state`, and the folder when nothing else is in it."""
    folder = project / FOLDER
    if folder.is_symlink() or read(project, name) != state:
        return
    with contextlib.suppress(OSError):
        (folder / name).unlink()
        if [path.name for path in folder.iterdir()] == [".gitignore"]:
            (folder / ".gitignore").unlink()
            folder.rmdir()
