"""A store in a directory of this machine, or of a file system that is mounted there.

Others may write there, and what they put into a directory's place may change at any moment: each
step below the root is made from the handle of the one before, and none follows a link.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from mngdb import disk
from mngdb.errors import of_system
from mngdb.stores import Entry, MissingError, StoreError

#: What tells it from another directory at its path, and its bytes at most.
MARK, _LONGEST = "mngdb-1/store-id", 256
#: What is being written: no object. Objects' own names never begin with a point.
_UNFINISHED = "."
#: What a disk or a network file system says that may be over in a moment.
_PASSING = {errno.EIO, errno.ETIMEDOUT, errno.ESTALE, errno.EAGAIN, errno.EHOSTDOWN}
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
#: What open(2) says of a link, of a socket, and of a directory.
_SPECIAL = {errno.ELOOP, errno.ENXIO, errno.EISDIR}


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
        found = self._marking()
        if found is not None:
            return found
        *folders, name = MARK.split("/")
        mine = f"{_UNFINISHED}{name}.{secrets.token_hex(4)}"
        self._put("/".join((*folders, mine)), f"{secrets.token_hex(16)}\n".encode())
        with self._told("write", MARK), self._inside(folders) as at:
            try:
                # of several that make it at once, the first one's counts
                os.link(mine, name, src_dir_fd=at, dst_dir_fd=at, follow_symlinks=False)
            except FileExistsError:
                pass
            except OSError:  # a file system without hard links
                os.replace(mine, name, src_dir_fd=at, dst_dir_fd=at)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(mine, dir_fd=at)
        return self._marking() or ""

    def _marking(self) -> str | None:
        try:
            data = self.get(MARK, _LONGEST)
        except MissingError:
            return None
        if len(data) > _LONGEST:
            raise StoreError(f"{self.root / MARK} was not written by mngdb: it is too large")
        return data.decode(errors="replace").strip()

    def _known(self) -> None:
        """Raise StoreError where it is not the directory from before."""
        found = self._marking() if self._mark is not None else None
        if found != self._mark:
            what = "is empty, or another directory" if found is None else "is another store"
            raise StoreError(
                f"{self.root} {what}: the backups that were there are not",
                "mount the disk that has them; if they are gone for good, name another directory "
                "under 'backup: {store: …}'",
            )

    def put(self, key: str, data: bytes) -> None:
        self._known()
        self._put(key, data)
        self._known()  # it may have been unmounted meanwhile

    def _put(self, key: str, data: bytes) -> None:
        *folders, name = key.split("/")
        temporary = f"{_UNFINISHED}{name}.{secrets.token_hex(4)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with self._told("write", key):
            self._make_root()
            with self._inside(folders, make=True) as at:
                handle = os.open(temporary, flags, 0o600, dir_fd=at)
                try:
                    with os.fdopen(handle, "wb", buffering=0) as file:
                        rest = memoryview(data)
                        while rest:
                            rest = rest[file.write(rest) :]
                        os.fsync(file.fileno())
                    os.replace(temporary, name, src_dir_fd=at, dst_dir_fd=at)
                except BaseException:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(temporary, dir_fd=at)
                    raise
                os.fsync(at)

    def get(self, key: str, most: int | None = None) -> bytes:
        *folders, name = key.split("/")
        with self._told("read", key):
            try:
                with self._inside(folders) as at:
                    handle = self._opened(name, at, key)
            except (FileNotFoundError, NotADirectoryError):
                raise MissingError(f"{self.root / key} is missing") from None
            with os.fdopen(handle, "rb") as file:
                return file.read() if most is None else file.read(most + 1)

    def _opened(self, name: str, at: int, key: str) -> int:
        """A regular file, whoever owns it: a store may come from another machine, whose accounts
        had other numbers. Whatever else is there neither leads elsewhere nor keeps us waiting."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            handle = os.open(name, flags, dir_fd=at)
        except OSError as error:
            if error.errno not in _SPECIAL:
                raise
        else:
            if stat.S_ISREG(os.fstat(handle).st_mode):
                return handle
            os.close(handle)
        raise StoreError(f"{self.root / key} is not a regular file", "remove it")

    def entries(self, prefix: str) -> Iterator[Entry]:
        self._known()
        with self._told("list", prefix):
            try:
                with self._inside(prefix.split("/")) as at:
                    yield from self._below(at, prefix)
            except (FileNotFoundError, NotADirectoryError):
                return

    def _below(self, at: int, folder: str) -> Iterator[Entry]:
        for name in sorted(os.listdir(at)):
            key = f"{folder}/{name}"
            with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                state = os.stat(name, dir_fd=at, follow_symlinks=False)
                if stat.S_ISDIR(state.st_mode):
                    with self._entered(name, at, key) as below:
                        yield from self._below(below, key)
                elif stat.S_ISREG(state.st_mode) and not name.startswith(_UNFINISHED):
                    yield Entry(key, state.st_size, state.st_mtime)

    def delete(self, keys: Iterable[str]) -> None:
        folders = set()
        for key in keys:
            *above, name = key.split("/")
            with (
                self._told("remove", key),
                contextlib.suppress(FileNotFoundError),
                self._inside(above) as at,
            ):
                os.unlink(name, dir_fd=at)
            folders.add(tuple(above))
        for folder in folders:
            self._prune(folder)

    def _prune(self, folder: Sequence[str]) -> None:
        """Remove a directory that is empty, and those above it that are then."""
        while folder:
            *above, name = folder
            try:
                with self._inside(above) as at:
                    os.rmdir(name, dir_fd=at)
            except (OSError, StoreError):
                return  # not empty, or gone
            folder = above

    @contextlib.contextmanager
    def _inside(self, folders: Sequence[str], *, make: bool = False) -> Iterator[int]:
        """The handle of a directory below the root, which may be made. Raises OSError, and
        StoreError for a link."""
        with contextlib.ExitStack() as opened:
            at = os.open(self.root, _DIRECTORY)
            opened.callback(os.close, at)
            for number, name in enumerate(folders, 1):
                if make:
                    self._make(name, at)
                at = opened.enter_context(self._entered(name, at, "/".join(folders[:number])))
            yield at

    @contextlib.contextmanager
    def _entered(self, name: str, at: int, key: str) -> Iterator[int]:
        try:
            handle = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
        except NotADirectoryError:
            if stat.S_ISLNK(os.stat(name, dir_fd=at, follow_symlinks=False).st_mode):
                raise StoreError(
                    f"{self.root / key} is a symbolic link, and in a store none is followed",
                    "put the directory there instead",
                ) from None
            raise
        try:
            yield handle
        finally:
            os.close(handle)

    def _make(self, name: str, at: int) -> None:
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=at)
            os.fsync(at)

    def _make_root(self) -> None:
        missing, folder = [], self.root
        while not folder.is_dir():
            missing.append(folder)
            folder = folder.parent
        for one in reversed(missing):
            with contextlib.suppress(FileExistsError):
                one.mkdir(mode=0o700)
                disk.sync(one.parent)

    @contextlib.contextmanager
    def _told(self, what: str, key: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.filename is None or not Path(error.filename).is_absolute():
                # an object that is written again has another name each time: its folder is enough
                path = self.root / key
                error.filename = str(path.parent if what == "write" else path)
            told = of_system(error)
            passing = error.errno in _PASSING
            raise StoreError(
                f"cannot {what} in the store: {told.message}", told.hint, passing=passing
            ) from None
