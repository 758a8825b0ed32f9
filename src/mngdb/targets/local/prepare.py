"""Makes a server's data folder: by the engine's own program, or as a copy of an earlier one.

initdb takes longer than all the rest of a first `up`, and makes the same files each time. So the
first folder is copied before a server has seen it, and later ones are copies of that copy, which
the engine makes clusters of their own.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import Struct

from mngdb import disk, stopping
from mngdb.errors import MngdbError, StepError
from mngdb.model import Renewal, Unit
from mngdb.run import Account
from mngdb.targets.process import processes
from mngdb.targets.process.logs import Started

_TIMEOUT = 300.0
#: Copies that nobody used for so many seconds are of programs that are gone.
_UNUSED = 30 * 86400.0


class Preparation(Struct, frozen=True):
    """Makes the data folder of one unit. `begin` runs a program as the servers' account; `kept` is
    that account's folder of copies, None where there can be none."""

    unit: Unit
    account: Account | None
    begin: Callable[[Sequence[str]], Started]
    kept: Path | None
    owner: str
    """Tells this unit's unfinished copy from those of other stacks."""

    def make(self, fresh: Path) -> None:
        """Fill the empty folder `fresh`. Raises StepError."""
        if not self.unit.prepare:
            return
        renewal = self.unit.renewal
        if renewal is not None and self._copied(renewal, fresh):
            return
        self._run([word.replace("{data}", str(fresh)) for word in self.unit.prepare])
        if renewal is not None and self.kept is not None:
            self._keep(renewal, fresh, self.kept)

    def finish(self) -> None:
        """Give the copy that `make` kept its name, once it is on the disk."""
        if self.kept is None or self.unit.renewal is None:
            return
        unfinished = self._unfinished(self.kept)
        if not unfinished.is_dir():
            return
        try:
            disk.sync_tree(unfinished)
            unfinished.rename(self.kept / self._key())
            disk.sync(self.kept)
        except OSError:
            # no room, or another stack was first: the next stack takes longer, that is all
            shutil.rmtree(unfinished, ignore_errors=True)

    def _run(self, argv: Sequence[str]) -> None:
        begun = self.begin(argv)
        try:
            code = _code(begun)
        except subprocess.TimeoutExpired:
            raise StepError(
                f"{self.unit.name}: its data folder was not created within {_TIMEOUT:g} s"
            ) from None
        if code != 0:
            raise StepError(
                f"{Path(argv[0]).name} failed with exit code {code}: {begun.said()}",
                f"its log: {begun.log}",
            )

    def _copied(self, renewal: Renewal, fresh: Path) -> bool:
        """Whether `fresh` is filled with a copy that is a cluster of its own."""
        if self.kept is None or not (self.kept / self._key()).is_dir():
            return False
        kept = self.kept / self._key()
        try:
            self._run(_copy(kept, fresh))
            with disk.acting(self.account):
                _rewrite(fresh / renewal.file, renewal)
            self._run([word.replace("{data}", str(fresh)) for word in renewal.command])
            os.utime(kept)
        except (MngdbError, OSError, ValueError):
            # whatever is wrong with it, the engine's program makes a folder that is right
            shutil.rmtree(kept, ignore_errors=True)
            disk.remove(fresh)
            disk.folder(fresh, owner=self.account)
            return False
        return True

    def _keep(self, renewal: Renewal, fresh: Path, kept: Path) -> None:
        for old in kept.iterdir():
            if time.time() - old.stat().st_mtime > _UNUSED:
                shutil.rmtree(old, ignore_errors=True)
        unfinished = self._unfinished(kept)
        shutil.rmtree(unfinished, ignore_errors=True)
        disk.folder(unfinished, owner=self.account)
        try:
            self._run(_copy(fresh, unfinished, renewal.leave))
        except MngdbError:
            shutil.rmtree(unfinished, ignore_errors=True)  # no room: as in `finish`

    def _unfinished(self, kept: Path) -> Path:
        return kept / f".{self._key()}.{self.owner}"

    def _key(self) -> str:
        """What the content follows from: the command and the programs."""
        parts = [*self.unit.prepare]
        parts += [_stamp(Path(one)) for one in (self.unit.prepare[0], self.unit.argv[0])]
        digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
        return f"{self.unit.engine}-{digest}"


def _code(begun: Started) -> int:
    """A program's exit code. When it is not waited for to its end, nothing that it started goes on:
    what it made is about to be removed. Raises subprocess.TimeoutExpired."""
    # not by its pid file: the shell that writes it may not have come to that
    group = processes.child(begun.process.pid)
    try:
        with stopping.ended_by(group.kill_group):
            code = begun.process.wait(_TIMEOUT)
        stopping.check()
    except BaseException:
        group.kill_group()
        begun.process.wait()
        raise
    return code


def _stamp(program: Path) -> str:
    try:
        found = program.stat()
    except OSError:
        return ""  # running it says what is wrong
    return f"{found.st_size} {found.st_mtime_ns}"


def _copy(source: Path, target: Path, leave: str = "") -> list[str]:
    script = 'cp -a "$1/." "$2"' + (f' && rm -f "$2"/{leave}' if leave else "")
    return ["/bin/sh", "-c", script, "copy", str(source), str(target)]


def _rewrite(path: Path, renewal: Renewal) -> None:
    # no link and nothing new: the folder is the servers' account's, and we may be root
    handle = disk.own(path, os.O_RDWR, owners=[path.parent.stat().st_uid])
    with os.fdopen(handle, "r+b") as file:
        content = renewal.rewrite(file.read())
        file.seek(0)
        file.write(content)
