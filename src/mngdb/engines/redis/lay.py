"""A snapshot, and the log since then, as files that a server starts from."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from mngdb import disk
from mngdb.engines.redis import render
from mngdb.engines.redis.backup import STREAM, whole
from mngdb.engines.redis.commands import complete
from mngdb.engines.redis.spare import LENGTHEN, SPARE
from mngdb.engines.redis.wire import pack
from mngdb.errors import StepError, of_system
from mngdb.model import DesiredInstance
from mngdb.run import Account
from mngdb.snapshot import Piece, Saved

_Content = Iterable[bytes | memoryview]


def lay(asked: DesiredInstance, saved: Saved, folder: Path, account: Account | None) -> None:
    """Write the files as the server will look for them. Raises MngdbError."""
    values = render.settings(asked)
    mode, spared = render.mode(values), asked.instance.role == "source"
    try:
        if saved.until is None and mode == "no" and not spared:
            _written(folder / values["dbfilename"], whole(saved.read(STREAM)), account)
        else:
            # with the log on Redis reads nothing else, so the file is the log's base
            _log(values, saved, folder, account, spared=spared)
        with disk.acting(account):
            if mode == "none":
                disk.write(folder / render.RESTORED, "", owner=account)
            disk.sync(folder)
    except OSError as error:
        raise of_system(error) from None


def _log(
    values: dict[str, str], saved: Saved, folder: Path, account: Account | None, *, spared: bool
) -> None:
    log = folder / values["appenddirname"]
    with disk.acting(account):
        log.mkdir(mode=0o700)
    file = values["appendfilename"]
    parts: list[tuple[str, str, _Content]] = [
        (f"{file}.1.base.rdb", "b", whole(saved.read(STREAM)))
    ]
    commands: _Content = () if saved.until is None else _commands(saved, saved.until)
    if spared:
        moment = saved.taken.moment if saved.until is None else saved.until
        times = (str(round(one * 1000)) for one in (moment, time.time()))
        lengthen = pack(("EVAL", LENGTHEN, "0", str(SPARE), *times))
        commands = chain(complete(commands), [lengthen])
    if spared or saved.until is not None:
        parts.append((f"{file}.1.incr.aof", "i", commands))
    for name, _, content in parts:
        _written(log / name, content, account)
    manifest = "".join(f"file {_repr(name)} seq 1 type {kind}\n" for name, kind, _ in parts)
    with disk.acting(account):
        disk.write(log / f"{file}.manifest", manifest, owner=account)
        disk.sync(log)


def _commands(saved: Saved, until: float) -> Iterator[bytes | memoryview]:
    """The log from the snapshot to a moment. Its last command may be cut off, or its last
    transaction: the server reads as far as they are whole, and removes the rest from the file
    (aof-load-truncated). Raises StepError for a log with a gap."""
    point = saved.taken.log
    if point is None:
        raise StepError("the snapshot does not say where the log goes on from it")
    position = point.position
    for piece in saved.log():
        if piece.begin > position:
            raise StepError(
                f"{piece.begin - position:,} bytes of the log are missing after position {position}"
            )
        there = _there(piece, until) if saved.stop is None else saved.stop - piece.begin
        yield memoryview(piece.data)[position - piece.begin : there]
        if there < len(piece.data):
            return
        position = max(position, piece.end)


def _there(piece: Piece, until: float) -> int:
    """How many bytes of a piece were there at a moment."""
    return max((size for size, moment in piece.stamps if moment <= until), default=0)


def _repr(name: str) -> str:
    """A file's name as the manifest has it."""
    if re.search(r"[\s\"'\\]", name):
        return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return name


def _written(path: Path, content: _Content, account: Account | None) -> None:
    with disk.acting(account):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        for piece in content:
            disk.append(handle, piece)
    finally:
        os.close(handle)
