"""The rendered folder: what is in it, who may read it, and how it is written.

rendered/             0700
  docker-compose.yml README.md .gitignore
  ca.crt              where servers encrypt: for apps
  secrets/            0700: one file a secret, plain; each readable by its container alone
  conf/UNIT/          mounted at /etc/mngdb: files of ours that a running server can read again
  init/UNIT/          what the image reads at a first start
  build/SERVICE/      Dockerfile of an image that is put together of official ones
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from mngdb import disk
from mngdb.container import secret_name
from mngdb.errors import UsageError
from mngdb.run import Account
from mngdb.targets.compose.ownership import ID

#: It ignores itself: `git clean` leaves it, and the passwords with it.
_IGNORE = "# passwords, and hashes of passwords\n*\n"
#: As the version before wrote it.
_IGNORE_BEFORE = "# passwords, and hashes of passwords\nsecrets/\nconf/\ninit/\n"
_OWN = ("secrets", "conf", "init")
#: All directories that we make in it; below them everything is ours.
_MADE = (*_OWN, "web", "build")
#: Bytes: no file that we render is larger.
_FILE_MAX = 64 << 20
#: How docker-compose.yml begins, with the stack's name.
_HEAD = re.compile(r"# (\S+): written by mngdb ")


class Folder(Struct, frozen=True):
    """The rendered folder at `root`. Containers' accounts read files as their owner where we are
    root. Elsewhere the files are readable by all, below folders that only we can pass: a mounted
    file is reached without passing them."""

    root: Path
    stack: str
    id: str
    """The stack's."""

    def conf(self, unit: str) -> Path:
        """The folder of a unit's files."""
        return self.root / "conf" / unit

    def claim(self) -> None:
        """Raise UsageError for a folder with files that are not ours: some would be written over,
        and `destroy` would remove them. Likewise where `mend` cannot take a directory back."""
        self._require_files()
        self._require_directories()

    def _require_files(self) -> None:
        if not self.root.exists():
            return
        if not self.root.is_dir():
            raise UsageError(f"{self.root} is not a directory", "choose another one, or a new one")
        if self.ours():
            return
        head = _HEAD.match(self.described())
        if head and head[1] != self.stack:
            raise UsageError(
                f"{self.root} is the folder of the stack {head[1]}", "choose another folder"
            )
        if head:
            raise UsageError(
                f"{self.root} was rendered for another stack {self.stack}, or copied from one: "
                "it holds that stack's passwords",
                "choose another folder; a copy can be removed",
            )
        if _read(self.root / ".gitignore") in (_IGNORE, _IGNORE_BEFORE):
            return
        for path in self.root.iterdir():
            # a killed command may have come no further than this
            empty = path.name in _OWN and path.is_dir() and not any(path.iterdir())
            if not empty and not path.name.startswith(".gitignore."):
                raise UsageError(
                    f"{self.root} holds files that mngdb did not write: {path.name}",
                    "choose another one, or a new one",
                )

    def described(self) -> str:
        """docker-compose.yml as it is; empty: there is none."""
        return _read(self.root / "docker-compose.yml") or ""

    def ours(self) -> bool:
        """Whether it was rendered for this stack; the version before wrote no id."""
        text = self.described()
        head = _HEAD.match(text)
        return bool(head and head[1] == self.stack and (self.id in text or f"{ID}:" not in text))

    def _require_directories(self) -> None:
        me = os.geteuid()
        for path in self._made():
            owner = path.lstat().st_uid
            if owner == me or (me == 0 and self.id in self.described()):
                continue
            raise UsageError(
                f"{path} belongs to another user (user id {owner})",
                f"if it is this stack's: {'sudo ' * (me != 0)}chown -R {me} "
                f"{shlex.quote(str(self.root))}; else choose another folder",
            )

    def _made(self) -> Iterator[Path]:
        """The directories that we make, as far as they are there, from the top. Raises UsageError
        for a link: what it leads to is not ours."""
        left = [self.root]
        while left and self.root.exists():
            path = left.pop(0)
            if path.is_symlink():
                raise UsageError(f"{path} is a symbolic link, not a directory", "remove it")
            yield path
            top = path == self.root
            below = [path / name for name in _MADE] if top else sorted(path.iterdir())
            left += [one for one in below if one.is_dir()]

    def strange(self) -> list[str]:
        """The directories that are not as we made them: another account's, or open to others."""
        private = {self.root, *(self.root / name for name in _OWN)}
        found = []
        for path in self._made():
            told = path.lstat()
            closed = path not in private or told.st_mode & 0o777 == 0o700
            if told.st_uid != os.geteuid() or not closed:
                found.append("the folder itself" if path == self.root else self._name(path))
        return found

    def mend(self) -> None:
        """Take back what `strange` tells of. Raises UsageError, OSError."""
        for path in self._made():
            if path.lstat().st_uid != os.geteuid():
                disk.take(path)
        self.prepare()

    def _name(self, path: Path) -> str:
        return str(path.relative_to(self.root))

    def prepare(self) -> None:
        """Make the folder and those that keep others out."""
        for path in (self.root, *(self.root / name for name in _OWN)):
            disk.folder(path)
        self.public(".gitignore", _IGNORE)

    def public(self, name: str, content: str) -> bool:
        """Write a file that holds no secret. Whether it was another one before."""
        path = self.root / name
        same = _read(path) == content
        if same and path.stat().st_uid == os.geteuid() and path.stat().st_mode & 0o777 == 0o644:
            return False
        for parent in reversed(path.relative_to(self.root).parents[:-1]):
            disk.folder(self.root / parent, mode=0o755)
        disk.write(path, content, mode=0o644, durable=False)
        return not same

    def mounted(self, path: Path, files: Mapping[str, str], uid: int) -> None:
        """Write the files of a folder that a container's account `uid` reads."""
        due = {**self.differing(path, files, uid)}
        disk.folder(path, mode=0o755)
        for name in due:
            mode, owner = _for(uid)
            disk.write(path / name, files[name], mode=mode, owner=owner, durable=False)

    def differing(self, path: Path, files: Mapping[str, str], uid: int) -> dict[str, str]:
        """Which of these files are not in the folder as `mounted` writes them, and how it is said.
        A container cannot read what is another account's, or below what it cannot pass."""
        closed = not path.is_dir() or path.stat().st_mode & 0o777 != 0o755
        found = {}
        for name, content in files.items():
            if _read(path / name) != content:
                found[name] = name
            elif closed or not _readable(path / name, uid):
                found[name] = f"{name} (its owner or mode)"
        return found

    def secret(self, name: str, content: str, uid: int) -> None:
        """Write a secret. One that is mounted already keeps its place on the disk: a container
        holds on to that, not to the name."""
        path = self.root / "secrets" / name
        mode, owner = _for(uid)
        # a second name of a file may be one that is not ours to write to
        if not path.is_file() or path.is_symlink() or path.stat().st_nlink > 1:
            disk.write(path, content, mode=mode, owner=owner)
        elif _read(path) != content or not _readable(path, uid):
            handle = disk.own(path, os.O_WRONLY, owners=None)
            try:
                if owner is not None:
                    os.fchown(handle, owner.uid, owner.gid)
                os.fchmod(handle, mode)
                os.pwrite(handle, content.encode(), 0)
                os.ftruncate(handle, len(content.encode()))
                os.fsync(handle)
            finally:
                os.close(handle)

    def has_secret(self, instance: str, login: str) -> bool:
        """Whether a login's secret was written."""
        return (self.root / "secrets" / secret_name(instance, login)).is_file()

    def strange_secret(self, name: str, content: str | None, uid: int) -> bool:
        """Whether a secret is not as `secret` leaves it; None: with whatever content. One that
        nothing mounts may be missing."""
        path = self.root / "secrets" / name
        if not path.is_file():
            return f"./secrets/{name}" in self.described()
        return content not in (None, _read(path)) or not _readable(path, uid)

    def remove(self) -> None:
        """Remove what we wrote; what somebody else put there stays, and what another stack did."""
        try:
            self._require_files()
        except UsageError:
            return
        for name in _MADE:
            shutil.rmtree(self.root / name, ignore_errors=not (self.root / name).exists())
        for name in ("docker-compose.yml", "README.md", ".gitignore", "ca.crt"):
            (self.root / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.root.rmdir()

    def read(self, path: Path) -> str | None:
        """A file's content; None: there is none."""
        return _read(path)


def _for(uid: int) -> tuple[int, Account | None]:
    if os.geteuid() == 0:
        return 0o400, Account(str(uid), uid, uid)
    return 0o444, None


def _readable(path: Path, uid: int) -> bool:
    mode, owner = _for(uid)
    found = path.stat()
    return found.st_mode & 0o777 == mode and (owner is None or found.st_uid == uid)


def _read(path: Path) -> str | None:
    # a container's account owns what it reads
    return disk.read_own(path, limit=_FILE_MAX, owners=None)
