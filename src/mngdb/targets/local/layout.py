"""Where everything of a local stack lies.

.mngdb/            0700, beside the file
  secrets/ tls/    0700, ours alone
  audit.log lock programs.json
  servers/         one folder a unit; for root a link to /var/lib/mngdb/NAME-HASH, because the
                   servers' account cannot reach into our 0700 folder
    mng-pg/        ours, so that a server cannot move what we will write
      conf/        rendered files, each 0600 and the server's
      data/ run/   the server's
      server.log
"""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from mngdb import disk
from mngdb.errors import MngdbError
from mngdb.run import Account
from mngdb.spec.base import Local
from mngdb.spec.stack import Stack

SYSTEM = Path("/var/lib/mngdb")
#: A unix socket's path has at most 107 bytes; the name in the folder takes up to 20.
_SOCKET_FOLDER_MAX = 85


@dataclass(frozen=True)
class UnitFolder:
    """The folders of one unit."""

    root: Path
    run: Path

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
        run = root / "run"
        if len(os.fsencode(run)) > _SOCKET_FOLDER_MAX:
            digest = hashlib.sha256(os.fsencode(root)).hexdigest()[:12]
            run = Path("/tmp") / f"mngdb-{self.uid}-{digest}"  # noqa: S108 - made 0700, checked
        return UnitFolder(root, run)

    @property
    def uid(self) -> int:
        """The user id that the servers run as."""
        return self.account.uid if self.account else os.geteuid()

    def prepare(self) -> None:
        """Make the stack's folders. Can be run at any time."""
        self.prepare_state()
        if self.account is None and self.servers == self.state / "servers":
            disk.folder(self.servers)
            return
        # others may pass through, so that the servers' account reaches its own folders
        mode = 0o711 if self.account else 0o700
        if self.servers.is_relative_to(SYSTEM):
            disk.folder(SYSTEM, mode=0o755)
        disk.folder(self.servers, mode=mode)
        link = self.state / "servers"
        if not link.is_symlink():
            link.symlink_to(self.servers)

    def prepare_state(self) -> None:
        """The folder of mngdb's own state, ignored by git."""
        disk.folder(self.state)
        ignore = self.state / ".gitignore"
        if not ignore.exists():
            disk.write(ignore, "*\n")

    def prepare_unit(self, name: str) -> UnitFolder:
        """Make a unit's folders."""
        folder = self.unit(name)
        outer = 0o711 if self.account else 0o700
        disk.folder(folder.root, mode=outer)
        disk.folder(folder.conf, mode=outer)
        disk.folder(folder.run, owner=self.account)
        found = folder.run.lstat()
        if found.st_uid != self.uid or folder.run.is_symlink():
            raise MngdbError(f"{folder.run} belongs to somebody else", "remove it")
        return folder

    def remove(self) -> None:
        """Remove everything of the stack, the data included."""
        for unit in self.servers.iterdir() if self.servers.is_dir() else ():
            shutil.rmtree(self.unit(unit.name).run, ignore_errors=True)
        if self.servers.is_dir():
            shutil.rmtree(self.servers)
        if self.state.is_dir():
            shutil.rmtree(self.state)


def layout(stack: Stack, local: Local, account: Account | None) -> Layout:
    """Where this stack's folders are; nothing is made."""
    link = stack.state / "servers"
    if link.is_symlink():
        servers = link.readlink()  # where the first `up` put it, also after the project moved
    elif local.data is not None:
        servers = (stack.folder / Path(local.data).expanduser()).resolve()
    elif account is not None:
        digest = hashlib.sha256(os.fsencode(stack.folder)).hexdigest()[:8]
        servers = SYSTEM / f"{stack.name}-{digest}"
    else:
        servers = link
    return Layout(stack.state, servers, account)
