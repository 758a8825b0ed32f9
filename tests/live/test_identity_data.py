"""Data that is not where it was, and the processes that serve it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.conftest import Cli
from tests.live import faults
from tests.live.projects import begun, beside, keys, refusal, untouched

pytestmark = pytest.mark.live


@pytest.fixture
def stack(cli: Cli) -> Cli:
    return begun(cli)


# --- data that is not there


def test_data_that_was_there_is_not_made_anew(stack: Cli) -> None:
    stack.ok("down")
    data = faults.servers(stack) / "mng-redis/data"
    aside = data.with_name("aside")
    for folder in ("", "appendonlydir"):
        if folder:
            aside.mkdir()
        (data / folder).rename(aside / folder)
        done = stack.run("up")
        assert done.returncode == 1
        assert "mng-redis: its data of 20" in done.stderr
        assert "is missing" in done.stderr
        assert "mngdb up --allow mng-redis" in done.stderr
        assert "is missing" in stack.run("status").stderr
        assert "is missing" in stack.run("doctor").stdout
        assert stack.run("plan").returncode == 1
        if data.exists():
            (aside / "appendonlydir").rename(data / "appendonlydir")
            aside.rmdir()
        else:
            aside.rename(data)
    stack.ok("up")
    assert keys(stack) == {"one"}


def test_data_that_is_lost_is_given_up_by_name_alone(stack: Cli) -> None:
    stack.ok("down")
    shutil.rmtree(faults.servers(stack) / "mng-redis/data")
    assert stack.run("up").returncode == 1
    stack.ok("up", "--allow", "mng-redis")
    assert keys(stack) == set()
    faults.sound(stack, {"mng-redis"})


def test_data_that_is_removed_under_a_running_server_is_told_and_its_process_known(
    stack: Cli,
) -> None:
    pid = faults.pid(stack, "mng-redis")
    shutil.rmtree(faults.servers(stack) / "mng-redis/data")
    done = stack.run("up")
    assert done.returncode == 1
    assert "the server is still running, and its data is lost when it exits" in done.stderr
    assert keys(stack) == {"one"}
    done = stack.run("down")
    assert done.returncode == 1
    assert f"kill -9 {pid}" in done.stderr
    faults.end_of(pid)
    stack.ok("up", "--allow", "mng-redis")
    shutil.rmtree(faults.servers(stack) / "mng-redis/data")
    stack.ok("destroy", "--yes", "mng")


def test_the_agent_starts_no_server_without_its_data(cli: Cli) -> None:
    cli.write(faults.REDIS + "agent: {ports: {mngdb: PORT3, redis: PORT4}}\n")
    cli.ok("up")
    data = faults.servers(cli) / "mng-redis/data"
    data.rename(data.with_name("aside"))
    faults.kill(cli, "mng-redis")
    subprocess.run(["sleep", "4"], check=True)
    assert faults.running(cli) == set()
    assert not data.exists()
    data.with_name("aside").rename(data)
    cli.ok("up")


# --- whose process, whose folder


def test_a_pid_file_of_another_stack_names_no_server_of_ours(stack: Cli) -> None:
    other = beside(stack)
    other.folder.mkdir()
    other.write(faults.REDIS.replace("PORT2", "PORT5"))
    other.ok("up")
    other.ok("down")
    pid = faults.pid(stack, "mng-redis")
    shutil.copy2(faults.pidfile(stack, "mng-redis"), faults.pidfile(other, "mng-redis"))
    assert other.json("down")["stopped"] == []
    other.ok("destroy", "--yes", "mng")
    untouched(stack, pid)


@pytest.mark.root
def test_a_planted_pointer_opens_no_folder_of_roots(cli: Cli, tmp_path: Path) -> None:
    valuable = tmp_path / "valuable"
    (valuable / "servers").mkdir(parents=True)
    (valuable / "servers/file").write_text("dear")
    (cli.folder / ".mngdb").mkdir()
    (cli.folder / ".mngdb/mng").symlink_to(valuable)
    cli.write(faults.REDIS)
    for words in (("up",), ("down",), ("destroy", "--yes", "mng")):
        refusal(cli, *words)
    assert (valuable / "servers/file").read_text() == "dear"
    assert not (valuable / "secrets").exists()
    shutil.rmtree(cli.folder / ".mngdb")


@pytest.mark.root
def test_a_folder_of_another_account_is_refused_as_git_does(cli: Cli) -> None:
    cli.write(faults.REDIS)
    os.chown(cli.folder, 54321, 54321)
    os.chown(cli.folder / "mngdb.yaml", 54321, 54321)
    try:
        assert "belongs to the user id 54321" in refusal(cli, "up")
        for extra in ({"MNGDB_SAFE_DIRECTORY": str(cli.folder)}, {"SUDO_UID": "54321"}):
            trusting = Cli(cli.folder, {**cli.env, **extra})
            assert trusting.run("plan").returncode == 0
    finally:
        os.chown(cli.folder, 0, 0)
        os.chown(cli.folder / "mngdb.yaml", 0, 0)


@pytest.mark.root
def test_a_link_of_another_account_is_not_followed(cli: Cli) -> None:
    secret = cli.folder.parent / "secret"
    secret.write_text("root:hash-of-root: x\n")
    usual = cli.folder / "usual.yaml"
    usual.write_text("redis: {}\n")
    link, between = cli.folder / "mngdb.yaml", cli.folder / "between"
    for target in (secret, usual, between):
        link.unlink(missing_ok=True)
        between.unlink(missing_ok=True)
        between.symlink_to(usual)
        link.symlink_to(target)
        strange = between if target == between else link
        os.chown(strange, 54321, 54321, follow_symlinks=False)
        told = refusal(cli, "status")
        assert f"{strange.name} belongs to the user id 54321" in told
        assert "hash-of-root" not in told
    trusting = Cli(cli.folder, {**cli.env, "MNGDB_SAFE_DIRECTORY": str(cli.folder)})
    assert trusting.run("config").returncode == 0
    link.unlink()
    link.symlink_to(usual)  # one's own
    assert cli.run("config").returncode == 0
    link.unlink()
    secret.replace(link)
    os.chown(link, 54321, 54321)
    assert "hash-of-root" not in refusal(cli, "status")


def test_a_running_server_whose_folder_was_removed_is_found(stack: Cli) -> None:
    """What it holds is the only copy: nobody ends it, and nobody says that it does not run."""
    pid = faults.pid(stack, "mng-redis")
    shutil.rmtree((stack.state / "servers").resolve() / "mng-redis")
    unit = json.loads(stack.run("--json", "status").stdout)["units"][0]
    assert (unit["state"], unit["healthy"]) == ("running", False)
    assert "is missing" in unit["error"]
    for command in (("up",), ("down",), ("down", "redis"), ("restart",)):
        done = stack.run(*command)
        assert done.returncode == 1
        assert "is missing" in done.stderr
        assert psutil.pid_exists(pid)
    stack.ok("destroy", "--yes", "mng")
    assert not faults.runs(pid)


def test_a_snapshot_beside_a_whole_log_is_not_missed(stack: Cli) -> None:
    data = (stack.state / "servers").resolve() / "mng-redis/data"
    (data / "dump.rdb").write_bytes(b"")  # as after a BGSAVE
    stack.ok("up")
    (data / "dump.rdb").unlink()
    stack.ok("down")
    stack.ok("up")
    assert keys(stack) == {"one"}
    stack.ok("down")
    shutil.rmtree(data / "appendonlydir")
    assert "is missing" in stack.run("up").stderr


# --- where the data is, and who serves it


def test_a_server_whose_pid_file_was_lost_is_known_by_its_folder(stack: Cli) -> None:
    pid = faults.pid(stack, "mng-redis")
    shutil.rmtree(faults.pidfile(stack, "mng-redis").parent)
    assert stack.json("up")["steps"] == []
    stack.write(faults.REDIS.replace("PORT2", "PORT5"))
    stack.ok("up")  # another port is a restart, and no second server on the same data
    assert faults.running(stack) == {faults.pid(stack, "mng-redis")} != {pid}
    assert keys(stack) == {"one"}
    faults.pidfile(stack, "mng-redis").unlink()
    assert stack.json("down")["stopped"] == ["mng-redis"]


def test_data_that_the_file_names_elsewhere_is_where_it_was_until_it_is_moved(stack: Cli) -> None:
    servers = faults.servers(stack)
    elsewhere = stack.folder.with_name("big")
    stack.write(f"target: {{local: {{data: {elsewhere}}}}}\n" + faults.REDIS)
    for command in ("up", "plan"):
        done = stack.run(command)
        assert done.returncode == 1
        assert f"the file places the data in {elsewhere}, but it is in {servers}" in (done.stderr)
    assert stack.run("status").returncode == 0
    assert keys(stack) == {"one"}
    hint = next(line for line in done.stderr.splitlines() if "hint:" in line).partition("hint: ")[2]
    assert hint.startswith("mngdb down; ")
    assert stack.json("down")["stopped"] == ["mng-redis"]
    assert faults.running(stack) == set()
    subprocess.run(["sh", "-ec", hint.removeprefix("mngdb down; ")], check=True)
    faults.passable(elsewhere)
    stack.ok("up")
    assert keys(stack) == {"one"}
    stack.ok("destroy", "--yes", "mng")
    assert faults.running(stack) == set()
    assert list(elsewhere.iterdir()) == []
