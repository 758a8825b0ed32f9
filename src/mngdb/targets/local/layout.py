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
import secrets
import shlex
import shutil
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from mngdb import disk
from mngdb.errors import MngdbError
from mngdb.identity.home import called
from mngdb.run import Account
from mngdb.spec.base import EngineName
from mngdb.spec.engine_info import ENGINE_INFO
from mngdb.spec.stack import Stack
from mngdb.spec.target_models import Local
from mngdb.targets.local import ownership
from mngdb.targets.process import machine
from mngdb.targets.process.machine import NOBODY
from mngdb.targets.protocol import UnitRecord

#: What a folder of a unit has, one of them at the least.
_OF_UNIT = ("unit.json", "conf", "data", "run")
#: A unix socket's path has at most 107 bytes; the name in the folder takes up to 20.
_SOCKET_FOLDER_MAX = 85
#: In a unit's folder: by which word the folder of its sockets is called where another account has
#: taken the usual name.
_ELSEWHERE = "sockets"
#: Bytes: no file that we render is larger.
_FILE_MAX = 64 << 20


class UnitFolder(Struct, frozen=True):
    """The folders of one unit."""

    root: Path
    sockets: Path
    """The server's; `run`, unless that is too long a path for a socket. Another one where somebody
    else's is in its place: `prepare_unit`."""

    @property
    def run(self) -> Path:
        """The server's: pid files."""
        return self.root / "run"

    @property
    def conf(self) -> Path:
        return self.root / "conf"

    @property
    def certificate(self) -> Path:
        """The server's certificate and key, in one file."""
        return self.conf / "tls.pem"

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


class Layout(Struct, frozen=True):
    """The folders of a stack. `accounts` has who runs the servers of an engine; None: we do."""

    state: Path
    servers: Path
    accounts: Mapping[EngineName, Account] | None
    misplaced: str = ""
    """Where the file says that the data is, where that is not `servers`."""

    def unit(self, name: str) -> UnitFolder:
        """The folders of the unit `name`."""
        root = self.servers / name
        sockets = root / "run"
        if len(os.fsencode(sockets)) > _SOCKET_FOLDER_MAX:
            digest = hashlib.sha256(os.fsencode(root)).hexdigest()[:12]
            word = disk.read_own(root / _ELSEWHERE) or digest
            # made 0700, checked
            sockets = Path("/tmp") / f"mngdb-{os.geteuid()}-{word}"  # noqa: S108
        return UnitFolder(root, sockets)

    def units(self, named: Mapping[str, UnitRecord]) -> list[UnitRecord]:
        """Every unit that was ever made here. `named`: those of the file, by unit; it also tells
        whose they are where their note is damaged. Raises MngdbError for such a note of another."""
        return [
            self._note(path, named.get(path.parent.name))
            for path in sorted(self.servers.glob("*/unit.json"))
        ]

    def _note(self, path: Path, named: UnitRecord | None) -> UnitRecord:
        with contextlib.suppress(ValueError, TypeError, RecursionError):
            text = disk.read_own(path, owners=self._all_uids) or ""
            note = UnitRecord(path.parent.name, **json.loads(text))
            if note.engine in ENGINE_INFO:
                return note
        if named is not None:
            return named
        raise MngdbError(
            f"{path}, which records the owner of the data, is damaged",
            f"put the instance of {path.parent.name} back into the file: 'mngdb up' then "
            f"rewrites it; or move {path.parent} away",
        )

    def account(self, name: str, engine: EngineName | None = None) -> Account | None:
        """Who runs the unit `name`: the account that its folders were given to, else the one that
        is meant for its engine. None: we do."""
        if self.accounts is None:
            return None
        meant = self.accounts.get(engine) if engine else None
        unit = self.servers / name
        # the run folder changes last; where it was lost, the data tells
        return ownership.owner(unit / "run") or meant or ownership.owner(unit / "data")

    def uid(self, name: str) -> int:
        """The user id that the unit `name` runs as."""
        account = self.account(name)
        return account.uid if account else os.geteuid()

    @property
    def _all_uids(self) -> list[int]:
        """Every account that servers run as: a `chown -R` of a unit's folder is no attack."""
        return [one.uid for one in (self.accounts or {}).values()]

    def uids(self, name: str) -> list[int]:
        """Whose the files of the unit `name` may be: a command may have been killed while it handed
        them over."""
        return [self.uid(name), *self._all_uids]

    def read(self, path: Path) -> str | None:
        """A file in a unit's folder, of ours or of the servers' accounts."""
        unit = path.relative_to(self.servers).parts[0]
        return disk.read_own(path, limit=_FILE_MAX, owners=self.uids(unit))

    def handover(self, name: str, engine: EngineName) -> tuple[Account, Account] | None:
        """The account that has the unit's files, and the other one that shall have them."""
        now, meant = self.account(name, engine), (self.accounts or {}).get(engine)
        if now is None or meant is None or now.uid == meant.uid:
            return None
        return None if ownership.leads_out(self.unit(name).data) else (now, meant)

    def hand_over(self, name: str, engine: EngineName) -> None:
        """Give a unit's files to the account that is meant for its engine, where another one, or
        root, has them. It does not run. Killed, it can be run again."""
        between, folder = self.handover(name, engine), self.unit(name)
        # one that is missing is made by `up`; until then things stay as they are
        if between is not None and between[1].uid != NOBODY:
            tops = [folder.conf, folder.data, folder.sockets, folder.run]
            ownership.hand_over(dict.fromkeys(tops), *between)
        account = self.account(name, engine)
        if account is not None and account.uid != NOBODY:
            ownership.reclaim(dict.fromkeys([folder.data, folder.sockets, folder.run]), account)
            # the folder itself stays ours, so that a server cannot move what we will write
            ownership.reclaim([folder.conf], account, folders_too=False)

    def require_place(self) -> None:
        """Raise MngdbError where the file says another place for the data than it is in."""
        if self.misplaced:
            link, there = self.state / "servers", f"{self.misplaced}/{self.state.name}"
            raise MngdbError(
                f"the file places the data in {self.misplaced}, but it is in {self.servers}",
                f"mngdb down; mkdir -p {self.misplaced}; mv {self.servers} {there}; "
                f"ln -sfn {there} {link}",
            )

    def prepare(self) -> None:
        """Make the folder of the servers. Can be run at any time."""
        link = self.state / "servers"
        if link.is_symlink() and not self.servers.is_dir():
            raise MngdbError(
                f"the servers' data was in {self.servers}, which does not exist",
                f"mount or restore it; if it was moved: ln -sfn DIRECTORY {link}",
            )
        # others may pass through, so that the servers' account reaches its own folders
        disk.folder(self.servers, mode=0o700 if self.accounts is None else 0o711)
        for account in (self.accounts or {}).values():
            _reach(self.servers, account)
        if self.servers != link and not link.is_symlink():
            link.symlink_to(self.servers)

    def prepare_unit(self, name: str, engine: EngineName) -> UnitFolder:
        """Make a unit's folders."""
        folder, account = self.unit(name), self.account(name, engine)
        outer = 0o711 if account else 0o700
        disk.folder(folder.root, mode=outer)
        disk.folder(folder.conf, mode=outer)
        if folder.sockets != folder.run and _taken(folder.sockets, self.uids(name)):
            disk.write(folder.root / _ELSEWHERE, secrets.token_hex(8))
            folder = self.unit(name)
        for path in {folder.run, folder.sockets}:
            disk.private(path, owner=account)
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


def _taken(path: Path, uids: Sequence[int]) -> bool:
    """Whether somebody else has put something there: anybody may in /tmp, and the name is known."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    return not stat.S_ISDIR(found.st_mode) or found.st_uid not in {os.geteuid(), *uids}


def layout(stack: Stack, local: Local, accounts: Mapping[EngineName, Account] | None) -> Layout:
    """Where this stack's folders are; nothing is made. Raises MngdbError where the data is not
    where the file says, or not this account's."""
    state, link = stack.state, stack.state / "servers"
    given = local.data and (stack.folder / disk.expanded(local.data)).resolve()
    if link.is_symlink():
        # where the first `up` put it
        servers = Path(os.path.normpath(state / link.readlink()))
        _guarded(servers)
    elif accounts is not None and link.is_dir() and link.stat().st_uid != os.geteuid():
        raise MngdbError(
            f"this stack's servers run as the user id {link.stat().st_uid}",
            "run mngdb as the user that started it",
        )
    elif given and not any(link.glob("*/unit.json")):
        # of this stack alone: the folder, or a mounted disk, may hold other things
        servers = given / state.name
        _guarded(servers)
    else:
        servers = link
    elsewhere = given and not servers.resolve().is_relative_to(given)
    return Layout(state, servers, accounts, str(given) if elsewhere else "")


def _guarded(servers: Path) -> None:
    """Raise MngdbError where another account may put something else in the folder's place: as root,
    everything in it would be ours to change and remove."""
    ours = {os.geteuid(), 0}
    for path in (servers, *servers.parents):
        with contextlib.suppress(FileNotFoundError):
            found = path.lstat()
            writers = "" if found.st_mode & stat.S_ISVTX else machine.others_who_write(found)
            refusal = f"the servers' data cannot be in {servers}: {path}"
            if writers:
                raise MngdbError(
                    f"{refusal} is writable by {writers}",
                    f"chmod go-w {shlex.quote(str(path))}, or choose another directory",
                )
            if found.st_uid not in ours:
                raise MngdbError(
                    f"{refusal} belongs to {called(found.st_uid)}",
                    "choose a directory that nobody else can replace, or run mngdb as its owner",
                )


def _reach(folder: Path, account: Account) -> None:
    for parent in [folder, *folder.parents]:
        found = parent.stat()
        if not found.st_mode & 0o001 and found.st_uid != account.uid:
            raise MngdbError(
                f"the account {account.name}, which the servers run as, cannot enter {parent}",
                "set another folder under 'target: {local: {data: …}}', or chmod a+x it",
            )
