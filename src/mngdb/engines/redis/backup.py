"""A snapshot of a whole server, as a replica receives it: an RDB file, streamed by the server.

https://redis.io/docs/latest/operate/oss_and_stack/management/replication/
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from shutil import disk_usage
from typing import BinaryIO

from mngdb.engines.redis import client, render
from mngdb.engines.redis.look import parse_info
from mngdb.engines.redis.release import VALKEY, release
from mngdb.errors import ConnectError, MngdbError, StepError
from mngdb.model import Access, DesiredInstance, Program
from mngdb.run import Account, last_line, run
from mngdb.snapshot import Point, Sink, Taken, Trial

STREAM = "dump.rdb"
_TIMEOUT = 30.0
#: Seconds without a byte: a server that saves sends a newline every second, but a fork of much
#: memory holds it up.
_SILENCE = 120.0
#: Seconds that Redis' own tool may take to read the restored file.
_CHECK = 4 * 3600.0
_READ = 1 << 20
_HEAD = re.compile(rb"REDIS\d{4}|VALKEY\d{3}")
#: The end of an RDB file: this, then its CRC64.
_END, _END_LENGTH = b"\xff", 9
_ELF = b"\x7fELF"
#: The setting by which Redis compresses values with LZF; and how much of its memory is free on its
#: disk where it does not for a backup.
_COMPRESSION, _ROOM = "rdbcompression", 2
_RIGHTS = "the login needs +psync, +replconf and +info; Redis has to be 7 or later"


def back_up(session: client.Session, asked: DesiredInstance, access: Access, sink: Sink) -> Taken:
    """Stream the content of all databases, and the functions. Raises StepError, ConnectError."""
    found = release(parse_info(session.ask("INFO", "server")))
    with client.connect(access, _TIMEOUT) as replica:
        _introduce(replica, found.product, found.version)
        replica.limit(_SILENCE)
        with ExitStack() as opened:
            try:
                with _values_as_they_are(session, asked):
                    file = opened.enter_context(replica.stream("PSYNC", "?", "-1"))
                    replid, offset = _begun(file)
                seconds, micro = session.ask("TIME")
                info = parse_info(session.ask("INFO"))
                size = _size(file)
                sink.expect(size)
                with sink.stream(STREAM) as writer:
                    for piece in whole(_exactly(file, size)):
                        writer.write(piece)
            except OSError as error:
                raise StepError(
                    f"{found.product} ended the backup: {error}; {_cause(session)}"
                ) from None
    keys = {name: dict(_pairs(value)) for name, value in info.items() if name.startswith("db")}
    keys = {name: of for name, of in keys.items() if "keys" in of}
    return Taken(
        kind="full",
        product=found.product,
        version=found.version,
        source=replid,
        position={"replid": replid, "offset": offset},
        counts={
            **{name: int(of["keys"]) for name, of in keys.items()},
            "libraries": int(info.get("number_of_libraries", 0)),
        },
        notes={
            "run_id": info["run_id"],
            "expires": {name: int(of["expires"]) for name, of in keys.items()},
            # every write moves the offset: unmoved, the counts are those of the snapshot
            "exact": info["master_repl_offset"] == offset,
        },
        moment=int(seconds) + int(micro) / 1e6,
        # what comes after it selects its database anew
        log=Point(replid, int(offset)),
    )


def _introduce(replica: client.Session, product: str, version: str) -> None:
    """Ask for the content only: what is written meanwhile is then not kept for us, and no limit of
    replicas' output ends the backup."""
    try:
        replica.ask("REPLCONF", "rdb-only", "1")
        if product == VALKEY:
            # it writes an older format for who does not say that it knows its own
            replica.ask("REPLCONF", "version", version)
    except client.RefusedError as error:
        raise StepError(error.message, _RIGHTS) from None


@contextmanager
def _values_as_they_are(session: client.Session, asked: DesiredInstance) -> Iterator[None]:
    """Have a save that begins in the block not compress values: zstd makes them smaller without
    LZF before it (a quarter, of text), the server's process that saves takes half of its time, and
    a restored server loads a third faster. Not where the file, which the server first writes to its
    own disk, could fill that: it takes no writes then. Raises ConnectError."""
    if not _may_grow(session, asked):
        yield
        return
    session.ask("CONFIG", "SET", _COMPRESSION, "no")
    try:
        yield
    finally:
        # `up` and the next backup do it where this cannot
        with suppress(ConnectError, client.RefusedError):
            session.ask("CONFIG", "SET", _COMPRESSION, "yes")


def _may_grow(session: client.Session, asked: DesiredInstance) -> bool:
    """Whether values may be saved as they are for a moment: on a server of ours whose disk we see,
    that compresses and saves nothing else meanwhile."""
    if asked.site is None or asked.site.tunnel or render.settings(asked)[_COMPRESSION] != "yes":
        return False
    info = parse_info(session.ask("INFO"))
    if {info["rdb_bgsave_in_progress"], info["aof_rewrite_in_progress"]} != {"0"}:
        return False
    try:
        free = disk_usage(asked.site.data).free
    except OSError:
        return False
    return free > _ROOM * int(info["used_memory"])


def _begun(file: BinaryIO) -> tuple[str, str]:
    """Replication id and offset of the moment that the snapshot shows."""
    line = _line(file)
    words = line.split()
    if words[:1] != ["+FULLRESYNC"] or len(words) != 3:
        raise StepError(f"Redis refused the backup: {line.lstrip('-')}", _RIGHTS)
    return words[1], words[2]


def _size(file: BinaryIO) -> int:
    line = _line(file)
    if not re.fullmatch(r"\$\d+", line):
        raise StepError(f"Redis refused the backup: {line.lstrip('-')}")
    return int(line[1:])


def _line(file: BinaryIO) -> str:
    """The next line that says something; empty ones say that the server is alive. Raises
    OSError."""
    while line := file.readline():
        if text := line.decode(errors="replace").strip():
            return text
    raise ConnectionResetError("connection closed by server")


def _exactly(file: BinaryIO, size: int) -> Iterator[bytes]:
    left = size
    while left:
        piece = file.read(min(left, _READ))
        if not piece:
            raise ConnectionResetError(
                f"connection closed by server after {size - left:,} of {size:,} bytes"
            )
        left -= len(piece)
        yield piece


def whole(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces of an RDB file. Raises StepError when it does not begin or end as one; what is in
    between is for its CRC64, which the server compares when it loads the file."""
    head = tail = b""
    for piece in pieces:
        if len(head) < _END_LENGTH:
            head = (head + piece)[:_END_LENGTH]
        tail = (tail + piece[-_END_LENGTH:])[-_END_LENGTH:]
        yield piece
    if not _HEAD.fullmatch(head):
        raise StepError(f"not an RDB file: it begins with {head!r}")
    if len(tail) < _END_LENGTH or tail[:1] != _END:
        raise StepError("the RDB file is not complete: its end is missing")


def _cause(session: client.Session) -> str:
    """What the server says of its last save, or why it says nothing."""
    try:
        status = parse_info(session.ask("INFO", "persistence"))["rdb_last_bgsave_status"]
    except (ConnectError, client.RefusedError) as error:
        return error.message
    return f"rdb_last_bgsave_status is {status}; its log tells more"


def _pairs(value: str) -> Iterator[tuple[str, str]]:
    for pair in value.split(","):
        name, _, number = pair.partition("=")
        yield name, number


def prove(session: client.Session, asked: DesiredInstance, taken: Taken) -> tuple[Trial, ...]:
    """What the server has loaded, and what Redis' own tool says of its files. Raises
    RefusedError, ConnectError."""
    info = parse_info(session.ask("INFO"))
    counted: tuple[Trial, ...] = ()
    if taken.counts:
        counted = (_loaded(info, taken), *_databases(info, taken), _functions(info, taken))
    return (_loading(info), *counted, *_files(asked))


def caveats(session: client.Session) -> tuple[str, ...]:
    """See Backup.caveats. Raises RefusedError, ConnectError."""
    info = parse_info(session.ask("INFO"))
    gone = ("expired_keys", "rdb_last_load_keys_expired")
    if not any(int(info.get(one, 0)) for one in gone):
        return ()
    return ("keys whose time to live is over by now are gone; --keys brings them back",)


def _loading(info: dict[str, str]) -> Trial:
    done = info.get("loading") == "0"
    return Trial("loaded", done, "loading finished" if done else "still loading its data")


def _loaded(info: dict[str, str], taken: Taken) -> Trial:
    """How many keys the server found in the file, expired ones included."""
    wanted = sum(count for name, count in taken.counts.items() if name.startswith("db"))
    loaded = int(info.get("rdb_last_load_keys_loaded", 0))
    expired = int(info.get("rdb_last_load_keys_expired", 0))
    exact = bool(taken.notes.get("exact"))
    about = "" if exact else " (counted while they were written: about)"
    text = f"{loaded} of {wanted} keys{about}, {expired} more have expired"
    return Trial("keys", loaded + expired == wanted if exact else loaded > 0 or not wanted, text)


def _databases(info: dict[str, str], taken: Taken) -> Iterator[Trial]:
    """Keys that never expire have to be there, each one."""
    evicted = int(info.get("evicted_keys", 0))
    for name in sorted(set(taken.counts) - {"libraries"}):
        now = dict(_pairs(info.get(name, "keys=0,expires=0")))
        keys, lasting = int(now["keys"]), int(now["keys"]) - int(now["expires"])
        wanted = taken.counts[name]
        expires = int(taken.notes["expires"][name])
        text = f"{keys} of {wanted} keys; {expires} had an expiry time, {evicted} were evicted"
        passed = lasting == wanted - expires and keys <= wanted
        yield Trial(f"database {name[2:]}", passed or not taken.notes["exact"], text)


def _functions(info: dict[str, str], taken: Taken) -> Trial:
    found, wanted = int(info.get("number_of_libraries", 0)), taken.counts["libraries"]
    return Trial("functions", found == wanted, f"{found} of {wanted} libraries")


def _files(asked: DesiredInstance) -> Iterator[Trial]:
    """Redis' own tool on its files. Where those are not ours to read (in a container), or there is
    no such tool, nothing is tried."""
    site, values = asked.site, render.settings(asked)
    if site is None or site.tunnel:
        return
    # not the log's own tool: Valkey's does not know the format that Valkey writes
    log = Path(site.data, values["appenddirname"], f"{values['appendfilename']}.1.base.rdb")
    path = log if log.exists() else Path(site.data, values["dbfilename"])
    name = f"{site.program.product.lower()}-check-rdb"
    tool = _tool(site.program, name)
    if tool is None:
        return
    try:
        owner = Path(site.data).stat()  # not the file's, which may be a link
        account = Account("", owner.st_uid, owner.st_gid) if os.geteuid() == 0 else None
        done = run([name, str(path)], program=tool, timeout=_CHECK, account=account, check=False)
    except (MngdbError, OSError) as error:
        yield Trial(name, False, str(error))
        return
    passed = done.returncode == 0
    yield Trial(
        name, passed, "its file is whole" if passed else last_line(done.stdout or done.stderr)
    )


def _tool(program: Program, name: str) -> Path | None:
    """The tool where it is installed; the server is the same when it is called by this name."""
    installed = Path(program.folder, name)
    if installed.exists():
        return installed
    with Path(program.server).open("rb") as file:
        return Path(program.server) if file.read(4) == _ELF else None  # a script hands no name on
