"""What the servers' statements had cost at earlier moments: a small SQLite file of numbers.

The agent writes it, `slow --since` reads it. It holds no text of a statement, so no value either.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from mngdb import disk
from mngdb.errors import MngdbError
from mngdb.facts.slow import Count, Snapshot

#: So many of an instance's newest snapshots stay (24 h of one every 5 minutes), then one an hour.
NEWEST = 288
_WEEK, _HOUR = 7 * 86_400, 3600
#: Seconds to wait for the other process.
_PATIENCE = 10.0
_TABLES = """
CREATE TABLE IF NOT EXISTS snapshot (id INTEGER PRIMARY KEY, instance TEXT NOT NULL,
  at REAL NOT NULL, reset REAL NOT NULL, dropped INTEGER NOT NULL, least REAL NOT NULL);
CREATE INDEX IF NOT EXISTS snapshot_at ON snapshot (instance, at);
CREATE TABLE IF NOT EXISTS count (snapshot INTEGER NOT NULL, user INTEGER, database INTEGER,
  query INTEGER, top INTEGER, calls INTEGER, total REAL, rows INTEGER, temporary INTEGER,
  PRIMARY KEY (snapshot, user, database, query, top)) WITHOUT ROWID;
"""


class History:
    """The snapshots of a stack's servers, in a folder that is ours alone."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "statements.db"

    def keep(self, instance: str, snapshot: Snapshot) -> None:
        """Add one, and thin out the older ones. Raises MngdbError when the file is damaged."""
        with self._opened() as db, db:
            cursor = db.execute(
                "INSERT INTO snapshot (instance, at, reset, dropped, least) VALUES (?, ?, ?, ?, ?)",
                (instance, snapshot.at, snapshot.reset, snapshot.dropped, snapshot.least_ms),
            )
            number = cursor.lastrowid
            db.executemany(
                "INSERT INTO count VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                ((number, *one) for one in snapshot.counts),
            )
            times = db.execute("SELECT id, instance, at FROM snapshot ORDER BY at DESC, id DESC")
            gone = [(one,) for one in _superfluous(times, snapshot.at)]
            db.executemany("DELETE FROM count WHERE snapshot = ?", gone)
            db.executemany("DELETE FROM snapshot WHERE id = ?", gone)

    def before(self, instance: str, moment: float) -> tuple[Snapshot | None, str]:
        """The last one that is not younger than `moment` (seconds since 1970), else why there is
        none. Raises MngdbError when the file is damaged."""
        if not self.file.exists():
            return None, "no agent has recorded its statements"
        with self._opened() as db:
            row = db.execute(
                "SELECT id, at, reset, dropped, least FROM snapshot "
                "WHERE instance = ? AND at <= ? ORDER BY at DESC LIMIT 1",
                (instance, moment),
            ).fetchone()
            if row is None:
                return None, self._begun(db, instance)
            number, at, reset, dropped, least = row
            rows = db.execute(
                "SELECT user, database, query, top, calls, total, rows, temporary FROM count "
                "WHERE snapshot = ?",
                (number,),
            )
            # SQLite has no booleans
            counts = tuple(Count(*row)._replace(top=bool(row[3])) for row in rows)
        return Snapshot(at, reset, dropped, counts, least), ""

    def _begun(self, db: sqlite3.Connection, instance: str) -> str:
        query = "SELECT min(at) FROM snapshot WHERE instance = ?"
        ((first,),) = db.execute(query, (instance,)).fetchall()
        if first is None:
            return "no agent has recorded its statements"
        shown = f"{datetime.fromtimestamp(first, UTC):%Y-%m-%d %H:%M:%S} UTC"
        return f"the agent has recorded its statements only since {shown}"

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        os.close(disk.own(self.file, os.O_RDWR | os.O_CREAT))  # SQLite would follow a link
        try:
            with closing(sqlite3.connect(self.file, timeout=_PATIENCE)) as db:
                db.executescript(_TABLES)
                yield db
        except sqlite3.DatabaseError as error:
            raise MngdbError(
                f"{self.file} cannot be used: {error}",
                "if it is damaged, remove it; the agent creates a new one",
            ) from None


def _superfluous(times: Iterable[tuple[int, str, float]], now: float) -> Iterator[int]:
    """Of snapshots, the newest first: those that need not be kept."""
    counted: dict[str, int] = {}
    hours: set[tuple[str, int]] = set()
    for number, instance, at in times:
        counted[instance] = counted.get(instance, 0) + 1
        if counted[instance] <= NEWEST:
            continue
        hour = (instance, int(at // _HOUR))
        if at < now - _WEEK or hour in hours:
            yield number
        hours.add(hour)
