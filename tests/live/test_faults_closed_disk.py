"""A file system to which nothing can be written: read-only, or without a free inode."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.live import faults

pytestmark = [pytest.mark.live, pytest.mark.root]

#: Files that a file system has room for.
INODES = 6000
UNITS = {"mng-pg", "mng-redis", "mng-mongo"}


@pytest.fixture
def small(cli: Cli) -> Iterator[Path]:
    """A file system with few inodes, for the servers' data; `cli.folder` gets a short name."""
    root = cli.folder
    cli.folder = Path(tempfile.mkdtemp(prefix="mngdb-", dir="/tmp"))
    path = cli.folder / "small"
    path.mkdir()
    faults.passable(cli.folder)
    options = f"size=1g,nr_inodes={INODES},mode=755"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "t", path], check=True)
    cli.write("target: {local: {data: small}}\n" + faults.STACK)
    yield path
    remount(path, "rw")
    shutil.rmtree(path / "filler", ignore_errors=True)
    cli.ok("destroy", "--yes", "mng")
    subprocess.run(["umount", path], check=True)
    shutil.rmtree(cli.folder)
    cli.folder = root


def remount(path: Path, how: str) -> None:
    """As the kernel does when a disk fails: also under files that are being written."""
    subprocess.run(["mount", "-o", f"remount,{how}", path], check=True)


def fill(path: Path) -> None:
    """Take every inode."""
    (path / "filler").mkdir()
    with suppress(OSError):
        for number in range(INODES):
            (path / "filler" / str(number)).touch()


def doctor(cli: Cli) -> tuple[str, set[str]]:
    """The one cause, and what it leads to; there is nothing beside it."""
    found = json.loads(cli.run("doctor", "--json").stdout)
    assert found["others"] == []
    assert found["cause"]["cause"] == "disk-closed"
    return found["cause"]["text"], {one["cause"] for one in found["cause"]["consequences"]}


def test_a_read_only_file_system_is_the_cause_of_all_that_follows(cli: Cli, small: Path) -> None:
    cli.ok("up")
    cli.ok("down")
    remount(small, "ro")
    text, below = doctor(cli)
    assert text == f"the file system of {faults.servers(cli)} is read-only: nothing can be written"
    assert "not-running" in below
    done = cli.run("up")
    assert done.returncode == 1
    assert "Read-only file system" in done.stderr or "is read-only" in done.stderr
    assert "no output" not in done.stderr
    remount(small, "rw")
    cli.ok("up")
    faults.sound(cli, UNITS)


def test_a_file_system_without_inodes_is_the_cause_of_all_that_follows(
    cli: Cli, small: Path
) -> None:
    cli.ok("up")
    fill(small)
    for unit in UNITS:
        faults.kill(cli, unit)
    text, below = doctor(cli)
    where = faults.servers(cli)
    assert text == f"the file system of {where} has no free inodes: nothing can be written"
    assert "not-running" in below
    done = cli.run("up")
    assert done.returncode == 1
    assert "has no free inodes" in done.stderr, done.stderr
    assert "no output" not in done.stderr
    shutil.rmtree(small / "filler")
    cli.ok("up")
    faults.sound(cli, UNITS)
    cli.ok("doctor")


def test_a_first_up_without_inodes_says_so(cli: Cli, small: Path) -> None:
    fill(small)
    done = cli.run("up")
    assert done.returncode == 1
    assert "has no free inodes" in done.stderr
    shutil.rmtree(small / "filler")
    cli.ok("up")
