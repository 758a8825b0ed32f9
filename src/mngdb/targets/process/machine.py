"""What this machine has: memory, accounts, ports."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import grp
import os
import pwd
import re
import resource
import shutil
import socket
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from mngdb import peer
from mngdb.disk import nearest
from mngdb.errors import MngdbError
from mngdb.identity.home import called
from mngdb.run import Account, run
from mngdb.spec.base import EngineName

#: Limits above this mean "none" (cgroup v1 writes a number near 2^63).
_NO_LIMIT = 1 << 60
OPEN_FILES = 64_000
_PR_SET_THP_DISABLE = 41
#: What the names of the servers' accounts begin with.
_BASE = "mngdb"
#: The kernel's own id for whoever is not known.
NOBODY = 65534
#: Who has a port that nobody listens on.
LINGERS = "a connection that has just ended (TIME_WAIT)"


def memory() -> int:
    """Bytes of memory for us: the machine's, or the tightest limit of the control groups."""
    text = Path("/proc/meminfo").read_text()
    match = re.search(r"^MemTotal:\s+(\d+) kB", text, re.MULTILINE)
    if match is None:
        raise MngdbError("/proc/meminfo does not show the memory of this machine")
    found = [int(match[1]) << 10]
    with contextlib.suppress(OSError):  # no control groups here, so no limits
        own = Path("/proc/self")
        found += group_limits(own, "memory", "memory.max", "memory.limit_in_bytes")
    return min(found)


def disk(path: Path) -> int:
    """Bytes of the disk that `path` is on, or will be. Raises OSError."""
    return shutil.disk_usage(nearest(path)).total


def group_limits(own: Path, controller: str, name: str, before: str) -> Iterator[int]:
    """The limits of the control groups that a process is in, given its folder in /proc; those of a
    container's host are out of sight. `name` is the limit's file, `before` the one of cgroup v1.
    Raises OSError."""
    root = Path("/sys/fs/cgroup")
    for line in (own / "cgroup").read_text().splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0":
            base, file = root, name
        elif controller in controllers.split(","):
            base, file = root / controller, before
        else:
            continue
        folder = base / path.lstrip("/")
        # inside a container the path is the host's: what is not there is skipped, the root is read
        for group in [folder, *folder.parents]:
            try:
                limit = (group / file).read_text().strip()
            except OSError:
                limit = "max"
            if limit.isdigit() and int(limit) < _NO_LIMIT:
                yield int(limit)
            if group == base:
                break


def listening(pid: int) -> tuple[str, ...]:
    """The addresses at which a process takes TCP connections. Raises as `listeners`."""
    return tuple(sorted({address for address, _ in listeners(pid)}))


def listeners(pid: int) -> list[tuple[str, int]]:
    """The addresses and ports at which a process takes TCP connections. Raises ProcessLookupError,
    PermissionError."""
    import psutil  # only where it is needed: it takes 30 ms

    try:
        found = psutil.Process(pid).net_connections("tcp")
    except psutil.NoSuchProcess:
        raise ProcessLookupError from None
    except psutil.AccessDenied:
        raise PermissionError from None
    return [(one.laddr.ip, one.laddr.port) for one in found if one.status == psutil.CONN_LISTEN]


def listens(pid: int) -> bool:
    """Whether a process takes TCP connections at any address."""
    try:
        return bool(listening(pid))
    except OSError:
        return False


def lift_limits(*, huge_pages: bool) -> None:
    """What a server that we start next gets from us: files enough (MongoDB's manual: 64000), no
    core dump, which would hold its secrets, and huge pages unasked only where they do no harm."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < OPEN_FILES and os.geteuid() == 0:
        # a container's root may not, and then has to do with what there is
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, OPEN_FILES))
            hard = OPEN_FILES
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, OPEN_FILES)), hard))
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_THP_DISABLE, int(not huge_pages), 0, 0, 0)


def accounts(
    wanted: str | None, engines: Iterable[EngineName], *, make: bool = True
) -> dict[EngineName, Account] | None:
    """Who the servers of each engine run as; None: as ourselves. `wanted`: the file's, for all;
    else each engine has its own, so that a hole in one server opens no files of the others."""
    if os.geteuid() != 0:
        account(wanted)  # refuses one that only root could use
        return None
    found = {one: account(wanted or f"{_BASE}-{one}", make=make) for one in engines}
    return {engine: one for engine, one in found.items() if one is not None}


def account(wanted: str | None, *, make: bool = True) -> Account | None:
    """The account that servers run as: None for ourselves, another one when we are root. One that
    is missing is made, or else, where there is only looking to be done, stood for by nobody's."""
    if os.geteuid() != 0:
        if wanted is not None and name_of(os.geteuid()) != wanted:
            raise MngdbError(
                f"servers cannot run as {wanted}: only root can switch accounts",
                "run mngdb as that account or as root",
            )
        return None
    name = wanted or _BASE
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        if not make:
            return Account(name, NOBODY, NOBODY)
        entry = _make_account(name)
    if entry.pw_uid == 0:
        raise MngdbError("servers must not run as root", "choose another account")
    return Account(name, entry.pw_uid, entry.pw_gid)


def name_of(uid: int) -> str:
    """An account's name. Raises MngdbError for a user id that has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        raise MngdbError(
            f"the user id {uid} has no account", "PostgreSQL needs one: add it to /etc/passwd"
        ) from None


def alone_in(uid: int, gid: int) -> bool:
    """Whether a group is an account's private one: its own, with nobody else in it."""
    try:
        owner, members = pwd.getpwuid(uid), grp.getgrgid(gid).gr_mem
    except KeyError:
        return False
    others = any(one.pw_gid == gid and one.pw_uid != uid for one in pwd.getpwall())
    return owner.pw_gid == gid and set(members) <= {owner.pw_name} and not others


def others_who_write(found: os.stat_result) -> str:
    """Who may write to a file or folder besides its owner, in words; empty: nobody."""
    if found.st_mode & 0o002:
        return "everybody"
    if found.st_mode & 0o020 and not alone_in(found.st_uid, found.st_gid):
        return group_called(found.st_gid)
    return ""


def group_called(gid: int) -> str:
    """A group's name, for people."""
    try:
        return f"the group {grp.getgrgid(gid).gr_name}"
    except KeyError:
        return f"the group id {gid}"


def _make_account(name: str) -> pwd.struct_passwd:
    tool = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if tool is None:
        raise MngdbError(
            f"the account {name} does not exist, and useradd is not installed",
            "create it, or choose another: target: {local: {account: …}}",
        )
    argv = [tool, "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    try:
        run([*argv, "--shell", "/usr/sbin/nologin", name], timeout=60)
    except MngdbError:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)  # another command made it at the same moment
        raise
    return pwd.getpwnam(name)


def port_holder(host: str, port: int, but: Collection[int] = ()) -> str | None:
    """Who has a port, for people: `redis-server (pid 12)`; None if it is free, or held by one of
    the processes `but`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return _listener(host, port, but)
            if error.errno == errno.EACCES:
                raise MngdbError(
                    f"not allowed to listen on port {port}",
                    "ports below 1024 need root; use another port in the file",
                ) from None
            if error.errno == errno.EADDRNOTAVAIL:
                raise MngdbError(
                    f"{host} is not an address of this machine", "'ip address' lists them"
                ) from None
            raise MngdbError(f"cannot listen on {host}:{port}: {error.strerror}") from None
    return None


def free_port(host: str, after: int) -> int:
    """The first port after another that nobody has, to be proposed."""
    for port in range(after + 1, 65536):
        with contextlib.suppress(MngdbError):
            if port_holder(host, port) is None:
                return port
    return after


def is_free(hosts: Iterable[str], port: int, folders: Sequence[Path] = ()) -> bool:
    """Whether nobody has a port at any of the addresses, apart from processes that work in one of
    the `folders`. One that may not be had at all is told when its server starts."""
    held = [host for host in hosts if _is_held(host, port)]
    if not (held and folders):
        return not held
    every = (int(path.name) for path in Path("/proc").glob("[0-9]*"))
    ours = {pid for pid in every if any(_works_in(pid, folder) for folder in folders)}
    return not any(_is_held(host, port, ours) for host in held)


def _is_held(host: str, port: int, but: Collection[int] = ()) -> bool:
    try:
        return port_holder(host, port, but) is not None
    except MngdbError:
        return False


def _works_in(pid: int, folder: Path) -> bool:
    try:
        return Path(f"/proc/{pid}/cwd").readlink().is_relative_to(folder)
    except OSError:
        return False  # it has ended, or is another account's


def callers(port: int) -> list[str]:
    """Who on this machine is connected to a port, for people, the most first: `97 by python
    (pid 12) of the account shop`. Another account's processes are known to root alone."""
    accounts = {end.inode: end.uid for end in peer.clients(port)}
    programs: dict[int, str] = {}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # gone, or another account's
            held = peer.sockets(int(path.name)) & accounts.keys()
            if held:
                name = (path / "comm").read_text(errors="replace").strip()
                programs |= dict.fromkeys(held, f"{name} (pid {path.name}) of ")
    found = Counter(programs.get(inode, "") + called(uid) for inode, uid in accounts.items())
    return [f"{count} by {who}" for who, count in found.most_common()]


def _listener(host: str, port: int, but: Collection[int]) -> str | None:
    found = peer.listener(host, port)
    if found is None:
        if peer.lingers(port):
            return LINGERS
        return "a process of another account"  # of another network than ours, or it just ended
    holders = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if peer.holds(int(path.name), found.inode):
                holders.append(
                    (int(path.name), (path / "comm").read_text(errors="replace").strip())
                )
        except OSError:
            continue  # gone, or another account's: only root may look into it
    if any(pid in but for pid, _ in holders):
        return None
    if not holders:
        return f"a process of {called(found.uid)}"
    pid, name = min(holders)
    stack = _stack(pid)
    return f"{name} (pid {pid})" + (f" of the mngdb stack {stack}" if stack else "")


def _stack(pid: int) -> str | None:
    """The name of the stack that a process works for: a server in its data, an agent in its
    state."""
    try:
        folder = f"{Path(f'/proc/{pid}/cwd').readlink()}/"
    except OSError:
        return None  # it has ended, or is another account's
    match = re.search(r"/stacks/([^/]+)-[0-9a-f]{8}/", folder)
    return match[1] if match else None
