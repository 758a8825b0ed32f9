"""A unit belongs to its stack: it is found, and goes on starting it, where the project is moved."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests import systemd
from tests.conftest import Cli
from tests.e2e.test_boot import NOTE
from tests.live import faults
from tests.live.test_faults_users import UserCli, account, python, user

__all__ = ["account", "python", "user"]
pytestmark = [pytest.mark.live, pytest.mark.root]
NAME = "mngdb-mng.service"
RENEWED = f"change   {NAME}: rewritten"


def unit(cli: UserCli) -> Path:
    return cli.folder.parent / ".config/systemd/user" / NAME


def install(cli: UserCli, text: str = "") -> None:
    """The unit where `enable` puts it, which takes a systemd that runs; with its link."""
    link = unit(cli).parent / "default.target.wants" / NAME
    link.parent.mkdir(parents=True)
    unit(cli).write_text(text or cli.ok("render", "systemd"))
    link.symlink_to(unit(cli))
    for path in (unit(cli), *unit(cli).parents):
        if path == cli.folder.parent:
            break
        os.chown(path, cli.uid, cli.gid)
    os.chown(link.parent, cli.uid, cli.gid)


@pytest.fixture
def enabled(user: UserCli) -> UserCli:
    """A stack that a unit starts, and of which nothing was said since."""
    user.write(faults.REDIS)
    assert NOTE in user.run("up").stderr
    install(user)
    done = user.run("up")
    assert (done.returncode, NOTE in done.stderr, RENEWED in done.stderr) == (0, False, False)
    return user


def move(cli: UserCli, name: str = "played") -> None:
    cli.folder = cli.folder.rename(cli.folder.with_name(name))


def at_boot(cli: UserCli) -> tuple[str, str]:
    """What the check says."""
    found = json.loads(cli.run("--json", "check", "--only", "host.boot", "--all").stdout)
    (one,) = found["findings"]
    return one["verdict"], one["evidence"]


def with_libraries(cli: UserCli) -> str:
    """The unit's text with what systemd adds, and what the copied interpreter needs."""
    added = ("HOME", "PYTHONPATH", "LD_LIBRARY_PATH")
    lines = "".join(f"Environment={name}={cli.environ()[name]}\n" for name in added)
    return unit(cli).read_text().replace("ExecStart=", f"{lines}ExecStart=")


def test_the_unit_of_a_moved_project_is_written_anew_and_starts_it(enabled: UserCli) -> None:
    before = unit(enabled).read_text()
    assert at_boot(enabled) == ("pass", f"{NAME} is enabled")
    old = enabled.folder
    move(enabled)
    assert at_boot(enabled) == ("fail", f"{NAME} starts it in {old}, where it no longer is")
    assert f"{NAME}: rewritten" in enabled.ok("plan")
    assert unit(enabled).read_text() == before
    done = enabled.run("up")
    assert (done.returncode, NOTE in done.stderr) == (0, False)
    assert done.stderr.count(RENEWED) == 1
    assert unit(enabled).read_text() == before.replace(str(old), str(enabled.folder))
    assert at_boot(enabled) == ("pass", f"{NAME} is enabled")
    assert enabled.ok("plan") == "nothing to change\n"
    faults.kill(enabled, "mng-redis")
    started = systemd.run(with_libraries(enabled), "ExecStart", user=enabled.uid, group=enabled.gid)
    assert started.returncode == 0, started.stderr
    assert RENEWED not in started.stderr
    faults.sound(enabled, {"mng-redis"})


def test_a_moved_projects_unit_is_disabled_and_not_spoken_of_again(enabled: UserCli) -> None:
    move(enabled)
    assert enabled.ok("disable") == f"{NAME} disabled and removed\n"
    assert [*unit(enabled).parent.rglob("*.service")] == []
    assert enabled.ok("disable") == f"{NAME} is not enabled\n"
    assert NOTE not in enabled.run("up").stderr


def test_a_unit_without_an_id_goes_with_its_name_when_its_project_is_gone(user: UserCli) -> None:
    user.write(faults.REDIS)
    user.ok("up")
    text = user.ok("render", "systemd")
    before = re.sub("X-Mngdb-Stack=.*\n", "", text)
    assert before != text
    install(user, before)
    assert at_boot(user)[0] == "pass"
    move(user)
    assert RENEWED in user.run("up").stderr
    assert unit(user).read_text() == text.replace("/project", "/played")
    assert at_boot(user)[0] == "pass"


def test_another_stacks_unit_of_the_same_name_is_left_alone(user: UserCli) -> None:
    user.write(faults.REDIS)
    user.ok("up")
    text = user.ok("render", "systemd").replace("/project", "/another")
    theirs = re.sub("(X-Mngdb-Stack)=.*", r"\1=" + "0" * 32, text)
    install(user, theirs)
    assert RENEWED not in user.run("up").stderr
    assert user.ok("disable") == f"{NAME} is not enabled\n"
    assert unit(user).read_text() == theirs
    assert at_boot(user)[0] != "pass"


def test_that_nothing_comes_back_is_said_again_when_the_unit_is_gone(enabled: UserCli) -> None:
    unit(enabled).unlink()
    assert NOTE in enabled.run("up").stderr
    assert NOTE not in enabled.run("up").stderr
    move(enabled)  # what a crontab names is lost, too
    assert NOTE in enabled.run("up").stderr
    assert NOTE not in enabled.run("up").stderr


def test_the_variables_that_enable_was_told_stay(enabled: UserCli) -> None:
    text = unit(enabled).read_text().replace("Environment=PATH=", "Environment=PATH=/opt/ours:")
    unit(enabled).write_text(text)
    assert RENEWED not in enabled.run("up").stderr
    move(enabled)
    assert RENEWED in enabled.run("up").stderr
    assert "Environment=PATH=/opt/ours:" in unit(enabled).read_text()


def test_a_unit_that_cannot_name_the_new_folder_is_said_and_the_servers_run(
    enabled: UserCli,
) -> None:
    before = unit(enabled).read_text()
    move(enabled, "a\nb")
    for command in ("plan", "up"):
        done = enabled.run(command)
        assert done.returncode == 2
        assert "error: after a reboot: " in done.stderr
        assert "has a control character" in done.stderr
    assert unit(enabled).read_text() == before
    assert enabled.run("status").returncode == 0
    move(enabled)
    enabled.ok("up")


#: Where systemd seems to run, and has no units but those in the folder $1.
SYSTEMD = """
mkdir -p /run/systemd /etc/systemd/system && mount -t tmpfs tmpfs /run/systemd &&
mkdir /run/systemd/system && mount --bind "$1" /etc/systemd/system && shift && exec "$@"
"""
#: Notes what it is told, and enables.
SYSTEMCTL = """#!/bin/sh
echo "$*" >> TOLD
[ "$1" != enable ] || ln -s "/etc/systemd/system/$3" /etc/systemd/system/multi-user.target.wants
"""


def test_systemd_is_told_of_a_unit_that_up_wrote_anew(cli: Cli, tmp_path: Path) -> None:
    told, units = tmp_path / "told", tmp_path / "units"
    (units / "multi-user.target.wants").mkdir(parents=True)
    (tmp_path / "systemctl").write_text(SYSTEMCTL.replace("TOLD", str(told)))
    (tmp_path / "systemctl").chmod(0o755)
    cli.env["PATH"] = f"{tmp_path}:{os.environ['PATH']}"
    cli.folder = tmp_path / "project"
    cli.folder.mkdir()
    cli.write(faults.REDIS)
    cli.ok("up")

    def booted(*words: str) -> str:
        told.write_text("")
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", SYSTEMD, "sh", str(units), *cli.argv(*words)],
            cwd=cli.folder,
            env=cli.environ(),
            text=True,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    assert f"{NAME} enabled\n" in booted("enable")
    assert f"enable --quiet {NAME}" in told.read_text()
    assert RENEWED not in booted("up")
    assert told.read_text() == ""
    cli.folder = cli.folder.rename(tmp_path / "played")
    assert RENEWED in booted("up")
    assert told.read_text() == "daemon-reload\n"
    assert f"Project={cli.folder}\n" in (units / NAME).read_text()
    assert booted("disable") == f"{NAME} disabled and removed\n"
