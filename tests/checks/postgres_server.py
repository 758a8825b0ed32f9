"""A PostgreSQL server that a test starts by hand, as somebody would who never heard of mngdb."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from mngdb.run import Account, run
from mngdb.targets.local import copied, programs
from mngdb.targets.process import machine
from tests.conftest import Cli, free_port

PASSWORD = "postgres"


@dataclass
class Server:
    """As initdb makes it, with the password that everybody tries first."""

    bin: Path
    account: Account | None
    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def user(self) -> dict[str, Any]:
        """For subprocesses: who the server runs as."""
        if self.account is None:
            return {}
        return {"user": self.account.uid, "group": self.account.gid, "extra_groups": []}

    def own(self, path: Path, mode: int = 0o600) -> Path:
        """Hand a file to the server's account."""
        path.chmod(mode)
        if self.account:
            os.chown(path, self.account.uid, self.account.gid)
        return path

    def write(self, name: str, text: str | bytes) -> Path:
        """A file in the data folder."""
        path = self.data / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return self.own(path)

    def tool(self, name: str, *arguments: str) -> None:
        """Run one of the server's programs."""
        argv = [str(self.bin / name), *arguments]
        run(argv, timeout=300, account=self.account, cwd=self.folder)

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(self.bin / "postgres"), "-D", str(self.data)],
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                **self.user,
            )
        end = time.monotonic() + 60
        while not self._answers():
            said = (self.folder / "log").read_text()
            assert self.process.poll() is None, said
            assert time.monotonic() < end, said
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            self.sql("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(120)
            finally:
                self.process.send_signal(signal.SIGQUIT)

    def connect(self, database: str = "postgres", **more: Any) -> psycopg.Connection[Any]:
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user="postgres",
            password=PASSWORD,
            dbname=database,
            autocommit=True,
            **more,
        )

    def sql(self, *statements: str, database: str = "postgres") -> list[Any]:
        """The rows of the last of several statements."""
        with self.connect(database) as connection:
            for one in statements:
                cursor = connection.execute(one)
            return cursor.fetchall() if cursor.description else []

    def until(self, query: str) -> None:
        """Wait until the query's only value is true."""
        end = time.monotonic() + 60
        while not self.sql(query)[0][0]:
            assert time.monotonic() < end, query
            time.sleep(0.02)


@contextmanager
def stock() -> Iterator[Server]:
    """A server with its package's defaults, started."""
    found = programs.find("postgres", Cli.postgres or "17", None, None)
    account = machine.account(None)
    if account:
        found = copied.reachable(found, account.uid, Path("/var/lib/mngdb/programs"), alone=False)
    # not pytest's folder: that one the server's account cannot enter
    folder = Path(tempfile.mkdtemp(prefix="mngdb-checks-"))
    server = Server(Path(found.folder), account, folder)
    try:
        server.own(folder, 0o700)
        (folder / "pw").write_text(PASSWORD)
        server.own(folder / "pw")
        server.tool(
            "initdb",
            f"--pgdata={server.data}",
            "--username=postgres",
            f"--pwfile={folder / 'pw'}",
            "--locale=C.UTF-8",
            "--no-sync",
            "--auth=trust",
        )
        with (server.data / "postgresql.conf").open("a") as conf:
            conf.write(f"port = {server.port}\nunix_socket_directories = '{folder}'\n")
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)
