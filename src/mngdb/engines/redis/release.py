"""Which server it is, Redis or Valkey, and whose data it reads."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from mngdb.release import Release, Unreadable
from mngdb.words import numbers

REDIS, VALKEY = "Redis", "Valkey"
_OTHER = "add a second server under 'instances:' and copy the data with an app or a tool"
#: How an RDB file begins: whose format it is, its version, and who wrote it (src/rdb.c of both).
_HEAD = re.compile(
    rb"(?:REDIS(\d{4})|VALKEY(\d{3}))(?:\xfa.(redis|valkey)-ver.([0-9.]+))?", re.DOTALL
)
#: The format of Redis 7.2 (src/rdb.h), from where Valkey goes its own way: it reads none of Redis'
#: later ones, and writes formats of its own from 9 on, which begin at 80.
_SHARED, _FORKED = 11, 80


def release(info: Mapping[str, str]) -> Release:
    """From `INFO server`. Valkey tells the Redis that it is compatible with, too."""
    if info.get("server_name") == "valkey":
        return Release.of(VALKEY, info["valkey_version"])
    return Release.of(REDIS, info.get("redis_version", "0"))


def unreadable(
    program: Release, persistent: bool, heads: Sequence[bytes], last: Release | None
) -> Unreadable | None:
    """Why `program` does not read the data. A log may hold commands that an older server does not
    know, so only patch levels go back. `persistent`: the server that was `last` on the data writes
    snapshots or a log."""
    found = [*map(_wrote, filter(None, map(_HEAD.match, heads)))]
    if last is not None and persistent:
        found.append((last, _format(last)))
    for writer, written in found:
        if writer.product == program.product and writer.newer(program, 2):
            return Unreadable(str(writer), f"run {writer.product} {_line(writer)} or newer")
        if not _reads(program, written):
            return Unreadable(str(writer), f"run {writer.product} {_line(writer)}; {_OTHER}")
    return None


def _wrote(head: re.Match[bytes]) -> tuple[Release, int]:
    """Who wrote a file, as far as it says so, and its format."""
    product = VALKEY if head[2] or head[3] == b"valkey" else REDIS
    return Release.of(product, (head[4] or b"").decode()), int(head[1] or head[2])


def _format(server: Release) -> int:
    """What a server writes; Redis' later formats are all alike to others."""
    if server.product == VALKEY:
        return _FORKED if numbers(server.version) >= (9,) else _SHARED
    version = numbers(server.version)
    return _SHARED + (version >= (7, 4)) - (version < (7, 2))


def _reads(program: Release, written: int) -> bool:
    own = _format(program)
    if program.product == VALKEY:
        return written <= _SHARED or (written >= _FORKED and own == _FORKED)
    return written <= own or (own > _SHARED and written < _FORKED)


def _line(writer: Release) -> str:
    """The release line: 8.2, 9.1."""
    return ".".join(writer.version.split(".")[:2]) or "of that version"
