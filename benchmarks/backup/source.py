"""The PostgreSQL of a stack, as other tools see it, and servers of what they restore."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from tests.conftest import Cli, free_port

from benchmarks.backup.bare import Bare, Owner
from benchmarks.backup.measured import VALUE, values
from benchmarks.cold_up import program

TABLES = 4


@dataclass(frozen=True)
class Source:
    """A server that runs, and its administrator."""

    data: Path
    sockets: str
    port: int
    user: str
    password: str
    owner: Owner

    def connect(self, port: int | None = None, database: str = "postgres") -> Any:
        """A connection of the administrator's, also to a server of the same data."""
        return psycopg.connect(
            host="127.0.0.1", port=port or self.port, user=self.user, password=self.password,
            dbname=database, autocommit=True, connect_timeout=30,
        )  # fmt: skip

    def fill(self, size: int) -> None:
        """Tables of about `size` bytes."""
        rows = values(size // VALUE)
        with self.connect() as connection:
            for table in range(TABLES):
                connection.execute(
                    f"CREATE TABLE bench{table} (id int PRIMARY KEY, text text, noise bytea)"
                )
                with connection.cursor().copy(
                    f"COPY bench{table} FROM STDIN (FORMAT binary)"
                ) as to:
                    to.set_types(["int4", "text", "bytea"])
                    for number in range(size // VALUE // TABLES):
                        to.write_row((number, *next(rows)))
            connection.execute("VACUUM ANALYZE")
            connection.execute("CHECKPOINT")

    def change(self, number: int) -> None:
        """Change one row of a hundred, all over the tables, others with each number. What is
        changed is on the disk then: or whoever comes first in a turn would pay for all."""
        with self.connect() as connection:
            for table in range(TABLES):
                connection.execute(
                    f"UPDATE bench{table} SET text = reverse(text) WHERE id %% 100 = %s", (number,)
                )
            connection.execute("CHECKPOINT")

    @property
    def size(self) -> int:
        """Bytes of all databases."""
        with self.connect() as connection:
            ((found,),) = connection.execute(
                "SELECT sum(pg_database_size(oid))::bigint FROM pg_database"
            ).fetchall()
        return int(found)

    @contextmanager
    def restored(self, into: Path, *options: str) -> Iterator[Callable[[], None]]:
        """What starts a server of the data folder `into`, which is gone after the block."""
        port = free_port()

        def answers() -> bool:
            try:
                with self.connect(port) as connection:
                    ((count,),) = connection.execute("SELECT count(*) FROM bench0").fetchall()
                    return bool(count)
            except psycopg.OperationalError:
                return False

        rights = into.parent / "pg_hba.conf"
        rights.write_text("host all all 127.0.0.1/32 scram-sha-256\n")
        settings = {
            "hba_file": str(rights),
            "port": str(port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "archive_mode": "off",
            "hot_standby": "off",  # who is let in can write
        }
        more = [f"--{name}={value}" for name, value in settings.items()]
        server = Bare(
            [f"{program('postgres').folder}/postgres", "-D", str(into), *more, *options],
            into.parent,
            self.owner,
            answers,
        )
        try:
            yield server.start
        finally:
            server.stop()
            shutil.rmtree(into, ignore_errors=True)


def of(cli: Cli) -> Source:
    """The one of a stack."""
    data = cli.state / "servers/mng-pg/data"
    _, _, _, port, sockets, *_ = (data / "postmaster.pid").read_text().splitlines()
    login = conninfo_to_dict(cli.ok("url", "postgres").strip())
    state = data.stat()
    owner = (state.st_uid, state.st_gid) if os.geteuid() == 0 else None
    return Source(data, sockets, int(port), str(login["user"]), str(login["password"]), owner)
