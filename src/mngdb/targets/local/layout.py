"""Where everything of a local stack lies, in the stack's own folder (see mngdb.identity).

STATE/             0700, for root 0711: the servers' accounts pass through
  secrets/ tls/    0700, ours alone
  audit.log lock
  servers/         one folder a unit; a link where the file names a folder for data
    mng-pg/        ours, so that a server cannot move what we will write
      conf/        rendered files, each 0600 and the server's
      data/ run/   the server's
      server.log
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mngdb import disk
from mngdb.errors import MngdbError
from mngdb.host import Note
from mngdb.identity.home import called
from mngdb.identity.record import FILE
from mngdb.run import Account
from mngdb.spec.base import Local
from mngdb.spec.file import ENGINES
from mngdb.spec.stack import Stack

#: What a folder of a unit has, one of them at the least.
_OF_UNIT = ("unit.json", "conf", "data", "run")
#: A unix socket's path has at most 107 bytes; the name in the folder takes up to 20.
_SOCKET_FOLDER_MAX = 85


@dataclass(frozen=True)
class UnitFolder:
    """The folders of one unit."""

    root: Path
    sockets: Path
    """The server's; `run`, unless that is too long a path for a socket."""

    @property
    def run(self) -> Path:
        """The server's: pid files."""
        return self.root / "run"

    @property
    def conf(self) -> Path:
        return self.root / "conf"

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def log(self) -> Path:
        return self.root / "server.log"

    @property
    def pidfile(self) -> Path:
        return self.run / "server.pid"

    @property
    def preparing(self) -> Path:
        """As `pidfile`, of the program that makes the data folder."""
        return self.run / "prepare.pid"

    @property
    def note(self) -> Path:
        """Says whose folder it is, also when the file no longer does."""
        return self.root / "unit.json"

    @property
    def seen(self) -> Path:
        """Says which server was last seen on the data."""
        return self.root / "seen.json"

    @property
    def started(self) -> Path:
        """Holds the digest of the files that the running server was started with, and where its log
        began then: known also before the server answers."""
        return self.root / "started"

    @property
    def applied(self) -> Path:
        """Holds the digest of the files that the running server is known to have read."""
        return self.root / "applied"


@dataclass(frozen=True)
class Layout:
    """The folders of a stack. `account` is who runs the servers; None: we do."""

    state: Path
    servers: Path
    account: Account | None

    def unit(self, name: str) -> UnitFolder:
        """The folders of the unit `name`."""
        root = self.servers / name
        sockets = root / "run"
        if len(os.fsencode(sockets)) > _SOCKET_FOLDER_MAX:
            digest = hashlib.sha256(os.fsencode(root)).hexdigest()[:12]
            sockets = Path("/tmp") / f"mngdb-{self.uid}-{digest}"  # noqa: S108 - made 0700, checked
        return UnitFolder(root, sockets)

    def units(self) -> list[Note]:
        """Every unit that was ever made here. Raises MngdbError for a damaged note."""
        found = []
        for path in sorted(self.servers.glob("*/unit.json")):
            try:
                note = Note(path.parent.name, **json.loads(disk.read_own(path) or ""))
                known = ENGINES.get(note.engine) is not None
            except (ValueError, TypeError, RecursionError):
                known = False
            if not known:
                raise MngdbError(f"{path} is damaged", "remove it; 'mngdb up' writes it anew")
            found.append(note)
        return found

    @property
    def uid(self) -> int:
        """The user id that the servers run as."""
        return self.account.uid if self.account else os.geteuid()

    def prepare(self) -> None:
        """Make the folder of the servers. Can be run at any time."""
        link = self.state / "servers"
        if link.is_symlink() and not self.servers.is_dir():
            raise MngdbError(
                f"the servers' data was in {self.servers}, which does not exist",
                f"mount it or bring it back; where it is now: ln -sfn DIRECTORY {link}",
            )
        # others may pass through, so that the servers' account reaches its own folders
        disk.folder(self.servers, mode=0o711 if self.account else 0o700)
        if self.account is not None:
            _reach(self.servers, self.account)
        if self.servers != link and not link.is_symlink():
            link.symlink_to(self.servers)

    def prepare_unit(self, name: str) -> UnitFolder:
        """Make a unit's folders."""
        folder = self.unit(name)
        outer = 0o711 if self.account else 0o700
        disk.folder(folder.root, mode=outer)
        disk.folder(folder.conf, mode=outer)
        for path in {folder.run, folder.sockets}:
            disk.private(path, owner=self.account)
        return folder

    def remove(self) -> None:
        """Remove the servers' folders, the data included. The way to them goes with the state."""
        for unit in self.servers.iterdir() if self.servers.is_dir() else ():
            run = self.unit(unit.name).sockets
            if run.is_dir():
                shutil.rmtree(run)
        for unit in self.servers.iterdir() if self.servers.is_dir() else ():
            if any((unit / name).exists() for name in _OF_UNIT):
                shutil.rmtree(unit)
        (self.servers / "ca.crt").unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            try:
                self.servers.rmdir()
            except OSError as error:
                if error.errno not in {errno.ENOTEMPTY, errno.ENOTDIR}:
                    raise  # else what somebody else put there stays


def remove_state(state: Path, forget: Callable[[], None]) -> None:
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


def layout(stack: Stack, local: Local, account: Account | None) -> Layout:
    """Where this stack's folders are; nothing is made. Raises MngdbError where the data is not
    where the file says, or not this account's."""
    state, link = stack.state, stack.state / "servers"
    given = local.data and (stack.folder / disk.expanded(local.data)).resolve()
    if link.is_symlink():
        # where the first `up` put it
        servers = Path(os.path.normpath(state / link.readlink()))
        if given and not servers.resolve().is_relative_to(given):
            raise MngdbError(
                f"the file says that the data is in {given}, and it is in {servers}",
                f"mngdb down; move {servers} there; ln -sfn {given}/{servers.name} {link}",
            )
        _own(servers)
    elif account is not None and link.is_dir() and link.stat().st_uid != os.geteuid():
        raise MngdbError(
            f"this stack's servers run as the user id {link.stat().st_uid}, not as {account.name}",
            "run mngdb as the user that brought it up",
        )
    elif given:
        # of this stack alone: the folder, or a mounted disk, may hold other things
        servers = given / state.name
    else:
        servers = link
    return Layout(state, servers, account)


def _own(servers: Path) -> None:
    """Raise MngdbError for a folder of somebody else's: as root, everything in it would be ours to
    change and remove."""
    with contextlib.suppress(FileNotFoundError):
        owner = servers.lstat().st_uid
        if owner not in {os.geteuid(), 0}:
            raise MngdbError(
                f"the servers' data is in {servers}, which belongs to {called(owner)}",
                "bring this stack up as that account, or give the directory back to yours",
            )


def _reach(folder: Path, account: Account) -> None:
    for parent in [folder, *folder.parents]:
        found = parent.stat()
        if not found.st_mode & 0o001 and found.st_uid != account.uid:
            raise MngdbError(
                f"the account {account.name}, which the servers run as, cannot pass {parent}",
                "name another folder under 'target: {local: {data: …}}', or chmod a+x it",
            )
