"""A store in a directory of this machine, or of a file system that is mounted there."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from mngdb import disk
from mngdb.errors import UsageError, of_system
from mngdb.stores import Entry, MissingError, StoreError

#: What tells it from another directory at its path.
MARK = "mngdb-1/store-id"
#: What is being written: no object. Objects' own names never begin with a point.
_UNFINISHED = "."
#: What a disk or a network file system says that may be over in a moment.
_PASSING = {errno.EIO, errno.ETIMEDOUT, errno.ESTALE, errno.EAGAIN, errno.EHOSTDOWN}


class DirectoryStore:
    """Objects are files below `root`, which is made when the first one is written. Its owner alone
    may read it."""

    def __init__(self, root: Path, mark: str | None = None) -> None:
        """`mark`: what `marked` gave before. Where it is not there any more, it is another disk, or
        none: nothing is listed, and nothing is written."""
        self.root = root
        self._mark = mark

    @property
    def place(self) -> str:
        return str(self.root)

    def marked(self) -> str:
        """What tells this directory from another one at its path, made once. Raises StoreError."""
        path = self.root / MARK
        with self._told("read", path):
            if not path.exists():
                self._folder(path.parent)
                mine = path.with_name(f"{_UNFINISHED}{path.name}.{secrets.token_hex(4)}")
                self._put(mine, f"{secrets.token_hex(16)}\n".encode())
                try:
                    os.link(mine, path)  # of several that make it at once, the first one's counts
                except FileExistsError:
                    pass
                except OSError:
                    mine.replace(path)  # a file system without hard links
                mine.unlink(missing_ok=True)
            return path.read_text().strip()

    def _known(self) -> None:
        """Raise StoreError where it is not the directory from before."""
        if self._mark is None:
            return
        path = self.root / MARK
        with self._told("read", path):
            found = path.read_text().strip() if path.exists() else None
        if found != self._mark:
            what = "is empty, or another directory" if found is None else "is another store"
            raise StoreError(
                f"{self.root} {what}: the backups that were there are not",
                "mount the disk that has them; if they are gone for good, name another directory "
                "under 'backup: {store: …}'",
            )

    def put(self, key: str, data: bytes) -> None:
        path = self.root / key
        self._known()
        self._put(path, data)
        self._known()  # it may have been unmounted meanwhile

    def _put(self, path: Path, data: bytes) -> None:
        with self._told("write", path):
            self._folder(path.parent)
            temporary = path.with_name(f"{_UNFINISHED}{path.name}.{secrets.token_hex(4)}")
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            try:
                with os.fdopen(handle, "wb", buffering=0) as file:
                    rest = memoryview(data)
                    while rest:
                        rest = rest[file.write(rest) :]
                    os.fsync(file.fileno())
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
            disk.sync(path.parent)

    def get(self, key: str) -> bytes:
        path = self.root / key
        with self._told("read", path):
            try:
                # a store may come from another machine, whose accounts had other numbers
                handle = disk.own(path, os.O_RDONLY, owners=None)
            except (FileNotFoundError, NotADirectoryError):
                raise MissingError(f"{path} is missing") from None
            with os.fdopen(handle, "rb") as file:
                return file.read()

    def entries(self, prefix: str) -> Iterator[Entry]:
        self._known()
        with self._told("list", self.root / prefix):
            yield from self._below(self.root / prefix)

    def _below(self, folder: Path) -> Iterator[Entry]:
        try:
            found = sorted(os.scandir(folder), key=lambda one: one.name)
        except (FileNotFoundError, NotADirectoryError):
            return
        for one in found:
            path = folder / one.name
            with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                state = one.stat(follow_symlinks=False)
                if stat.S_ISDIR(state.st_mode):
                    yield from self._below(path)
                elif stat.S_ISREG(state.st_mode) and not one.name.startswith(_UNFINISHED):
                    key = path.relative_to(self.root).as_posix()
                    yield Entry(key, state.st_size, state.st_mtime)

    def delete(self, keys: Iterable[str]) -> None:
        folders = set()
        for key in keys:
            path = self.root / key
            with self._told("remove", path):
                path.unlink(missing_ok=True)
            folders.add(path.parent)
        for folder in folders:
            self._prune(folder)

    def _prune(self, folder: Path) -> None:
        """Remove a directory that is empty, and those above it that are then."""
        while folder != self.root:
            try:
                folder.rmdir()
            except OSError:
                return  # not empty, or gone
            folder = folder.parent

    def _folder(self, folder: Path) -> None:
        missing = []
        while not folder.is_dir():
            missing.append(folder)
            folder = folder.parent
        for one in reversed(missing):
            with contextlib.suppress(FileExistsError):
                one.mkdir(mode=0o700)
                disk.sync(one.parent)

    @contextlib.contextmanager
    def _told(self, what: str, path: Path) -> Iterator[None]:
        try:
            yield
        except UsageError as error:
            raise StoreError(error.message, error.hint) from None
        except OSError as error:
            if error.filename is None:
                error.filename = str(path)
            told = of_system(error)
            passing = error.errno in _PASSING
            raise StoreError(
                f"cannot {what} in the store: {told.message}", told.hint, passing=passing
            ) from None
