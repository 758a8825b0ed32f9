"""Backups and restores beside the tools that people use, on the same servers and data, in turns.

Every time is until all is on the disk (sync). The data is text and noise, which zstd compresses
2.2 times. Ours is encrypted, always. What the peers leave out is said in their names; mongorestore
and the script restore into a server without an oplog; ours fills such a one, too, and starts it
once more with one. Memory is that of the program itself. `MNGDB_BENCH_GB` is the size,
`MNGDB_BENCH_TURNS` how often each is measured.
"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.backup import lost, mongodb, postgres, redis
from benchmarks.common import Row


def rows() -> Iterator[Row]:
    """The rows of each engine, and of all together."""
    yield from postgres.rows()
    yield from redis.rows()
    yield from mongodb.rows()
    yield from lost.rows()
