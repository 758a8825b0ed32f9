"""Logs that were set aside: compressed, named after the time, and kept as long as the file asks."""

from __future__ import annotations

import gzip
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

from mngdb import disk, room
from mngdb.errors import MngdbError
from mngdb.spec.file import Logs

#: gzip's default takes three times as long for a tenth less.
_LEVEL = 4


def keep(path: Path, logs: Logs, now: float) -> None:
    """Compress what was set aside of a log, and remove what is older than the file asks, or more.
    A crash leaves what was set aside as it was. Raises OSError, and MngdbError where the disk
    has no room."""
    aside = path.with_name(f"{path.name}.1")
    if aside.exists():
        _compress(aside, path, os.path.getmtime(aside))  # noqa: PTH204
    total = 0
    for old in sorted(path.parent.glob(f"{path.name}.*.gz"), reverse=True):
        found = old.stat()
        total += found.st_size
        if total > logs.size or now - found.st_mtime > logs.keep.total_seconds():
            old.unlink()


def _compress(aside: Path, path: Path, moment: float) -> None:
    stamp = datetime.fromtimestamp(moment, UTC).strftime("%Y%m%dT%H%M%SZ")
    target = path.with_name(f"{path.name}.{stamp}.gz")
    temporary = path.with_name(f".{path.name}.gz")
    temporary.unlink(missing_ok=True)
    if aside.stat().st_size > room.for_copies(path.parent):
        raise MngdbError(f"{aside} is not compressed: the disk has no room for a copy")
    try:
        _write(aside, temporary)
        os.utime(temporary, (moment, moment))
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)  # the disk may be full of it
    aside.unlink()


def _write(aside: Path, temporary: Path) -> None:
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    source = os.fdopen(disk.own(aside, os.O_RDONLY, owners=None), "rb")
    with source, os.fdopen(handle, "wb") as raw:
        with gzip.GzipFile(
            filename="", mode="wb", fileobj=raw, compresslevel=_LEVEL, mtime=0
        ) as out:
            shutil.copyfileobj(source, out, 1 << 20)
        raw.flush()
        os.fsync(handle)  # the other copy goes
