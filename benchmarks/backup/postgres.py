"""PostgreSQL: a full backup and its restore, beside pgBackRest and Barman."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from tests.conftest import Cli

from benchmarks.backup import measured, source
from benchmarks.backup.barman import VERSION, Barman
from benchmarks.backup.measured import SIZE, Ran, gigabytes, memory, mngdb, row, timed, turns
from benchmarks.backup.pgbackrest import PgBackRest
from benchmarks.common import Row, stack

_FILE = """
postgres:
  port: PORT1
  memory: 1gb
  settings: {{archive_mode: on, archive_command: "{command}"}}
apps: {{shop: {{postgres: shop}}}}
backup: {{store: {store}}}
"""


def rows() -> Iterator[Row]:
    """Rows of the backup, of the restore, of both together, and of incremental backups."""
    with measured.folder() as folder:
        pgbackrest = PgBackRest(folder / "pgbackrest")
        text = _FILE.format(command=pgbackrest.archive_command, store=folder / "store")
        with stack(text) as cli:
            cli.ok("up")
            server = source.of(cli)
            for one in ("pgbackrest", "restored", "barman"):
                (folder / one).mkdir(mode=0o700)
            if server.owner is not None:
                shutil.chown(folder / "restored", *server.owner)
            pgbackrest.begin(server)
            server.fill(SIZE)
            with closing(Barman(folder / "barman", server)) as barman:
                yield from _rows(cli, server, pgbackrest, barman, folder / "restored")


def _rows(
    cli: Cli, server: source.Source, pgbackrest: PgBackRest, barman: Barman, place: Path
) -> Iterator[Row]:
    name = f"pgBackRest {pgbackrest.version.removeprefix('pgBackRest ')}, zst 1, 2 processes"
    encrypted, plain = f"{name}, AES-256", f"{name}, not encrypted"
    what = f"PostgreSQL with {gigabytes(server.size)}"
    taken = turns({
        "mngdb": lambda: mngdb(cli, "backup", "--full"),
        "encrypted": lambda: pgbackrest.back_up("encrypted"),
        "plain": lambda: pgbackrest.back_up("plain"),
        "barman": barman.back_up,
    })  # fmt: skip
    yield row(f"full backup of {what}", taken, "encrypted", encrypted, 0.6)
    yield row("the same", taken, "plain", plain)
    yield memory("mngdb backup", "PostgreSQL", taken)

    def restored(restore: Callable[[Path], None]) -> Ran:
        into = place / "data"
        with server.restored(into) as start:
            return timed(lambda: restore(into), start)

    back = turns({
        "mngdb": lambda: _restored(cli),
        "encrypted": lambda: restored(lambda into: pgbackrest.restore("encrypted", into)),
        "plain": lambda: restored(lambda into: pgbackrest.restore("plain", into)),
        "barman": lambda: restored(barman.restore),
    })  # fmt: skip
    yield row(f"restore of {what}, until it can be written to", back, "encrypted", encrypted, 0.8)
    yield row("the same", back, "plain", plain)
    yield memory("mngdb restore", "PostgreSQL", back)
    both = {
        name: [Ran(a.seconds + b.seconds) for a, b in zip(taken[name], back[name], strict=True)]
        for name in ("mngdb", "barman")
    }
    name = f"Barman {VERSION}, zstd 1, 2 threads, not encrypted"
    yield row(f"full backup and restore of {what}", both, "barman", name, 0.6)
    changed = turns({
        "mngdb": lambda: mngdb(cli, "backup"),
        "encrypted": lambda: pgbackrest.back_up("encrypted", "incr"),
        "plain": lambda: pgbackrest.back_up("plain", "incr"),
    }, before=server.change)  # fmt: skip
    kinds = [one["kind"] for one in cli.json("backups")["instances"][0]["snapshots"]]
    if set(kinds[-len(changed["mngdb"]) :]) != {"incremental"}:
        raise RuntimeError(f"the snapshots are not incremental: {kinds}")
    text = f"incremental backup of {what}, 1 % of the rows changed"
    yield row(text, changed, "encrypted", encrypted, 0.3)
    yield row("the same", changed, "plain", plain)
    yield memory("mngdb backup, incremental", "PostgreSQL", changed)


def _restored(cli: Cli) -> Ran:
    found = mngdb(cli, "restore", "postgres", "--latest")
    cli.ok("restore", "--forget")
    return found
