"""Who runs what, who may read what: as root, and as an ordinary user in a made-up account."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

import mngdb
from mngdb.errors import MngdbError
from mngdb.run import run
from mngdb.targets.local.programs import find
from mngdb.targets.process import machine
from tests.conftest import ROOT, Cli
from tests.live import faults
from tests.live.scrapes import until

pytestmark = [pytest.mark.live, pytest.mark.root]
#: Of this run alone: another one may be going on.
ACCOUNT = f"mngdb-t{os.getpid()}"


@dataclass
class UserCli(Cli):
    """Runs `mngdb` as an ordinary user, without any of root's rights."""

    uid: int = 0
    gid: int = 0
    python: str = sys.executable

    def argv(self, *arguments: str) -> list[str]:
        return [self.python, "-m", "mngdb", *arguments]

    def run(self, *arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
        return super().run(
            *arguments, user=self.uid, group=self.gid, extra_groups=[], umask=0o022, **more
        )

    def environ(self) -> dict[str, str]:
        # what is installed for us, not our interpreter's own library
        own = [p for p in sys.path if p and "packages" in p] + [
            str(Path(mngdb.__file__).parents[1])
        ]
        path = os.pathsep.join(own)
        # a copied interpreter finds its own library, not the machine's
        library = str(Path(self.python).parents[1] / "lib")
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder.parent),
            "PYTHONPATH": path,
            "LD_LIBRARY_PATH": library,
        }


@pytest.fixture(scope="module")
def account() -> Iterator[tuple[int, int]]:
    """An ordinary account, removed at the end; a killed run has left it perhaps."""
    subprocess.run(["userdel", ACCOUNT], check=False, capture_output=True)
    subprocess.run(["useradd", "--no-create-home", "--shell", "/bin/sh", ACCOUNT], check=True)
    entry = pwd.getpwnam(ACCOUNT)
    yield entry.pw_uid, entry.pw_gid
    subprocess.run(["userdel", ACCOUNT], check=True)


@pytest.fixture(scope="module")
def python(account: tuple[int, int]) -> Iterator[str]:
    """As `reachable`, for the account."""
    with reachable(*account) as found:
        yield found


@contextlib.contextmanager
def reachable(uid: int, gid: int) -> Iterator[str]:
    """Our interpreter, or where an account cannot reach it, a copy."""
    try:
        subprocess.run([sys.executable, "-c", ""], user=uid, group=gid, check=True)
    except PermissionError:
        with tempfile.TemporaryDirectory(prefix="mngdb-python-", dir="/tmp") as copy:
            Path(copy).chmod(0o755)
            # with what is compiled: the account may not write there, and each command would do it
            ignore = shutil.ignore_patterns("test", "site-packages", "*.a", "*.opt-*")
            for part in ("bin", "lib"):
                source = Path(sys.base_prefix) / part
                shutil.copytree(source, Path(copy) / part, symlinks=True, ignore=ignore)
            yield f"{copy}/bin/python{sys.version_info[0]}.{sys.version_info[1]}"
    else:
        yield sys.executable


@pytest.fixture
def user(account: tuple[int, int], python: str) -> Iterator[UserCli]:
    """That account's project, in a folder that only it may enter. The folder's name is short: a
    longer one has the sockets and pid files in /tmp."""
    with tempfile.TemporaryDirectory(prefix="mngdb-", dir="/tmp") as home:
        Path(home).chmod(0o755)
        project = Path(home) / "project"
        project.mkdir(mode=0o700)
        for path in (Path(home), project):
            os.chown(path, *account)
        found = UserCli(project, uid=account[0], gid=account[1], python=python)
        yield found
        if (found.state).exists():
            found.ok("destroy", "--yes", "mng")
        until(lambda: not processes(account[0]))


def processes(uid: int) -> list[psutil.Process]:
    """Those of an account."""
    found = []
    for one in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess):
            if one.uids().real == uid and one.status() != psutil.STATUS_ZOMBIE:
                found.append(one)
    return found


def everything(folder: Path) -> list[Path]:
    """All that is in a folder; servers remove files meanwhile."""
    return [Path(at) / name for at, *names in os.walk(folder) for part in names for name in part]


def owners(folder: Path) -> set[int]:
    """Whose a folder and all in it is."""
    found = set()
    for path in (folder, *everything(folder)):
        with contextlib.suppress(FileNotFoundError):
            found.add(path.lstat().st_uid)
    return found


def modes(folder: Path) -> dict[str, str]:
    """Mode of every file and folder below, those of the servers' own data apart."""
    found = {}
    for path in sorted(everything(folder)):
        name = str(path.relative_to(folder))
        if not path.is_symlink() and "/data/" not in name and not path.is_socket():
            with contextlib.suppress(FileNotFoundError):
                found[name] = oct(stat.S_IMODE(path.stat().st_mode))
    return found


def secrets_of(cli: Cli) -> list[str]:
    """Every secret in plain text."""
    return [p.read_text() for p in (cli.state / "secrets").glob("*_*")]


def leaks(cli: Cli) -> list[str]:
    """Files outside secrets/ and tls/, command lines and environments that hold a secret."""
    wanted = [one.encode() for one in secrets_of(cli)]
    state = cli.state
    private = (state / "secrets", state / "tls")
    places = [p for at in (state, faults.servers(cli)) for p in everything(at) if p.is_file()]
    # the key file is a secret in a form that mongod reads; it is 0600 and the server's
    places = [p for p in places if not any(p.is_relative_to(q) for q in private)]
    for process in psutil.process_iter():
        places += [Path(f"/proc/{process.pid}/{n}") for n in ("cmdline", "environ")]
    found = []
    for path in places:
        try:
            content = path.read_bytes()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it ended in between
        found += [str(path) for one in wanted if one in content and path.name != "keyfile"]
    return found


def listening(cli: Cli, units: set[str]) -> set[tuple[str, int]]:
    """Addresses that the stack's servers listen on."""
    return {
        (at.laddr.ip, at.laddr.port)
        for unit in units
        for at in psutil.Process(faults.pid(cli, unit)).net_connections("inet")
        if at.status == psutil.CONN_LISTEN
    }


def test_an_ordinary_users_stack_is_whole_private_and_its_own(user: UserCli) -> None:
    units = {"mng-pg", "mng-redis", "mng-mongo"}
    user.write(faults.STACK)
    user.ok("up")
    faults.sound(user, units)
    faults.Data(user).write("mine")
    state = user.state
    assert owners(state) == {user.uid}
    assert {psutil.Process(faults.pid(user, u)).uids() for u in units} == {(user.uid,) * 3}
    found = modes(state)
    wrong = {n: m for n, m in found.items() if m not in {"0o700", "0o600"}}
    assert wrong == {}
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert leaks(user) == []
    assert {ip for ip, _ in listening(user, units)} == {"127.0.0.1"}
    shown = user.ok("plan") + user.ok("status") + user.ok("config", "--json")
    shown += (state / "audit.log").read_text() + user.ok("logs", "postgres", "-n", "9999")
    assert not [one for one in secrets_of(user) if one in shown]
    user.ok("down")
    assert faults.running(user) == set()
    moved = user.folder.with_name("moved")
    user.folder.rename(moved)
    user.folder = moved
    user.ok("up")
    assert faults.Data(user).read() == [["mine"]] * 3


def test_roots_servers_run_as_accounts_of_their_own_and_reach_nothing_of_roots(cli: Cli) -> None:
    units = {"mng-pg", "mng-redis", "mng-mongo"}
    cli.write(faults.STACK)
    cli.ok("up")
    names = {psutil.Process(faults.pid(cli, unit)).username() for unit in units}
    assert names == {"mngdb-postgres", "mngdb-redis", "mngdb-mongodb"}
    for unit in units:
        status = Path(f"/proc/{faults.pid(cli, unit)}/status").read_text()
        assert "Groups:\t \n" in status or "Groups:\t\n" in status
        assert "CapEff:\t0000000000000000" in status
    servers = faults.servers(cli)
    state = cli.state
    assert stat.S_IMODE(state.stat().st_mode) == 0o711
    assert modes(state).items() >= {("secrets", "0o700"), ("audit.log", "0o600")}
    secrets = [one for one in state.rglob("secrets/*") if one.name != "apps"]  # a directory
    assert {oct(stat.S_IMODE(p.stat().st_mode)) for p in secrets} == {"0o600"}
    found = modes(servers)
    passable = {"mng-pg", "mng-redis", "mng-mongo"} | {f"{u}/conf" for u in units}
    assert {found.pop(name) for name in passable} == {"0o711"}
    assert {n: m for n, m in found.items() if m not in {"0o700", "0o600"}} == {}
    assert leaks(cli) == []
    assert {ip for ip, _ in listening(cli, units)} == {"127.0.0.1"}
    cli.ok("destroy", "--yes", "mng")
    assert not servers.exists()


def test_a_project_and_programs_under_a_private_home_are_no_obstacle(
    cli: Cli, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    programs = home / "bin"
    source = find("redis", "8", None, Path("/nonexistent/cache")).server
    programs.mkdir(mode=0o700)
    shutil.copy2(source, programs / "redis-server")
    os.utime(programs / "redis-server", (1e9, 1e9))
    cli.folder = home
    cli.write(f"binaries: {{redis: {programs}}}\n" + faults.REDIS)
    cli.ok("up")
    program = Path(f"/proc/{faults.pid(cli, 'mng-redis')}/exe").readlink()
    assert program.is_relative_to("/var/lib/mngdb/programs")
    assert program.stat().st_uid == 0
    assert not program.stat().st_mode & 0o022
    cli.ok("destroy", "--yes", "mng")
    shutil.rmtree(program.parent)
    cli.folder = tmp_path


def test_account_in_the_file_is_who_the_servers_run_as(cli: Cli, account: tuple[int, int]) -> None:
    cli.write(f"target: {{local: {{account: {ACCOUNT}}}}}\n" + faults.REDIS)
    cli.ok("up")
    assert psutil.Process(faults.pid(cli, "mng-redis")).username() == ACCOUNT
    cli.ok("destroy", "--yes", "mng")
    cli.write("target: {local: {account: nobody-has-it}}\n" + faults.REDIS)
    cli.ok("plan")
    assert cli.run("status").returncode == 1
    with pytest.raises(KeyError):
        pwd.getpwnam("nobody-has-it")
    cli.write("target: {local: {account: root}}\n" + faults.REDIS)
    refused = cli.run("up")
    assert (refused.returncode, "servers must not run as root" in refused.stderr) == (1, True)


def test_an_account_that_another_command_makes_at_the_same_moment_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    once = run

    def twice(argv: list[str], **more: Any) -> object:
        once(argv, **more)
        return once(argv, **more)

    name = "mngdb-twice"
    monkeypatch.setattr(machine, "run", twice)
    try:
        assert machine._make_account(name).pw_name == name
    finally:
        subprocess.run(["userdel", name], check=True)
    with pytest.raises(MngdbError, match="useradd failed"):
        machine._make_account("no: name")


def test_root_is_told_whose_stack_it_is_and_changes_nothing(user: UserCli) -> None:
    user.write(faults.REDIS)
    user.ok("up")
    for command in ("up", "status", "down", "plan"):
        refused = Cli(user.folder).run(command)
        assert refused.returncode == 2
        assert f"project belongs to the account {ACCOUNT}" in refused.stderr
    state = user.state
    assert owners(state) == {user.uid}
    faults.sound(user, {"mng-redis"})


def test_an_ordinary_user_is_told_what_it_may_not_do(user: UserCli) -> None:
    user.write(faults.REDIS)
    (user.folder.parent / ".local").mkdir(mode=0o500)
    refused = user.run("up")
    (user.folder.parent / ".local").rmdir()
    assert refused.returncode == 1
    assert (
        f"{user.folder.parent / '.local/state/mngdb/stacks'}: Permission denied" in refused.stderr
    )
    user.write("target: {local: {account: mngdb}}\n" + faults.REDIS)
    assert "only root can switch accounts" in user.run("up").stderr
    user.write(faults.REDIS.replace("PORT2", "79"))
    refused = user.run("up")
    assert refused.returncode == 1
    assert "not allowed to listen on port 79" in refused.stderr
    user.write(faults.REDIS)
    with socket.create_server(("127.0.0.1", user.port(2))):
        assert "is taken by a process of the account root" in user.run("up").stderr
    user.ok("up")
    secret = user.state / "secrets" / "redis_shop"
    os.chown(secret, 0, 0)
    refused = user.run("up")
    os.chown(secret, user.uid, user.gid)
    assert refused.returncode == 2
    assert f"{secret} cannot be read: Permission denied" in refused.stderr
    for path in (user.state, user.state / "servers/mng-redis/data"):
        user.ok("down")
        os.chown(path, 0, 0)
        refused = user.run("up")
        os.chown(path, user.uid, user.gid)
        assert refused.returncode in {1, 2}, (path, refused.stderr)
        assert "Permission denied" in refused.stderr or "not permitted" in refused.stderr
        assert "Traceback" not in refused.stderr
        user.ok("up")
    assert json.loads(user.ok("--json", "status"))["units"][0]["healthy"]
    assert str(ROOT) not in refused.stderr


def test_a_project_that_took_a_moved_ones_place_does_not_take_its_servers(cli: Cli) -> None:
    home = cli.folder
    cli.write(faults.REDIS)
    cli.ok("up")
    moved = home.with_name("moved")
    home.rename(moved)
    home.mkdir()
    cli.write(faults.REDIS)
    refused = cli.run("up")
    assert refused.returncode == 2
    assert "is not the directory that the stack 'mng' was created in" in refused.stderr
    shutil.rmtree(home)
    cli.folder = moved
    faults.sound(cli, {"mng-redis"})
