"""Something else in the place of a file that mngdb keeps: a link elsewhere, a named pipe, a socket,
a directory, another user's file. No command hangs or crashes, and nothing outside is touched."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.conftest import Cli

pytestmark = [pytest.mark.live, pytest.mark.root]

FILE = """\
redis: {port: PORT1}
apps: {shop: {redis: "shop:*"}}
agent: {ports: {mngdb: PORT2, redis: PORT3}}
"""
#: pip's Redis cannot encrypt.
TLS = "mongodb: {port: PORT1, tls: true, outdated: true}\napps: {shop: {mongodb: shop}}\n"
COMMANDS = (
    ("status",),
    ("plan",),
    ("doctor",),
    ("check",),
    ("logs", "agent"),
    ("up",),
    ("down",),
    ("destroy", "--yes", "mng"),
)
#: What the kinds that open(2) itself refuses are tried with.
FEW = (("status",), ("up",), ("down",))
STATE = (
    *("lock", "applied.json", "stopped.json", "boot.json", "audit.log"),
    *("stack.json", "units/mng-redis.json"),
    *("secrets/redis_admin", "secrets/redis_shop"),
    *("agent/lock", "agent/agent.pid", "agent/agent.log", "agent/restarts.json"),
    *("agent/alerts.json", "agent/statements.db"),
)
UNIT = (
    *("unit.json", "applied", "started", "seen.json", "server.log"),
    *("run/server.pid", "run/prepare.pid"),
    *("conf/redis.conf", "conf/users.acl"),
)
OF_TLS = (*("tls/lock", "tls/ca.crt", "tls/ca.key", "mng-mongo/conf/tls.pem"),)
FOLDERS = ("secrets", "agent")
STRANGER = 54321
#: Seconds that a command may take at most, on a machine that does much else: one that hangs, hangs.
LIMIT = 15.0


def state(cli: Cli) -> Path:
    """Where mngdb keeps what it knows of the stack."""
    return cli.state


def unit(cli: Cli, name: str = "mng-redis") -> Path:
    """A unit's folder."""
    return state(cli).joinpath("servers").resolve() / name


def place(cli: Cli, name: str) -> Path:
    """A file by its name in the table: of the state, or of a unit."""
    first, _, rest = name.partition("/")
    return unit(cli, first) / rest if first.startswith("mng-") else state(cli) / name


def _link(path: Path, outside: Path) -> None:
    path.symlink_to(outside / "file")


def _dangling(path: Path, outside: Path) -> None:
    path.symlink_to(outside / "new")


def _pipe(path: Path, _: Path) -> None:
    os.mkfifo(path, 0o600)


def _socket(path: Path, _: Path) -> None:
    handle = os.open(path.parent, os.O_PATH)
    try:  # a socket's path is short
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(f"/proc/self/fd/{handle}/{path.name}")
    finally:
        os.close(handle)


def _directory(path: Path, _: Path) -> None:
    path.mkdir(mode=0o700)
    (path / "inside").write_text("x")


def _foreign(path: Path, outside: Path) -> None:
    shutil.copy(outside / "file", path)
    os.chown(path, STRANGER, STRANGER)
    path.chmod(0o600)


KINDS: dict[str, Callable[[Path, Path], None]] = {
    "link": _link,
    "dangling link": _dangling,
    "pipe": _pipe,
    "socket": _socket,
    "directory": _directory,
    "foreign": _foreign,
}


@pytest.fixture
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that is none of mngdb's business."""
    folder = tmp_path_factory.mktemp("outside")
    (folder / "file").write_text("nobody's business\n")
    (folder / "file").chmod(0o644)
    folder.chmod(0o755)
    return folder


def seen(folder: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """All that is in a folder, itself included: mode, owner, time, content."""
    found = {}
    for path in (folder, *folder.rglob("*")):
        now = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(now.st_mode) else b""
        found[str(path)] = (now.st_mode, now.st_uid, now.st_mtime_ns, content)
    return found


def hold(
    cli: Cli, outside: Path, planted: Path, commands: tuple[tuple[str, ...], ...] = COMMANDS
) -> None:
    """Every command ends in time, works or says one sentence, and leaves the outside alone."""
    before = seen(outside)
    for command in commands:
        begun = time.monotonic()
        done = cli.run(*command, timeout=60)
        took = time.monotonic() - begun
        told = f"{command}: exit {done.returncode} after {took:.1f} s\n{done.stderr}"
        assert took < LIMIT, told
        assert "Traceback" not in done.stderr, told
        assert "Errno" not in done.stderr, told
        assert done.returncode in {0, 1, 2, 3}, told
        if done.returncode and command[0] in {"up", "down", "destroy"}:
            errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
            assert errors, told
            assert any(planted.name in line for line in errors), told
        assert seen(outside) == before, told


@pytest.fixture
def stack(cli: Cli) -> Iterator[Cli]:
    cli.write(FILE)
    cli.ok("up")
    yield cli
    if state(cli).exists():
        cli.run("destroy", "--yes", "mng")


def plant(path: Path, kind: str, outside: Path) -> Path | None:
    """Put something in a file's place. Returns where the file is now, if there was one."""
    aside = path.with_name(f"{path.name}.aside") if os.path.lexists(path) else None
    if aside is not None:
        path.rename(aside)
    path.parent.mkdir(exist_ok=True)
    KINDS[kind](path, outside)
    return aside


def unplant(path: Path, aside: Path | None) -> None:
    if not path.parent.exists():
        return  # 'destroy' removed it all
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    with suppress(FileNotFoundError):
        path.unlink()
    if aside is not None and aside.exists():
        aside.rename(path)


def all_kinds(cli: Cli, outside: Path, name: str) -> None:
    """Each kind in turn in one place; afterwards the stack is whole again."""
    for kind in KINDS:
        if not state(cli).exists():
            cli.ok("up")
        path = place(cli, name)
        aside = plant(path, kind, outside)
        few = kind in {"dangling link", "socket", "directory"}
        hold(cli, outside, path, FEW if few else COMMANDS)
        unplant(path, aside)
    cli.ok("up")


@pytest.mark.parametrize("name", [*STATE, *(f"mng-redis/{one}" for one in UNIT)])
def test_no_command_hangs_or_crashes_on_a_planted_file(
    stack: Cli, outside: Path, name: str
) -> None:
    all_kinds(stack, outside, name)


@pytest.mark.parametrize("name", OF_TLS)
def test_no_command_hangs_or_crashes_on_a_planted_file_of_tls(
    cli: Cli, outside: Path, name: str
) -> None:
    cli.write(TLS)
    cli.ok("up")
    all_kinds(cli, outside, name)


@pytest.mark.parametrize("name", FOLDERS)
def test_a_planted_link_in_a_directorys_place_leads_nowhere(
    stack: Cli, outside: Path, name: str
) -> None:
    path = state(stack) / name
    aside = path.with_name(f"{name}.aside")
    path.rename(aside)
    path.symlink_to(outside)
    hold(stack, outside, path)
    if state(stack).exists():
        unplant(path, aside)


def test_a_file_that_is_far_too_large_is_refused(stack: Cli) -> None:
    for path in (state(stack) / "applied.json", unit(stack) / "unit.json"):
        kept = path.read_bytes() if path.exists() else None
        with path.open("wb") as file:
            file.truncate(1 << 40)
        refused = stack.run("plan", timeout=30)
        assert refused.returncode == 2
        assert str(path) in refused.stderr
        path.unlink()
        if kept is not None:
            path.write_bytes(kept)
    stack.ok("plan")


@pytest.mark.parametrize("text", ["[" * 100_000, "[]", "7", '{"a": 1}', "{", "null", '"x"'])
def test_a_note_of_another_shape_is_told_as_damaged(stack: Cli, text: str) -> None:
    for path in (state(stack) / "applied.json", unit(stack) / "unit.json"):
        kept = path.read_bytes() if path.exists() else None
        path.write_text(text)
        told = stack.run("plan", timeout=30)
        assert told.returncode in {0, 1, 2}
        assert "Traceback" not in told.stderr
        assert told.returncode == 0 or "damaged" in told.stderr, told.stderr
        path.unlink()
        if kept is not None:
            path.write_bytes(kept)
    stack.ok("plan")
