"""What a log does before the transaction that asks for it commits.

DROP DATABASE marks the database as unusable and removes its files, DROP TABLESPACE its folder, in
records of their own, and PostgreSQL stops its replay at the ends of transactions alone: where it
goes to a moment before such a commit, and nobody else committed in between, the database would be
listed and broken.
https://github.com/postgres/postgres/blob/REL_17_STABLE/src/backend/commands/dbcommands.c
"""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

from mngdb.engines.postgres import replication
from mngdb.run import BARE, Account, run
from mngdb.snapshot import Point

#: Seconds that reading the log may take.
_LONG = 24 * 3600.0
_RECORD = re.compile(r"\btx:\s+(\d+), lsn: ([0-9A-F]+/[0-9A-F]+), .*? desc: (\S+) (.*)")
#: The end of a transaction, and the catalog of databases, where it has its first file.
_TRANSACTION, _DATABASES = "--rmgr=Transaction", ("--rmgr=Heap", "--relation=1664/0/1262")
_MOMENT = re.compile(r"(\d+-\d+-\d+ \d+:\d+:\d+(?:\.\d+)?) UTC")


class _Record(Struct, frozen=True):
    transaction: str
    position: int
    kind: str
    text: str


def first_uncommitted(
    programs: Path, wal: Path, begin: Point, until: float, account: Account | None
) -> int | None:
    """Where the log that lies in `wal` from `begin` on first drops what was still there at the
    moment `until`; None: nowhere, or the programs have no pg_waldump. Raises MngdbError."""
    log = _Log(programs / "pg_waldump", wal, replication.timeline(begin.branch), account)
    if not os.access(log.program, os.X_OK):
        return None
    for one in log.read(begin.position, "--rmgr=Database", "--rmgr=Tablespace"):
        mine = f"--xid={one.transaction}"
        if one.kind == "DROP" and not log.commits(one.position, until, mine):
            (first,) = log.read(begin.position, mine, "--limit=1")
            return log.marked(begin.position, first.position)
    return None


class _Log(Struct, frozen=True):
    """Read by pg_waldump."""

    program: Path
    wal: Path
    timeline: int
    account: Account | None

    def read(self, begin: int, *which: str) -> list[_Record]:
        """Records from a position on."""
        where = ["--path", str(self.wal), "--timeline", str(self.timeline)]
        argv = [str(self.program), *where, "--start", replication.text(begin), *which]
        # it ends with an error where the log does
        done = run(argv, timeout=_LONG, env=BARE, account=self.account, cwd=self.wal, check=False)
        return [
            _Record(transaction, replication.lsn(position), kind, text)
            for transaction, position, kind, text in _RECORD.findall(done.stdout)
        ]

    def commits(self, begin: int, until: float, mine: str) -> bool:
        """Whether a transaction that writes at a position had committed at a moment."""
        return any(
            one.kind == "COMMIT" and (found := _MOMENT.search(one.text)) and _at(found[1]) <= until
            for one in self.read(begin, _TRANSACTION, mine, "--limit=1")
        )

    def marked(self, begin: int, first: int) -> int:
        """Where the database of a transaction that begins to write at `first` was marked, just
        before and in nobody's name; `first`, where that cannot be told from other changes."""
        every = self.read(begin, *_DATABASES, f"--end={replication.text(first)}")
        marks = [one.position for one in every if one.kind.startswith("INPLACE")]
        if not marks:
            return first
        end = f"--end={replication.text(first)}"
        between = self.read(marks[-1], _TRANSACTION, end)
        return first if any(one.kind == "COMMIT" for one in between) else marks[-1]


def _at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
