"""`check`: three engines warm, a thousand servers, two hundred databases; and beside the tools that
judge a PostgreSQL and install here, on the same server, with the number of findings.

pgdsat, which the issue names, is to be had from its repository alone. pg-perf-check (PyPI) asks of
performance; check_postgres (Debian) is Nagios' plug-in, one question a call.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests import peers
from tests.checks.postgres_server import PASSWORD, Server, stock
from tests.conftest import Cli, free_port
from tests.debian import redis_folder

from benchmarks.cold_up import FILE
from benchmarks.commands import SCRIPT
from benchmarks.common import Row, call, median, python, seconds, stack
from mngdb.targets.local import programs

#: Instances of the file, and the real servers that they are: twenty names for each.
INSTANCES, SERVERS = 1000, 50
DATABASES = 200
_SECRET = "benchmark-of-a-thousand-redis-servers-00"
#: Questions of check_postgres that need no threshold of the user's and no file of the server's.
_ACTIONS = (
    "archive_ready", "autovac_freeze", "backends", "bloat", "commitratio", "connection",
    "database_size", "disabled_triggers", "hitratio", "last_analyze", "last_vacuum", "locks",
    "prepared_txns", "query_time", "replication_slots", "sequence", "txn_idle", "txn_time",
    "txn_wraparound", "wal_files",
)  # fmt: skip
#: An app's database as there are many: a key without an index, an index twice, a scan under load.
_APP = (
    "CREATE TABLE buyer (id int PRIMARY KEY, name text)",
    "CREATE TABLE bought (id int PRIMARY KEY, buyer int REFERENCES buyer, note text)",
    "INSERT INTO buyer SELECT g, g::text FROM generate_series(1, 20000) g",
    "INSERT INTO bought SELECT g, g % 20000 + 1, repeat('x', 90) FROM generate_series(1, 200000) g",
    "CREATE INDEX one ON bought (note)",
    "CREATE INDEX same ON bought (note)",
    "ANALYZE",
    *["SELECT count(*) FROM bought WHERE buyer = 7"] * 20,
)


def rows() -> Iterator[Row]:
    """All rows."""
    yield _warm()
    yield _thousand()
    with stock() as server, _external(server) as cli:
        server.sql("CREATE DATABASE shop")
        server.sql(*_APP, database="shop")
        yield from _beside(server, cli)
    with stock() as server, _external(server) as cli:
        yield _many(server, cli)


def _warm(rounds: int = 9) -> Row:
    with stack(FILE) as cli:
        cli.ok("up")
        cli.env["APP_ENV"] = json.dumps(cli.env_of("shop"))
        ours, script = [], []
        for _ in range(rounds):
            script.append(seconds(lambda: call(python(SCRIPT), cli)))
            took, _, report = _checked(cli)
            ours.append(took)
    return Row(
        f"`check` of three engines, warm: {_counted(report)}", median(ours), median(script),
        "script with the three drivers, one query each", "≤ 1.0 s", median(ours) <= 1.0,
    )  # fmt: skip


def _thousand() -> Row:
    with ExitStack() as held:
        cli = held.enter_context(stack("name: mng\nredis: {port: PORT1}\n"))
        ports = [held.enter_context(_redis(cli.folder)) for _ in range(SERVERS)]
        lines = (
            f"  r{n}: {{engine: redis, target: {{external: {{url: "
            f'"redis://default@127.0.0.1:{ports[n % SERVERS]}"}}}}}}\n'
            for n in range(INSTANCES)
        )
        cli.write("name: mng\ninstances:\n" + "".join(lines))
        folder = cli.folder / ".mngdb/secrets"
        folder.mkdir(mode=0o700, parents=True)
        for n in range(INSTANCES):
            (folder / f"r{n}_admin").touch(0o600)
            (folder / f"r{n}_admin").write_text(_SECRET)
        client = str(redis_folder() / "redis-cli")
        loop = "\n".join(
            f"'{client}' -p {ports[n % SERVERS]} CONFIG GET '*'" for n in range(INSTANCES)
        )
        cli.env["REDISCLI_AUTH"] = _SECRET
        peer = seconds(lambda: call(["/bin/sh", "-c", loop], cli))
        took, memory, report = _checked(cli)
    return Row(
        f"`check` of {INSTANCES:,} external Redis ({SERVERS} servers, {INSTANCES // SERVERS} names "
        f"for each): {_counted(report)}, {memory >> 20} MB",
        took, peer, "redis-cli CONFIG GET of each, in turn", "≤ 10 s", took <= 10,
    )  # fmt: skip


def _many(server: Server, cli: Cli) -> Row:
    with server.connect() as connection:
        for n in range(DATABASES):
            connection.execute(f"CREATE DATABASE bench{n} STRATEGY file_copy")
    server.sql("CHECKPOINT")
    cli.env["PGPASSWORD"] = PASSWORD
    where = f"-h 127.0.0.1 -p {server.port} -U postgres"
    loop = "\n".join(
        f"'{server.bin}/psql' {where} -d bench{n} -c '\\dt+'" for n in range(DATABASES)
    )
    peer = seconds(lambda: call(["/bin/sh", "-c", loop], cli))
    took, memory, report = _checked(cli)
    unknown = report["summary"]["unknown"]  # type: ignore[index]
    return Row(
        f"`check` of an external PostgreSQL with {DATABASES} databases: {_counted(report)}, "
        f"{unknown} unknown, {memory >> 20} MB",
        took, peer, "psql '\\dt+' in each, in turn", "≤ 10 s", took <= 10 and not unknown,
    )  # fmt: skip


def _beside(server: Server, cli: Cli, rounds: int = 5) -> Iterator[Row]:
    """The same server, in turns."""
    url = f"postgresql://postgres:{PASSWORD}@127.0.0.1:{server.port}/shop"
    cli.env |= {"DATABASE_URL": url, "PGPASSWORD": PASSWORD}
    cli.env["PATH"] = f"{server.bin}:{os.environ['PATH']}"
    code = "import sys; from pg_perf_check.cli import main; sys.exit(main())"
    perf = [str(peers.perf_check()), "-I", "-c", code, "--json", "--quiet"]
    ours, first, second = [], [], []
    for _ in range(rounds):
        took, _, report = _checked(cli)
        ours.append(took)
        begun = time.perf_counter()
        said = json.loads(_said(perf, cli).stdout)
        first.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        plugin = [_said(_plugin(server, action), cli).returncode for action in _ACTIONS]
        second.append(time.perf_counter() - begun)
    what = f"`check` of a stock PostgreSQL with an app's database: {_counted(report)}"
    asked, found = len(said["checks"]), len(said["findings"])
    name = f"pg-perf-check: {asked} checks, {found} findings"
    yield Row(what, median(ours), median(first), name, "–", True)
    # 1: warning, 2: critical; 3: not answered
    found = sum(code in {1, 2} for code in plugin)
    name = f"check_postgres, {len(_ACTIONS)} calls: {found} findings"
    yield Row(what, median(ours), median(second), name, "–", True)


def _plugin(server: Server, action: str) -> list[str]:
    where = ["--host", "127.0.0.1", "--port", str(server.port), "--dbuser", "postgres"]
    return [str(peers.check_postgres()), *where, "--dbname", "shop", "--action", action]


def _checked(cli: Cli) -> tuple[float, int, dict[str, object]]:
    """Seconds, bytes of memory at the most, and the report."""
    with (cli.folder / "report.json").open("w+") as output:
        begun = time.perf_counter()
        process = subprocess.Popen(
            cli.argv("--json", "check"), cwd=cli.folder, env=cli.environ(), stdout=output
        )
        memory = 0
        # the kernel's own peak of a child that was waited for begins with that of its parent
        while process.poll() is None:
            memory = max(memory, _peak(process.pid))
            time.sleep(0.005)
        took = time.perf_counter() - begun
        output.seek(0)
        report = json.load(output)
    if process.returncode not in {0, 1} or "summary" not in report:
        raise RuntimeError(f"check exited {process.returncode}: {report}")
    return took, memory, report


def _peak(pid: int) -> int:
    """The most memory that the process has had, in bytes; 0 when it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM")), 0)


def _counted(report: dict[str, object]) -> str:
    summary: dict[str, int] = report["summary"]  # type: ignore[assignment]
    asked = sum(summary.values()) - summary["not_applicable"]
    return f"{asked:,} questions, {summary['fail']:,} findings"


def _said(argv: list[str], cli: Cli) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv, cwd=cli.folder, env=cli.environ(), capture_output=True, text=True, check=False
    )


@contextmanager
def _external(server: Server) -> Iterator[Cli]:
    url = f"postgresql://postgres@127.0.0.1:{server.port}/postgres"
    with stack(f'name: mng\npostgres: {{target: {{external: {{url: "{url}"}}}}}}\n') as cli:
        cli.ok("secret", "set", "postgres_admin", stdin=PASSWORD)
        yield cli


@contextmanager
def _redis(folder: Path) -> Iterator[int]:
    port, server = free_port(), programs.find("redis", "8", None, None).server
    argv = [server, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
    process = subprocess.Popen(
        [*argv, "--requirepass", _SECRET, "--databases", "1"], stdout=subprocess.DEVNULL
    )
    try:
        yield port
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    for one in rows():
        print(one.markdown(), file=sys.stderr, flush=True)
