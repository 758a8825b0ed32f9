"""Incremental backups, by PostgreSQL's own means: the server sends what has changed since another
backup, as its summaries of the log tell, and pg_combinebackup makes whole files of a chain of them.

https://www.postgresql.org/docs/17/continuous-archiving.html#BACKUP-INCREMENTAL-BACKUP
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from psycopg import pq

from mngdb.engines.postgres import client, replication
from mngdb.errors import MngdbError, StepError
from mngdb.model import Program
from mngdb.run import BARE, Account, last_line, run
from mngdb.snapshot import Base

#: The first major version that has them.
SINCE = 17
_PROGRAM = "pg_combinebackup"
#: The first major version of that program that makes hard links.
_LINKS = 18
#: A week, in seconds: it takes as long as it takes.
_LONG = 7 * 86_400.0
#: Bytes of a manifest that are sent at a time.
_BLOCK = 1 << 20


def obstacle(program: Program) -> str:
    """Why no data folder can be made of them with a server's programs; empty: one can."""
    path = f"{program.folder}/{_PROGRAM}"
    return "" if os.access(path, os.X_OK) else f"{path} is missing, which restores incremental ones"


def possible(session: client.Session) -> bool:
    """Whether the server keeps what a later incremental backup needs. Raises UnobservableError."""
    if major(session) < SINCE:
        return False
    ((found,),) = session.rows("SELECT current_setting('summarize_wal')")
    return bool(found == "on")


def major(session: client.Session) -> int:
    """The server's major version."""
    return session.main.info.server_version // 10_000


def changed(base: Base, version: int, branch: str) -> str:
    """Why a server of this major version and branch does not lead on from a backup; empty: it
    does."""
    before = base.taken.version.partition(".")[0]
    if before != str(version):
        return f"the one before is of PostgreSQL {before}"
    if base.taken.log is None or base.taken.log.branch != branch:
        return "the server has begun another history since the one before"
    return ""


def upload(wire: pq.abc.PGconn, base: Base) -> None:
    """Tell the server which files the backup before it has. Raises RefusedError, StepError,
    OSError, psycopg.OperationalError."""
    wire.send_query(b"UPLOAD_MANIFEST")
    found = replication.result(wire)
    if found is None or found.status != pq.ExecStatus.COPY_IN:
        raise StepError("PostgreSQL takes no manifest")
    with base.kept.open("rb") as file:
        while block := file.read(_BLOCK):
            wire.put_copy_data(block)
    wire.put_copy_end()
    replication.drain(wire)


def combine(program: Program, chain: Sequence[Path], folder: Path, account: Account | None) -> None:
    """Fill an empty folder with the files of the last backup of a chain, whose folders are given,
    the full one first, and are of no use afterwards. Raises MngdbError."""
    # the first way shares the files' blocks where the file system can, and not every build has it
    first = "--link" if int(program.version.partition(".")[0]) >= _LINKS else "--copy-file-range"
    argv = [f"{program.folder}/{_PROGRAM}", f"--output={folder}", "--no-sync", "--no-manifest"]
    said = ""
    for way in (first, "--copy"):
        done = run(
            # the server brings a restored folder to the disk before it replays the log
            [*argv, way, *map(str, chain)],
            timeout=_LONG,
            env=BARE,
            account=account,
            cwd=folder,
            check=False,
        )
        if done.returncode == 0:
            return
        said = last_line(done.stderr)
    raise MngdbError(f"the chain of snapshots cannot be combined: {said}")
