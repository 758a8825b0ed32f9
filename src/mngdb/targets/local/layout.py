"""Where everything of a local stack lies.

.mngdb/            0700, beside the file
  secrets/ tls/    0700, ours alone
  audit.log lock
  servers/         one folder a unit; for root a link to /var/lib/mngdb/NAME-HASH, because the
                   servers' account cannot reach into our 0700 folder
    mng-pg/        ours, so that a server cannot move what we will write
      conf/        rendered files, each 0600 and the server's
      data/ run/   the server's
      server.log
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from mngdb import disk
from mngdb.errors import MngdbError
from mngdb.host import Note
from mngdb.run import Account
from mngdb.spec.base import Local
from mngdb.spec.file import ENGINES
from mngdb.spec.stack import Stack

SYSTEM = Path("/var/lib/mngdb")
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
        """Make the stack's folders. Can be run at any time."""
        prepare_state(self.state)
        if self.account is None and self.servers == self.state / "servers":
            disk.folder(self.servers)
            return
        link = self.state / "servers"
        if link.is_symlink() and not self.servers.is_dir():
            raise MngdbError(
                f"the servers' data was in {self.servers}, which is not there",
                f"mount it or bring it back; where it is now: ln -sfn FOLDER {link}",
            )
        # others may pass through, so that the servers' account reaches its own folders
        mode = 0o711 if self.account else 0o700
        if self.servers.is_relative_to(SYSTEM):
            disk.folder(SYSTEM, mode=0o755)
        disk.folder(self.servers, mode=mode)
        if self.account is not None:
            _reach(self.servers, self.account)
        if not link.is_symlink():
            self._claim(link)

    def _claim(self, link: Path) -> None:
        if any(self.servers.iterdir()):
            raise MngdbError(
                f"{self.servers} holds servers, and this folder does not know them: the project "
                "that they belong to was moved away, or lost its .mngdb",
                f"to take them over: ln -s {self.servers} {link}; or call this stack otherwise",
            )
        inside = self.servers.is_relative_to(self.state.parent)
        # a link inside the project moves with it
        link.symlink_to(
            os.path.relpath(self.servers, self.state) if inside else self.servers,
        )

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
        if self.servers.is_dir():
            shutil.rmtree(self.servers)


def prepare_state(state: Path) -> None:
    """Make the folder of mngdb's own state, ignored by git."""
    disk.folder(state)
    ignore = state / ".gitignore"
    if not ignore.exists():
        disk.write(ignore, "*\n")


def remove_state(state: Path) -> None:
    """Remove it. Killed, it can be run again: the lock goes last."""
    for path in state.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != "lock":
            path.unlink()
    (state / "lock").unlink(missing_ok=True)
    try:
        state.rmdir()
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise
        # a command that waited for the lock has begun a new stack here


def layout(stack: Stack, local: Local, account: Account | None) -> Layout:
    """Where this stack's folders are; nothing is made."""
    link = stack.state / "servers"
    # of this stack alone: `data` may be a folder, or a mounted disk, that holds other things
    own = f"{stack.name}-{hashlib.sha256(os.fsencode(stack.folder)).hexdigest()[:8]}"
    if link.is_symlink():
        # where the first `up` put it, also after the project moved
        servers = Path(os.path.normpath(stack.state / link.readlink()))
        wanted = (stack.folder / disk.expanded(local.data or "")).resolve()
        if local.data is not None and not servers.resolve().is_relative_to(wanted):
            raise MngdbError(
                f"the file says that the data is in {wanted}, and it is in {servers}",
                f"mngdb down; move {servers} there; ln -sfn {wanted}/{servers.name} {link}",
            )
    elif account is not None and link.is_dir():
        owner = link.stat().st_uid
        raise MngdbError(
            f"this stack's servers run as the user id {owner}, not as {account.name}",
            "run mngdb as the user that brought it up",
        )
    elif local.data is not None:
        servers = (stack.folder / disk.expanded(local.data)).resolve() / own
    elif account is not None:
        servers = SYSTEM / own
    else:
        servers = link
    return Layout(stack.state, servers, account)


def _reach(folder: Path, account: Account) -> None:
    for parent in [folder, *folder.parents]:
        found = parent.stat()
        if not found.st_mode & 0o001 and found.st_uid != account.uid:
            raise MngdbError(
                f"the account {account.name}, which the servers run as, cannot pass {parent}",
                "name another folder under 'target: {local: {data: …}}', or chmod a+x it",
            )
