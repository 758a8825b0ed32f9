"""Disks that are full while backups are taken, kept and restored: the store's, and the data's own.

One Redis whose agent archives its log; its state and the store are small file systems.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from tests.conftest import Cli
from tests.live import faults
from tests.live.one_redis import client, get, put
from tests.live.scrapes import until

pytestmark = [pytest.mark.live, pytest.mark.root]

FILE = """
agent: {ports: {mngdb: PORT2, redis: PORT3}}
redis: {port: PORT1, memory: 64 MB}
apps: {shop: {redis: "shop:*"}}
backup: {store: STORE, at: "00:00", drill: {every: 365d}}
"""
#: Bytes of a value that does not compress.
_LARGE = 12 << 20


class Small(Cli):
    """A stack on small disks."""

    @property
    def disk(self) -> Path:
        """That of the stack's own folder."""
        return self.folder.parent / "state"

    @property
    def store(self) -> Path:
        """The store's."""
        return self.folder.parent / "store"

    @property
    def objects(self) -> set[str]:
        """What is in the store."""
        return {str(one) for one in self.store.rglob("*") if one.is_file()}


@pytest.fixture(scope="module")
def cli() -> Iterator[Small]:
    """With a first snapshot, made by the agent, and a drill of it."""
    root = Path(tempfile.mkdtemp(prefix="mngdb-", dir="/tmp"))
    root.chmod(0o755)
    mounted = [root / "state", root / "store"]
    for path in (*mounted, root / "project"):
        path.mkdir()
    for path in mounted:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128m,mode=755", "t", path], check=True)
    found = Small(root / "project", {"MNGDB_STATE_HOME": str(root / "state" / "stacks")})
    try:
        found.write(FILE.replace("STORE", str(root / "store" / "backups")))
        found.ok("up")
        put(found, "first")
        until(lambda: bool(snapshots(found)) and snapshots(found)[0]["proved"], 90)
        yield found
    finally:
        for path in mounted:
            (path / "filler").unlink(missing_ok=True)
        found.run("restore", "--forget")
        found.ok("destroy", "--yes", "mng")
        for path in mounted:
            subprocess.run(["umount", path], check=True)
        shutil.rmtree(root)


@contextmanager
def full(disk: Path, left: int = 0) -> Iterator[None]:
    """In the block, so many bytes of a disk are free."""
    filler = disk / "filler"
    if left:
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(disk).free - left)
    else:
        faults.fill(disk)
    try:
        yield
    finally:
        filler.unlink()


def snapshots(cli: Cli) -> Any:
    return cli.json("backups")["instances"][0]["snapshots"]


def archive(cli: Cli) -> Any:
    """What the agent says of the log."""
    return json.loads((cli.state / "archive" / "redis").read_text())


def archived(cli: Cli) -> float:
    return float(archive(cli)["until"])


def restored(cli: Cli, moment: float) -> Any:
    """The app's value then."""
    text = datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
    found = cli.json("restore", "redis", "--to", text)
    host, _, port = found["address"].rpartition(":")
    with client(cli) as live:
        login = live.connection_pool.connection_kwargs
    with Redis(host, int(port), username=login["username"], password=login["password"]) as beside:
        value = beside.get("shop:value")
    cli.ok("restore", "--forget")
    return value.decode() if isinstance(value, bytes) else value


def test_a_full_store_ends_the_backup_and_the_log_waits(cli: Small) -> None:
    before = snapshots(cli)
    with full(cli.store):
        objects = cli.objects
        done = cli.run("backup")
        assert (done.returncode, "No space left" in done.stderr) == (1, True), done.stderr
        put(cli, "meanwhile")
        time.sleep(0.1)  # a moment of Redis' log is known to so much
        moment = time.time()
        until(lambda: "No space left" in archive(cli)["error"])
        assert archived(cli) < moment
        pruned = cli.json("backup", "prune", "--yes")
        assert (pruned["snapshots"], pruned["log"]) == ([], {})
        assert cli.objects == objects
        assert snapshots(cli) == before
        assert cli.json("drill")["drills"][0]["verdict"] == "pass"
        time.sleep(2.5)  # it has tried again
        log = (cli.state / "agent" / "agent.log").read_text()
        assert log.count("archive of redis: cannot write") == 1, "it is told once"
    until(lambda: archived(cli) > moment, 40)
    assert archive(cli)["error"] == ""
    (glance,) = cli.json("status")["backups"]
    assert glance["error"].startswith("the backup of 20"), "it is of then"
    assert restored(cli, moment) == "meanwhile"
    assert cli.json("verify")["verdict"] == "pass"
    cli.ok("backup")


def test_a_full_disk_of_the_server_ends_the_backup_and_no_log(cli: Small) -> None:
    before = snapshots(cli)
    with full(cli.disk):
        objects = cli.objects
        done = cli.run("backup")
        assert (done.returncode, "No space left" in done.stderr) == (1, True), done.stderr
        time.sleep(2)  # what is known is noted again and again
        assert snapshots(cli) == before
        snapshot = {one for one in cli.objects - objects if ".log/" not in one}
        assert not snapshot, "a backup that cannot be noted would be made again and again"
    put_again(cli, "afterwards")
    time.sleep(0.1)  # a moment of Redis' log is known to so much
    moment = time.time()
    until(lambda: archived(cli) > moment, 40)
    assert restored(cli, moment) == "afterwards"
    assert cli.json("verify")["verdict"] == "pass"


def put_again(cli: Cli, value: str) -> None:
    """Once the server takes it: it refuses writes until it has looked at its disk again."""

    def took() -> bool:
        try:
            put(cli, value)
        except ResponseError:
            return False
        return True

    until(took)


def test_a_disk_that_is_too_small_for_a_restore_is_told_and_nothing_is_left(cli: Small) -> None:
    with client(cli) as redis:
        redis.set("shop:large", os.urandom(_LARGE))
    cli.ok("backup")
    put(cli, "live")
    with full(cli.disk, _LARGE // 2):
        for command in ("restore", "redis", "--latest"), ("drill",):
            done = cli.run(*command)
            assert (done.returncode, "restoring needs" in done.stderr) == (1, True), done.stderr
    with (
        full(cli.disk, 3 * _LARGE),  # enough, when it begins
        faults.begin(cli, "restore", "redis", "--latest") as restore,
    ):
        restored = cli.state / "restored"
        faults.halted_when(restore, lambda: list(restored.glob("*/restored.json")))
        faults.fill(cli.disk)
        faults.go_on(restore)
        said = restore.communicate(timeout=60)[1]
    assert (restore.returncode, "No space left" in said) == (1, True), said
    assert str(cli.state / "restored") in said
    assert not list((cli.state / "restored").glob("*/"))
    assert not list((cli.state / "drills").glob("*/"))
    assert get(cli) == "live"
    assert cli.json("drill")["drills"][0]["verdict"] == "pass"
