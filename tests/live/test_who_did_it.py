"""The audit log names who really runs mngdb; an account without a name works, or is told so before
anything is written."""

from __future__ import annotations

import json
import os
import pwd
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Cli
from tests.live import faults
from tests.live.test_faults_users import UserCli, reachable

pytestmark = [pytest.mark.live, pytest.mark.root]
NAMELESS = 54_321
#: What anybody may write into the environment.
CLAIMED = dict.fromkeys(("LOGNAME", "USER", "LNAME", "USERNAME", "SUDO_USER"), "mallory")


def rendered(cli: Cli) -> dict[str, Any]:
    """What the audit log says of a command that changes something and needs no server."""
    cli.ok("render", "compose", "--target", "compose")
    line = (cli.state / "audit.log").read_text().splitlines()[-1]
    found: dict[str, Any] = json.loads(line)
    return found


@pytest.fixture
def project() -> Iterator[UserCli]:
    """A project of an account that has no line in /etc/passwd, as in CI."""
    with (
        reachable(NAMELESS, NAMELESS) as python,
        tempfile.TemporaryDirectory(prefix="mngdb-", dir="/tmp") as folder,
    ):
        os.chown(folder, NAMELESS, NAMELESS)
        found = UserCli(Path(folder), uid=NAMELESS, gid=NAMELESS, python=python)
        found.write(faults.REDIS)
        os.chown(found.folder / "mngdb.yaml", NAMELESS, NAMELESS)
        yield found


def test_the_audit_log_does_not_believe_the_environment(cli: Cli) -> None:
    cli.write(faults.REDIS)
    cli.env |= CLAIMED
    found = rendered(cli)
    assert (found["user"], found["uid"]) == ("root", 0)
    assert "mallory" not in json.dumps(found)
    for wrong in ("mallory", "-1", "99999999999999999999", str(NAMELESS), "０"):
        cli.env["SUDO_UID"] = wrong
        (cli.state / "secrets/redis_shop").unlink()
        assert "sudo_user" not in rendered(cli)


def test_the_audit_log_names_who_used_sudo(cli: Cli) -> None:
    cli.write(faults.REDIS)
    cli.env |= CLAIMED | {"SUDO_UID": str(pwd.getpwnam("daemon").pw_uid)}
    found = rendered(cli)
    assert (found["user"], found["sudo_user"]) == ("root", "daemon")


def test_without_a_name_of_its_own_an_account_can_render(project: UserCli) -> None:
    found = rendered(project)
    assert (found["user"], found["uid"]) == (str(NAMELESS), NAMELESS)
    assert "sudo_user" not in found


def test_without_a_name_of_its_own_up_is_refused_before_anything_is_written(
    project: UserCli,
) -> None:
    before = sorted(project.folder.glob("*"))
    assert "Traceback" not in project.run("check").stderr
    for command in ("up", "plan", "status"):
        refused = project.run(command)
        assert refused.returncode in {1, 2}
        assert f"the user id {NAMELESS} has no account" in refused.stderr, refused.stderr
    # but for a cache of programs' versions, in the home directory
    assert {*project.folder.iterdir()} - {project.folder / ".cache"} == {*before}


def test_a_home_that_is_not_known_is_told(project: UserCli) -> None:
    project.write("target: {local: {data: ~nobody-of-that-name/x}}\n" + faults.REDIS)
    refused = project.run("up")
    assert refused.returncode == 2
    assert "~nobody-of-that-name/x: no such home directory" in refused.stderr
