"""Full disks, on small file systems of their own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from tests.conftest import Cli
from tests.live import faults

pytestmark = [pytest.mark.live, pytest.mark.root]


@pytest.fixture
def small(cli: Cli) -> Iterator[Path]:
    """A file system of 96 MB, mounted at `small` in the test's folder, which gets a short name: a
    longer one has the sockets and pid files in /tmp."""
    root = cli.folder
    cli.folder = Path(tempfile.mkdtemp(prefix="mngdb-", dir="/tmp"))
    path = cli.folder / "small"
    path.mkdir()
    faults.passable(cli.folder)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m,mode=755", "t", path], check=True)
    yield path
    cli.folder = path.parent
    (path / "filler").unlink(missing_ok=True)
    if (path.parent / ".mngdb").exists() or (path / ".mngdb").exists():
        cli.ok("destroy", "--yes", "mng")
    subprocess.run(["umount", path], check=True)
    shutil.rmtree(path.parent)
    cli.folder = root


def one_sentence(done: subprocess.CompletedProcess[str]) -> str:
    """The error of a command that failed for want of space."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    return errors[0]


@pytest.mark.parametrize("engine", ["postgres", "redis"])
def test_up_on_a_full_disk_says_so_and_works_once_there_is_space(
    cli: Cli, small: Path, engine: str
) -> None:
    stack = faults.POSTGRES if engine == "postgres" else faults.REDIS
    cli.write("target: {local: {data: small}}\n" + stack)
    filler = faults.fill(small)
    assert "No space left on device" in one_sentence(cli.run("up"))
    filler.unlink()
    cli.ok("up")
    faults.sound(cli, {"mng-pg" if engine == "postgres" else "mng-redis"})


def test_initdb_that_runs_out_of_space_leaves_no_half_data_folder(cli: Cli, small: Path) -> None:
    cli.write("target: {local: {data: small}}\n" + faults.POSTGRES)
    filler = small / "filler"
    filler.write_bytes(b"\0" * (80 << 20))
    said = one_sentence(cli.run("up"))
    assert "No space left on device" in said
    assert "initdb failed with exit code 1" in said
    assert list(faults.servers(cli).glob("mng-pg/data*")) == []
    assert faults.settle(cli) == set()
    filler.unlink()
    cli.ok("up")
    faults.sound(cli, {"mng-pg"})


def test_a_stopped_server_on_a_full_disk_keeps_its_data(cli: Cli, small: Path) -> None:
    cli.write("target: {local: {data: small}}\n" + faults.POSTGRES)
    cli.ok("up")
    url = cli.env_of("shop")["POSTGRES_URL"]
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")
    cli.ok("down")
    filler = faults.fill(small)
    done = cli.run("up")  # PostgreSQL may start: it writes into files that it has
    assert done.returncode == 0 or "No space left on device" in one_sentence(done)
    filler.unlink()
    cli.ok("up")
    faults.sound(cli, {"mng-pg"})
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT sum(n) FROM kept").fetchone() == (500500,)


def test_a_disk_that_fills_while_running_is_what_doctor_says(cli: Cli, small: Path) -> None:
    cli.write("target: {local: {data: small}}\n" + faults.POSTGRES)
    cli.ok("up")
    cli.ok("doctor", "shop")
    filler = faults.fill(small)
    done = cli.run("doctor", "shop")
    status = cli.run("status")
    again = cli.run("up")
    whole = json.loads(cli.run("--json", "doctor").stdout)
    faults.kill(cli, "mng-pg")
    dead = json.loads(cli.run("--json", "doctor").stdout)
    filler.unlink()
    assert done.returncode == 1
    assert "disk is full" in done.stdout
    # it answers, and refuses each write
    assert (status.returncode, "healthy" in status.stdout) == (1, True)
    assert "mng-pg/data is full: 0 MB left: writes fail" in status.stderr
    assert "mng-pg/data is full: 0 MB left: writes fail" in again.stderr
    for found, consequence in ((whole, "login-disk"), (dead, "not-running")):
        assert found["cause"]["cause"] == "disk-full"
        assert re.search(r"the disk under .*mng-pg/data is full: 0 MB", found["cause"]["text"])
        assert consequence in [one["cause"] for one in found["cause"]["consequences"]]
        assert found["others"] == []
    cli.ok("up")
    cli.ok("doctor", "shop")


def test_a_full_project_disk_leaves_no_half_secret_and_down_still_works(
    cli: Cli, small: Path
) -> None:
    cli.folder = small
    cli.env["MNGDB_STATE_HOME"] = str(small / "state")
    cli.write(faults.REDIS)
    filler = faults.fill(small)
    assert "No space left on device" in cli.run("up").stderr
    assert [p.stat().st_size for p in small.glob("state/stacks/*/secrets/*")] in ([], [40, 40])
    filler.unlink()
    shutil.rmtree(small / "state", ignore_errors=True)
    shutil.rmtree(small / ".mngdb", ignore_errors=True)
    del cli.env["MNGDB_STATE_HOME"]  # the project's disk alone is full from here on
    cli.ok("up")
    faults.sound(cli, {"mng-redis"})
    faults.fill(small)
    assert cli.run("down").returncode in {0, 1}
    assert faults.running(cli) == set()
    assert cli.ok("destroy", "--yes", "mng") == "removed mng\n"


def test_a_server_that_cannot_stop_on_a_full_disk_is_told_and_stops_once_there_is_space(
    cli: Cli, small: Path
) -> None:
    cli.write("target: {local: {data: small}}\n" + faults.REDIS)
    cli.ok("up")
    with redis.Redis.from_url(cli.env_of("shop")["REDIS_URL"]) as client:
        for number in range(20):
            client.set(f"shop:{number}", os.urandom(1 << 20))
    filler = faults.fill(small)
    begun = time.monotonic()
    said = one_sentence(cli.run("down"))
    assert time.monotonic() - begun < 60
    assert "mng-redis" in said
    assert "is full" in said
    filler.unlink()
    cli.ok("down")
    cli.ok("up")
    with redis.Redis.from_url(cli.env_of("shop")["REDIS_URL"]) as client:
        assert len(list(client.scan_iter("shop:*"))) == 20


def test_data_whose_disk_is_not_mounted_is_not_made_anew(cli: Cli, small: Path) -> None:
    cli.write("target: {local: {data: small}}\n" + faults.REDIS)
    cli.ok("up")
    cli.ok("down")
    elsewhere = cli.folder / "elsewhere"
    elsewhere.mkdir()
    subprocess.run(["mount", "--move", small, elsewhere], check=True)
    said = one_sentence(cli.run("up"))
    assert "which does not exist" in said
    assert list(small.iterdir()) == []
    subprocess.run(["mount", "--move", elsewhere, small], check=True)
    cli.ok("up")
    faults.sound(cli, {"mng-redis"})


def test_destroy_leaves_what_else_is_in_the_data_folder(cli: Cli) -> None:
    cli.write("target: {local: {data: mine}}\n" + faults.REDIS)
    (cli.folder / "mine").mkdir(mode=0o755)
    (cli.folder / "mine" / "letter").write_text("dear")
    faults.passable(cli.folder)
    cli.ok("up")
    cli.ok("destroy", "--yes", "mng")
    assert [p.name for p in (cli.folder / "mine").iterdir()] == ["letter"]
    assert (cli.folder / "mine").stat().st_mode & 0o777 == 0o755
