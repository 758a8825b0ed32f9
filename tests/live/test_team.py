"""Members of a stack's team: real accounts, real sudo, and members who try for more."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from tests import sudo
from tests.live import faults
from tests.live.test_faults_users import UserCli, reachable, secrets_of

pytestmark = [pytest.mark.live, pytest.mark.root, pytest.mark.postgres, pytest.mark.redis]
#: Of this run alone.
_NAME = f"mngdb-m{os.getpid()}"
OWNER, VIEWER, OPERATOR, STRANGER = (f"{_NAME}{letter}" for letter in "abcd")
VIEWERS, OPERATORS = f"{_NAME}v", f"{_NAME}o"
TEAM = f"team: {{viewers: {VIEWERS}, operators: {OPERATORS}}}\n"
FILE = """
postgres: {port: PORT1}
redis: {port: PORT2}
apps: {shop: {postgres: shop, redis: "shop:*"}}
"""
#: The program, where the interpreter is a copy that finds nothing by itself.
_PROGRAM = """\
#!/bin/sh
LD_LIBRARY_PATH={LD_LIBRARY_PATH} exec {python} -I -c '
import sys
sys.path[0:0] = "{PYTHONPATH}".split(":")
from mngdb.cli.team import run
run()' "$@"
"""
#: What an app stores, and a viewer may not see.
VALUE = "card-4711"


@dataclass
class Members:
    """The owner's project, and how the others come to it."""

    owner: UserCli
    program: Path

    def run(self, who: str, *words: str, **claimed: str) -> subprocess.CompletedProcess[str]:
        """`mngdb-team mng WORDS` as a member types it, with an environment of theirs."""
        argv = ["sudo", "-n", "-u", OWNER, str(self.program), "mng", *words]
        return self.plainly(who, *argv, **claimed)

    def plainly(self, who: str, *argv: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Any command as somebody, in the project."""
        return subprocess.run(
            [*("setpriv", f"--reuid={who}", f"--regid={who}", "--init-groups"), *argv],
            cwd=self.owner.folder,
            env={"PATH": os.environ["PATH"], **env},
            stdin=subprocess.DEVNULL,
            text=True,
            capture_output=True,
            timeout=120,
            check=False,
        )

    def ok(self, who: str, *words: str) -> str:
        """What a command prints that has to succeed."""
        done = self.run(who, *words)
        assert done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """The owner's home, and the accounts and groups; removed at the end."""
    sudo.install()
    with tempfile.TemporaryDirectory(prefix="mngdb-", dir="/tmp") as folder:
        made = []
        try:
            for group in (VIEWERS, OPERATORS):
                subprocess.run(["groupadd", group], check=True)
                made.append(["groupdel", group])
            for who, groups in ((OWNER, ""), (VIEWER, VIEWERS), (OPERATOR, OPERATORS)):
                more = ["--groups", groups] if groups else []
                argv = ["useradd", "--no-create-home", "--home-dir", f"{folder}/{who}", *more]
                subprocess.run([*argv, who], check=True)
                made.append(["userdel", who])
            subprocess.run(["useradd", "--no-create-home", STRANGER], check=True)
            made.append(["userdel", STRANGER])
            Path(folder).chmod(0o755)
            (Path(folder) / OWNER).mkdir()
            yield Path(folder) / OWNER
        finally:
            for argv in reversed(made):
                subprocess.run(argv, check=True)


@pytest.fixture(scope="module")
def members(home: Path) -> Iterator[Members]:
    """A stack that runs, with a team and the rule for sudo."""
    account = pwd.getpwnam(OWNER)
    uid, gid = account.pw_uid, account.pw_gid
    project = home / "project"
    project.mkdir()
    for path in (home, project):
        os.chown(path, uid, gid)
    with reachable(uid, gid) as python:
        owner = UserCli(project, uid=uid, gid=gid, python=python)
        program = Path(python).with_name("mngdb-team")
        if not program.exists():  # the interpreter is a copy
            program.write_text(_PROGRAM.format(python=python, **owner.environ()))
            program.chmod(0o755)
        owner.write(TEAM + FILE)
        os.chown(project / "mngdb.yaml", uid, gid)
        owner.ok("up")
        try:
            with sudo.rule(owner.ok("render", "sudoers")):
                yield Members(owner, program)
        finally:
            owner.ok("destroy", "--yes", "mng")


@pytest.fixture
def session(members: Members) -> Iterator[None]:
    """An app that has just stored something."""
    with psycopg.connect(members.owner.env_of("shop")["POSTGRES_URL"]) as connection:
        connection.execute(f"SELECT '{VALUE}'")
        yield


@pytest.mark.usefixtures("session")
def test_a_viewer_sees_what_the_owner_sees_but_no_data_and_no_secret(members: Members) -> None:
    assert members.ok(VIEWER, "plan") == "nothing to change\n"
    units = json.loads(members.ok(VIEWER, "status", "--json"))["units"]
    assert [unit["healthy"] for unit in units] == [True, True]
    check = ("check", "--json", "--only", "redis.*", "--only", "stack.*", "--only", "secrets.*")
    found = json.loads(members.run(VIEWER, *check).stdout)
    own = json.loads(members.owner.run(*check).stdout)
    assert found["summary"] == own["summary"]
    assert [one["verdict"] for one in found["findings"] if one["id"] == "stack.team"] == ["pass"]
    everything = members.ok(VIEWER, "sessions", "--json")
    assert "SELECT" in everything
    everything += json.dumps(found) + members.ok(VIEWER, "doctor") + members.ok(VIEWER, "slow")
    assert VALUE not in everything
    assert VALUE in members.ok(OPERATOR, "sessions", "--json")
    everything += members.ok(OPERATOR, "logs", "postgres", "--lines", "9999")
    everything += (members.owner.state / "audit.log").read_text()
    assert not [one for one in secrets_of(members.owner) if one in everything]


def test_an_operator_works_as_the_owner_and_is_named(members: Members) -> None:
    members.ok(OPERATOR, "restart", "redis")
    assert members.owner.ok("plan") == "nothing to change\n"
    lines = (members.owner.state / "audit.log").read_text().splitlines()
    last = json.loads(lines[-1])
    assert (last["user"], last["member"], last["role"]) == (OWNER, OPERATOR, "operator")
    assert "member" not in json.loads(lines[0])


def test_neither_gets_more_than_the_role(members: Members, tmp_path: Path) -> None:
    evil = tmp_path / "mngdb.yaml"
    evil.write_text(f"binaries: {{redis: {tmp_path}}}\n" + FILE)
    for who, *words in (
        (VIEWER, "up"),
        (VIEWER, "logs", "postgres"),
        (VIEWER, "locks", "kill", "1"),
        (VIEWER, "check", "--output", "/tmp/mngdb-written"),
        (OPERATOR, "status", "-f", str(evil)),
        (OPERATOR, "env", "shop"),
        (OPERATOR, "shell", "postgres"),
        (OPERATOR, "destroy", "--yes", "mng"),
    ):
        done = members.run(who, *words)
        assert done.returncode == 2, (words, done.stdout)
        assert done.stderr.count("\n") == 2, done.stderr
    assert not Path("/tmp/mngdb-written").exists()
    refused = members.run(STRANGER, "status")
    assert (refused.returncode, refused.stdout) == (1, "")


def test_nothing_of_a_members_environment_counts(members: Members, tmp_path: Path) -> None:
    written = tmp_path / "log"
    tmp_path.chmod(0o777)
    claimed = {
        "SUDO_UID": members.plainly(OPERATOR, "id", "-u").stdout.strip(),
        "MNGDB_LOG": str(written),
        "MNGDB_STATE_HOME": str(tmp_path),
        "PYTHONPATH": str(tmp_path),
        "PYTHONSTARTUP": str(tmp_path / "x.py"),
        "HOME": str(tmp_path),
        "LD_PRELOAD": str(tmp_path / "x.so"),
    }
    assert members.run(VIEWER, "status", **claimed).returncode == 0
    refused = members.run(VIEWER, "up", **claimed)
    assert (refused.returncode, "viewers may not" in refused.stderr) == (2, True)
    assert list(tmp_path.iterdir()) == []
    for word in (f"PYTHONPATH={tmp_path}", "-E", f"--chdir={tmp_path}"):
        argv = ("sudo", "-n", "-u", OWNER, word, str(members.program), "mng", "status")
        assert members.plainly(VIEWER, *argv).returncode == 1
    for other in ("/bin/sh", members.owner.python):
        assert members.plainly(OPERATOR, "sudo", "-n", "-u", OWNER, other).returncode == 1


def test_nor_do_a_members_limits(members: Members) -> None:
    argv = ("sudo", "-n", "-u", OWNER, str(members.program), "mng")

    def after(lowered: str, *words: str) -> subprocess.CompletedProcess[str]:
        return members.plainly(OPERATOR, "sh", "-c", f'{lowered} "$@"', "sh", *argv, *words)

    for lowered in (
        *("ulimit -f 1; exec", "ulimit -n 300; exec", "ulimit -v 4000000; exec"),
        *("nice -n 15", "chrt -i 0"),
    ):
        refused = after(lowered, "down", "redis")
        assert (refused.returncode, "is lower than" in refused.stderr) == (2, True), refused.stderr
    assert members.owner.ok("plan") == "nothing to change\n"  # it is up
    assert after("ulimit -S -n 300; exec", "restart", "redis").returncode == 0
    limits = Path(f"/proc/{faults.pid(members.owner, 'mng-redis')}/limits").read_text()
    assert " 300 " not in limits


def test_what_cannot_be_noted_is_not_done(members: Members) -> None:
    log = members.owner.state / "audit.log"
    said = [json.loads(line) for line in log.read_text().splitlines()]
    assert not [one for one in said if one["result"] == "asked" and "member" not in one]
    log.rename(log.with_name("kept"))
    log.mkdir()
    try:
        assert members.run(OPERATOR, "down", "redis").returncode != 0
    finally:
        log.rmdir()
        log.with_name("kept").rename(log)
    assert members.owner.ok("plan") == "nothing to change\n"
    members.ok(OPERATOR, "restart", "redis")
    asked, done = map(json.loads, log.read_text().splitlines()[len(said) :])
    assert (asked["result"], asked["detail"], done["result"]) == (
        *("asked", "restart redis", "done"),
    )
    assert asked["member"] == done["member"] == OPERATOR


def test_others_are_told_whose_it_is_and_what_to_type(members: Members) -> None:
    folder = members.owner.folder
    argv = (members.owner.python, "-m", "mngdb", "status")
    env = {n: members.owner.environ()[n] for n in ("PYTHONPATH", "LD_LIBRARY_PATH")}
    typed = f"sudo -u {OWNER} {members.program} mng status"
    told = members.plainly(VIEWER, *argv, **env)
    assert (told.returncode, typed in told.stderr) == (2, True), told.stderr
    told = members.plainly(STRANGER, *argv, **env)
    assert f"belongs to the account {OWNER}" in told.stderr
    assert (told.returncode, typed in told.stderr) == (2, False)
    # also where the folder is trusted, and the state out of sight
    env["MNGDB_SAFE_DIRECTORY"] = "*"
    told = members.plainly(STRANGER, *argv, **env)
    assert f"the stack 'mng' of this folder belongs to the account {OWNER}" in told.stderr
    (folder / "mngdb.yaml").chmod(0o600)
    told = members.plainly(STRANGER, *argv, **env)
    (folder / "mngdb.yaml").chmod(0o644)
    assert (told.returncode, "ask its owner" in told.stderr) == (2, True)
    # a home that nobody else may enter is no obstacle
    folder.parent.chmod(0o700)
    members.ok(VIEWER, "status")
    folder.parent.chmod(0o755)


def test_a_file_that_others_may_change_gives_no_role(members: Members) -> None:
    file = members.owner.folder / "mngdb.yaml"
    file.chmod(0o666)
    refused = members.run(VIEWER, "status")
    assert (refused.returncode, "is writable by everybody" in refused.stderr) == (2, True)
    judged = members.owner.run("--json", "check", "--only", "stack.team").stdout
    assert json.loads(judged)["summary"]["fail"] == 1
    file.chmod(0o644)
    usual, programs = file.read_text(), file.parent / "programs"
    programs.mkdir()
    programs.chmod(0o777)
    file.write_text(f"binaries: {{redis: {programs}}}\n{usual}")
    refused = members.run(VIEWER, "status")
    assert (refused.returncode, f"{programs} is writable" in refused.stderr) == (2, True)
    file.write_text(usual)


def test_a_role_ends_with_the_group_and_with_the_file(members: Members) -> None:
    owner = members.owner
    subprocess.run(["groupmod", "--new-name", f"{VIEWERS}x", VIEWERS], check=True)
    try:
        assert members.run(VIEWER, "status").returncode != 0
        assert f"the group {VIEWERS}, which the file names under team" in owner.run("plan").stderr
    finally:
        subprocess.run(["groupmod", "--new-name", VIEWERS, f"{VIEWERS}x"], check=True)
    owner.write(FILE)
    assert "roles" in owner.ok("plan")
    owner.ok("up")
    assert owner.ok("plan") == "nothing to change\n"
    assert "you have no role" in members.run(VIEWER, "status").stderr
    owner.write(TEAM + FILE)
    owner.ok("up")
    (owner.state / "team.json").write_text("{")
    assert "you have no role" in members.run(OPERATOR, "up").stderr
    owner.ok("up")
    members.ok(OPERATOR, "up")
