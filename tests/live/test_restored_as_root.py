"""Data that was copied back without its owners, as root does: `up` gives it to the servers'
accounts, or says whose what is and what helps."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.live import faults

pytestmark = [pytest.mark.live, pytest.mark.root]

UNITS = {"mng-pg", "mng-redis", "mng-mongo"}
STRANGER = 54321


@pytest.fixture
def stopped(cli: Cli) -> faults.Data:
    """Three servers with something in them, that do not run."""
    cli.write(faults.STACK)
    cli.ok("up")
    data = faults.Data(cli)
    data.write("one")
    cli.ok("down")
    return data


def owners(folder: Path) -> set[int]:
    return {path.lstat().st_uid for path in [folder, *folder.rglob("*")]}


def works(data: faults.Data) -> None:
    """All run, with what they had, and no file of theirs is root's."""
    cli = data.cli
    cli.ok("up")
    assert data.read() == [["one"]] * 3
    faults.sound(cli, UNITS)
    for unit in UNITS:
        folder = faults.servers(cli) / unit
        assert len(owners(folder / "data") | owners(folder / "run")) == 1
        assert 0 not in owners(folder / "data")
        assert (folder / "conf").stat().st_uid == 0


@pytest.mark.parametrize("what", ["data", "conf run", "."])
def test_what_root_took_is_given_back_by_up(stopped: faults.Data, what: str) -> None:
    for unit in UNITS:
        for name in what.split():
            path = faults.servers(stopped.cli) / unit / name
            subprocess.run(["chown", "-R", "root:root", path], check=True)
    works(stopped)


def test_a_copy_that_root_made_without_owners_works(stopped: faults.Data) -> None:
    for unit in UNITS:
        data = faults.servers(stopped.cli) / unit / "data"
        saved = data.with_name("saved")
        subprocess.run(["cp", "-r", data, saved], check=True)
        shutil.rmtree(data)
        saved.rename(data)
    works(stopped)


def test_a_link_and_a_file_of_two_names_are_not_given_away(
    stopped: faults.Data, tmp_path: Path
) -> None:
    data = faults.servers(stopped.cli) / "mng-redis/data"
    outside = data.parent.parent.parent / "precious"
    outside.write_text("root's")
    (tmp_path / "precious").write_text("root's")
    os.link(outside, data / "hard")
    (data / "soft").symlink_to(tmp_path / "precious")
    subprocess.run(["chown", "root:root", data], check=True)
    stopped.cli.ok("up")
    assert outside.stat().st_uid == 0
    assert (tmp_path / "precious").stat().st_uid == 0
    outside.unlink()


@pytest.mark.parametrize("unit", sorted(UNITS))
def test_data_of_another_account_is_named_with_the_remedy_that_works(
    stopped: faults.Data, unit: str
) -> None:
    cli = stopped.cli
    data = faults.servers(cli) / unit / "data"
    subprocess.run(["chown", "-R", str(STRANGER), data], check=True)
    done = cli.run("up")
    assert done.returncode == 1
    assert f"{data} belongs to the user id {STRANGER}, and the server runs as mngdb-" in done.stderr
    (hint,) = [line for line in done.stderr.splitlines() if "chown -R" in line]
    command = hint.removeprefix("  hint: ").partition(";")[0]
    subprocess.run(command.split(), check=True)
    works(stopped)
