"""`target: {local: {data: …}}`: only where nobody else can put another folder in its place."""

from __future__ import annotations

import grp
import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.live import faults
from tests.live.test_faults_users import UserCli, account, python, user

__all__ = ["account", "python", "user"]
pytestmark = [pytest.mark.live, pytest.mark.root]


def in_folder(cli: Cli, folder: Path) -> None:
    """Write a file whose data is below a folder."""
    folder.mkdir()
    cli.write(f"target: {{local: {{data: {folder}/data}}}}\n" + faults.REDIS)


def refusal(cli: Cli) -> str:
    """What `plan` and `up` say that refuse the folder."""
    done = cli.run("up")
    assert done.returncode == 1
    assert "the servers' data cannot be in" in done.stderr
    assert cli.run("plan").returncode == 1
    return done.stderr


def test_data_in_a_folder_that_another_account_can_replace_is_refused(
    cli: Cli, tmp_path: Path
) -> None:
    theirs = tmp_path / "theirs"
    in_folder(cli, theirs)
    os.chown(theirs, 54321, 54321)
    assert f"{theirs} belongs to the user id 54321" in refusal(cli)
    os.chown(theirs, 0, 0)


@pytest.mark.parametrize(
    ("group", "called"), [(grp.getgrnam("staff").gr_gid, "group staff"), (54321, "group id 54321")]
)
def test_data_in_a_folder_that_a_group_can_rename_is_refused(
    cli: Cli, tmp_path: Path, group: int, called: str
) -> None:
    ours = tmp_path / "ours"
    in_folder(cli, ours)
    os.chown(ours, 0, group)
    ours.chmod(0o2775)
    said = refusal(cli)
    assert f"{ours} is writable by the {called}" in said
    assert f"hint: chmod go-w {ours}" in said
    ours.chmod(0o3775)  # sticky: each member renames what is its own
    cli.ok("plan")
    ours.chmod(0o2755)
    cli.ok("plan")


def test_an_accounts_private_group_may_write_until_somebody_joins_it(user: UserCli) -> None:
    ours = user.folder / "ours"
    in_folder(user, ours)
    os.chown(ours, user.uid, user.gid)
    ours.chmod(0o2775)
    user.ok("plan")
    name = grp.getgrgid(user.gid).gr_name
    subprocess.run(["gpasswd", "--add", "daemon", name], check=True, capture_output=True)
    try:
        assert f"{ours} is writable by the group {name}" in refusal(user)
    finally:
        subprocess.run(["gpasswd", "--delete", "daemon", name], check=True, capture_output=True)
    user.ok("plan")
