"""Files that are whole or not there, private from their first byte."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import re
import secrets
import shlex
import shutil
import stat
import time
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from mngdb import log
from mngdb.errors import MngdbError, UsageError
from mngdb.run import Account

T = TypeVar("T")
#: Bytes: none of the notes that we keep is larger.
NOTE_MAX = 1 << 20
#: Bytes of a write from which on it is brought to the disk at once; sync_file_range(2).
_MUCH, _RANGE = 1 << 20, 2
_LIBC = ctypes.CDLL(None, use_errno=True)
#: renameat2(2).
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
#: Links that the kernel follows on the way to a file; path_resolution(7).
_MOST_LINKS = 40
#: The name that a file has while it is written, see `_write`; seconds after which none is any more.
_TEMPORARY, _SWEPT = re.compile(r"\..+\.[0-9a-f]{8}"), 60.0
_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
}
#: What open(2) says of something that is no regular file, before we could look.
_SPECIAL = {errno.ELOOP, errno.ENXIO, errno.EISDIR}


def own(path: Path, flags: int, *, mode: int = 0o600, owners: Collection[int] | None = ()) -> int:
    """Open a file that mngdb keeps, and return its handle. Whatever else may have been put in its
    place, a link or a named pipe, neither leads elsewhere nor keeps us waiting. `owners` are user
    ids that it may belong to besides ours and root's; None: anybody.

    Raises UsageError for what is not a regular file, or another user's; OSError.
    """
    try:
        handle = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, mode)
    except OSError as error:
        if error.errno not in _SPECIAL:
            raise
        raise _not_regular(path, path.lstat().st_mode) from None
    found = os.fstat(handle)
    regular = stat.S_ISREG(found.st_mode)
    if regular and (owners is None or found.st_uid in {0, os.geteuid(), *owners}):
        return handle
    os.close(handle)
    raise _foreign(path, found.st_uid) if regular else _not_regular(path, found.st_mode)


def read_own(
    path: Path, *, limit: int = NOTE_MAX, owners: Collection[int] | None = ()
) -> str | None:
    """The text of a file that mngdb keeps, of at most `limit` bytes; None: there is none. Raises
    as `own`."""
    try:
        handle = own(path, os.O_RDONLY, owners=owners)
    except (FileNotFoundError, NotADirectoryError):
        return None
    with os.fdopen(handle, "rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise UsageError(f"{path} was not written by mngdb: over {limit} bytes", "remove it")
    return content.decode(errors="surrogateescape")


def read_note(path: Path, kind: type[T]) -> T | None:
    """What a note that mngdb keeps says, JSON of this type; None: there is none. Raises ValueError
    for a damaged one, and as `own`."""
    text = read_own(path)
    try:
        return msgspec.json.decode(text, type=kind) if text else None
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}") from None


def noted(path: Path, kind: type[T], otherwise: T) -> T:
    """The same, or `otherwise` where there is no note, or a damaged one. Raises as `own`."""
    try:
        found = read_note(path, kind)
    except ValueError:
        return otherwise
    return otherwise if found is None else found


def regular(path: Path) -> Path:
    """A file of ours that a library will open by its name, or that is not there yet. Raises as
    `own`."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        os.close(own(path, os.O_RDONLY))
    return path


def read_given(path: Path, limit: int) -> bytes:
    """At most `limit` + 1 bytes of a file that a person names. It may be a link, or what a shell
    made of `<(…)`; a named pipe is refused, since nobody may ever write to it. Raises UsageError,
    OSError."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        kind = os.fstat(handle).st_mode
        stream = path.is_relative_to("/dev") or path.is_relative_to("/proc")
        if stat.S_ISDIR(kind) or not (stat.S_ISREG(kind) or stream):
            raise _not_regular(path, kind, "choose another file")
        os.set_blocking(handle, True)
        return file.read(limit + 1)


def expanded(name: str) -> Path:
    """A path that a person wrote, `~` filled in. Raises UsageError for a home that is not known."""
    try:
        return Path(name).expanduser()
    except RuntimeError:
        raise UsageError(f"{name}: no such home directory", "use the full path") from None


def _foreign(path: Path, uid: int) -> UsageError:
    return UsageError(
        f"{path} belongs to another user (user id {uid})",
        f"if you copied or restored it: chown {os.geteuid()}: {shlex.quote(str(path))}; if not, "
        "find out who did that first",
    )


def _not_regular(path: Path, mode: int, hint: str = "remove it") -> UsageError:
    kind = _KINDS.get(stat.S_IFMT(mode), "something else")
    return UsageError(f"{path} is {kind}, not a regular file", hint)


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold a file's lock, waiting for whoever holds it."""
    handle = own(path, os.O_RDWR | os.O_CREAT)
    try:
        if stat.S_IMODE(os.fstat(handle).st_mode) != 0o600:
            os.fchmod(handle, 0o600)  # who may open it may hold it, and for ever
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def write(
    path: Path,
    content: str | Iterable[str],
    *,
    mode: int = 0o600,
    owner: Account | None = None,
    durable: bool = True,
) -> None:
    """Write a file under a temporary name, bring it to the disk, then rename it. What can be
    written anew at any time need not be `durable`.

    Raises OSError that names the file; the old one, if any, is then untouched and nothing is left
    beside it.
    """
    size = 0
    with log.timed(__name__, lambda: f"write {path}: {size} bytes, mode {mode:04o}"):
        size = _write(
            path, [content] if isinstance(content, str) else content, mode, owner, durable
        )


def _write(
    path: Path, content: Iterable[str], mode: int, owner: Account | None, durable: bool
) -> int:
    """As `write`; returns the bytes."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    try:
        try:
            if owner is not None:
                os.fchown(handle, owner.uid, owner.gid)
            os.fchmod(handle, mode)
            for piece in content:
                data = piece.encode(errors="surrogateescape")  # as `read_own` had it
                while data:
                    data = data[os.write(handle, data) :]
            size = os.fstat(handle).st_size
            if durable:
                os.fsync(handle)
        finally:
            os.close(handle)
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # a full disk does not say which one
        raise
    return size


def sweep(folder: Path) -> None:
    """Remove what a `write` that was killed has left in a folder of ours. One that is being written
    now is younger."""
    for path in folder.iterdir():
        if not _TEMPORARY.fullmatch(path.name):
            continue
        with contextlib.suppress(FileNotFoundError):
            found = path.lstat()
            if stat.S_ISREG(found.st_mode) and time.time() - found.st_mtime > _SWEPT:
                path.unlink()


def replaceable(path: Path) -> Path:
    """A file that a person wants written: new, or a regular file to be replaced. Raises UsageError
    for everything else: a link would lead elsewhere, and a pipe keep us waiting."""
    with contextlib.suppress(FileNotFoundError):
        kind = path.lstat().st_mode
        if not stat.S_ISREG(kind):
            raise _not_regular(path, kind, "choose another file, or /dev/stdout")
    return path


def nearest(path: Path) -> Path:
    """The path, or the nearest folder above it that is there. What this account may not look at is
    not there."""
    for one in (path, *path.parents):
        with contextlib.suppress(OSError):
            one.stat()
            return one
    raise ValueError(f"{path} is not absolute")


def links(path: Path) -> Iterator[Path]:
    """The symbolic links on the way to a path, itself included, in the order in which the kernel
    follows them."""
    here, left, followed = Path("/"), [*reversed((Path.cwd() / path).parts[1:])], 0
    while left and followed < _MOST_LINKS:
        part = left.pop()
        here = here.parent if part == ".." else here / part
        if os.path.islink(here):  # noqa: PTH114 - what this account may not look at is none
            yield here
            followed += 1
            target = here.readlink()
            left += reversed(target.parts[target.is_absolute() :])
            here = Path("/") if target.is_absolute() else here.parent


def private(path: Path, *, owner: Account | None = None) -> Path:
    """Make a folder that `owner` alone may enter. Raises MngdbError when there is something of
    somebody else's in its place, a link included: in /tmp anybody may have put it there."""
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    _settle(path, 0o700, owner)
    return path


def remove(path: Path) -> None:
    """Remove a folder that a process which was just killed may still write to."""
    with log.timed(__name__, lambda: f"remove {path}"):
        _remove(path)


def _remove(path: Path) -> None:
    for _ in range(50):
        try:
            shutil.rmtree(path)
        except FileNotFoundError:
            if not path.exists():
                return
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
        else:
            return
        time.sleep(0.02)
    shutil.rmtree(path)


def exchange(one: Path, other: Path) -> None:
    """Let two folders have each other's names, at once. Raises OSError, also where they are on
    different disks."""
    with log.timed(__name__, lambda: f"exchange {one} and {other}"):
        paths = (_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other))
        if _LIBC.renameat2(*paths, _RENAME_EXCHANGE) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(one))
        sync(one.parent)
        sync(other.parent)


@contextlib.contextmanager
def acting(account: Account | None) -> Iterator[None]:
    """In the block, this thread opens, makes and removes files with the rights of an account (None:
    ours), and what it makes is the account's. A folder of the account's may be in other hands than
    its server's: what turns into a link there leads root nowhere where they could not go
    themselves. No other file is within reach: nothing of the store is read, no thread begun and no
    program run in the block. Raises OSError."""
    if account is None or os.geteuid() != 0:
        yield
        return
    group = os.getegid()
    try:
        _LIBC.setfsgid(account.gid)
        _LIBC.setfsuid(account.uid)
        if (_LIBC.setfsgid(-1), _LIBC.setfsuid(-1)) != (account.gid, account.uid):
            raise PermissionError(errno.EPERM, f"cannot open files as {account.name}")
        yield
    finally:
        _LIBC.setfsuid(0)
        _LIBC.setfsgid(group)


def sync(path: Path) -> None:
    """Bring a file, or a folder's names, to the disk. One that is gone needs nothing, nor does what
    is neither."""
    _sync(path, None)


def _sync(path: Path | str, at: int | None) -> None:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        handle = os.open(path, flags, dir_fd=at)
    except OSError as error:
        if error.errno in {errno.ENOENT, *_SPECIAL}:
            return
        raise
    try:
        if stat.S_IFMT(os.fstat(handle).st_mode) in {stat.S_IFREG, stat.S_IFDIR}:
            os.fsync(handle)
    finally:
        os.close(handle)


def append(handle: int, data: bytes | memoryview) -> None:
    """Write all of it to a file that grows. Of much, the kernel begins at once to bring it to the
    disk: it would wait for gigabytes of it, and whoever syncs the file at the end with it. Raises
    OSError."""
    left = memoryview(data)
    while left:
        left = left[os.write(handle, left) :]
    if len(data) >= _MUCH:
        begin = os.lseek(handle, 0, os.SEEK_CUR) - len(data)
        # a hint: a file system that cannot do it leaves all to the sync
        _LIBC.sync_file_range(handle, ctypes.c_int64(begin), ctypes.c_int64(len(data)), _RANGE)


def sync_tree(path: Path) -> None:
    """Bring everything in a folder to the disk, while a server may already work in it."""
    for _, _, names, folder in os.fwalk(path):
        for name in names:
            _sync(name, folder)
        os.fsync(folder)


def take(path: Path) -> None:
    """Make a directory ours, as root, whoever owns it, and let nobody else write to it. A link is
    not followed. Raises OSError."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchown(handle, os.geteuid(), os.getegid())
        os.fchmod(handle, stat.S_IMODE(os.fstat(handle).st_mode) & 0o755)
    finally:
        os.close(handle)


def folder(path: Path, *, mode: int = 0o700, owner: Account | None = None) -> Path:
    """Make a folder with its parents if it is missing, and set its mode and owner."""
    if not path.is_symlink():
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=mode, parents=True)
    _settle(path, mode, owner)
    return path


def _settle(path: Path, mode: int, owner: Account | None) -> None:
    """Give a directory of ours its mode and owner. Raises MngdbError for what is none, or is
    another user's."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except NotADirectoryError:
        kind = _KINDS.get(stat.S_IFMT(path.lstat().st_mode), "a file")
        raise MngdbError(f"{path} is {kind}, not a directory", "remove it") from None
    try:
        found = os.fstat(handle)
        wanted = owner.uid if owner else os.geteuid()
        if found.st_uid not in {wanted, os.geteuid()}:
            raise _foreign(path, found.st_uid)
        if found.st_mode & 0o7777 != mode:
            os.fchmod(handle, mode)
        if owner is not None and (found.st_uid, found.st_gid) != (owner.uid, owner.gid):
            os.fchown(handle, owner.uid, owner.gid)
    finally:
        os.close(handle)
