"""Where the state of an account's stacks is, and whose files may be trusted."""

from __future__ import annotations

import os
import pwd
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from mngdb import disk
from mngdb.errors import ForeignError, UsageError

#: Root's state; servers do not run as root, so it is where their accounts can go.
SYSTEM = Path("/var/lib/mngdb")
#: Names another folder for the state of all stacks.
VARIABLE = "MNGDB_STATE_HOME"
#: Folders, separated by colons, whose files are read whoever owns them; `*` is every folder.
SAFE = "MNGDB_SAFE_DIRECTORY"
_STACKS = "stacks"


def home(environ: Mapping[str, str]) -> Path:
    """The folder of this account's stacks. Raises UsageError where there is none."""
    return _base(environ) / _STACKS


def _base(environ: Mapping[str, str]) -> Path:
    given = environ.get(VARIABLE)
    if given:
        if not Path(given).is_absolute():
            raise UsageError(f"{VARIABLE} is not an absolute path: {given!r}")
        # PostgreSQL names its files without '..': they are compared
        return Path(os.path.normpath(given))
    if os.geteuid() == 0:
        return SYSTEM
    # the XDG Base Directory Specification: a relative path is ignored
    state = environ.get("XDG_STATE_HOME", "")
    if state.startswith("/"):
        return Path(os.path.normpath(state)) / "mngdb"
    return Path(_home_of_account(environ)) / ".local/state/mngdb"


def _home_of_account(environ: Mapping[str, str]) -> str:
    given = environ.get("HOME", "")
    if given.startswith("/"):
        return given
    try:
        return pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:
        raise UsageError(
            f"the user id {os.geteuid()} has no home directory to keep a stack's state in",
            f"set HOME, or {VARIABLE}",
        ) from None


def homes(environ: Mapping[str, str]) -> Iterator[Path]:
    """The folders of all stacks that this account may see: its own, for root everybody's."""
    own = home(environ)
    yield own
    if os.geteuid() == 0:
        accounts = {Path(one.pw_dir) / ".local/state/mngdb" / _STACKS for one in pwd.getpwall()}
        yield from sorted(path for path in accounts if path != own and path.is_dir())


def require_trusted(files: Iterable[Path], environ: Mapping[str, str]) -> None:
    """Raise ForeignError for a file of another account, or in another account's folder, as git
    does: whoever owns it decides what runs and what is removed."""
    _refuse(_strange(files, _trusted(environ)), environ)


def require_own_links(files: Iterable[Path], environ: Mapping[str, str]) -> None:
    """Raise ForeignError for a link of another account on the way to a file."""
    _refuse(_strange_links(files, _trusted(environ)), environ)


def _refuse(strange: Iterable[tuple[Path, int]], environ: Mapping[str, str]) -> None:
    safe = [one for one in environ.get(SAFE, "").split(":") if one]
    for path, owner in strange:
        folder = _folder(path)
        if "*" in safe or any(folder.is_relative_to(os.path.realpath(one)) for one in safe):
            continue
        raise ForeignError(
            f"{path} belongs to {called(owner)}",
            "run mngdb as that account, or trust the folder: "
            f"export {SAFE}={shlex.quote(str(folder))}",
            owner,
        )


def lent_trust(files: Iterable[Path]) -> dict[str, str]:
    """The variable that a process without our environment needs to trust the same files; none where
    they are this account's own, or root's. Raises UsageError for a folder it cannot name."""
    found = _strange(files, {os.geteuid(), 0})
    folders = dict.fromkeys(str(_folder(path)) for path, _ in found)
    for folder in folders:
        if ":" in folder:
            raise UsageError(
                f"{folder} has a colon in its name, so {SAFE} cannot name it to a service",
                "rename it, or give the project to the account that runs mngdb",
            )
    return {SAFE: ":".join(folders)} if folders else {}


def _strange(files: Iterable[Path], owners: Collection[int]) -> Iterator[tuple[Path, int]]:
    """The files, their folders and the links to them that belong to nobody of `owners`, and to
    whom they do."""
    files = [*files]
    yield from _strange_links(files, owners)
    for file in files:
        there = file.exists()
        if there and not file.is_file():
            continue  # a pipe of the shell that called us: `-f <(…)`
        own = (file.resolve(),) if there else ()  # one that is about to be written has a folder
        for path in (*own, file.resolve().parent):
            owner = path.stat().st_uid
            if owner not in owners:
                yield path, owner


def _strange_links(files: Iterable[Path], owners: Collection[int]) -> Iterator[tuple[Path, int]]:
    for link in (one for file in files for one in disk.links(file)):
        owner = link.lstat().st_uid
        if owner not in owners:
            yield link, owner


def _folder(path: Path) -> Path:
    """What has to be trusted for a file, a folder or a link to be read."""
    return path if path.is_dir() and not path.is_symlink() else path.parent


def _trusted(environ: Mapping[str, str]) -> set[int]:
    """Accounts that may say what we do: ourselves, root, and who called root by sudo."""
    found = {os.geteuid(), 0}
    caller = environ.get("SUDO_UID", "")
    if os.geteuid() == 0 and caller.isdigit():
        found.add(int(caller))
    return found


def called(uid: int) -> str:
    """An account's name, for people."""
    try:
        return f"the account {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"the user id {uid}"
