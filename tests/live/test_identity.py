"""A stack knows itself: what is done to a project's folder reaches neither data nor secrets."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
from pathlib import Path

import psutil
import pytest
import redis

from mngdb.identity import locate
from tests.conftest import Cli
from tests.live import faults

pytestmark = pytest.mark.live


def put(cli: Cli, key: str) -> None:
    """Write a key as the app, and wait until it is in the server's log."""
    with redis.Redis.from_url(cli.env_of("shop")["REDIS_URL"], socket_timeout=60) as client:
        client.set(f"shop:{key}", key)
    url = cli.ok("url", "redis").strip()
    with redis.Redis.from_url(url, decode_responses=True, socket_timeout=60) as admin:
        faults.written(admin)


def keys(cli: Cli) -> set[str]:
    """The keys that the stack of a folder has."""
    with redis.Redis.from_url(cli.env_of("shop")["REDIS_URL"], socket_timeout=60) as client:
        return {key.decode().removeprefix("shop:") for key in client.scan_iter("shop:*")}


@pytest.fixture
def stack(cli: Cli) -> Cli:
    """A Redis with a key, in a folder below the test's own."""
    cli.folder = cli.folder / "a"
    cli.folder.mkdir()
    cli.write(faults.REDIS)
    cli.ok("up")
    put(cli, "one")
    return cli


def beside(stack: Cli, name: str = "b") -> Cli:
    """The same command line in another folder beside the stack's."""
    found = Cli(stack.folder.with_name(name), stack.env)
    found._ports = stack._ports
    return found


def copied(stack: Cli, name: str = "b") -> Cli:
    found = beside(stack, name)
    subprocess.run(["cp", "-a", stack.folder, found.folder], check=True)
    return found


def refusal(cli: Cli, *words: str) -> str:
    """What is said by a command that is refused as wrong usage."""
    done = cli.run(*words)
    assert done.returncode == 2, done.stdout + done.stderr
    assert len(done.stderr.strip().splitlines()) == 2, done.stderr
    return done.stderr


def untouched(stack: Cli, pid: int) -> None:
    """The stack runs as before, by the same process, with its key."""
    assert faults.pid(stack, "mng-redis") == pid
    assert psutil.pid_exists(pid)
    assert keys(stack) == {"one"}
    assert stack.run("plan", "--exit-code").returncode == 0


# --- copied


def test_a_copied_project_is_refused_and_the_originals_data_stays(stack: Cli) -> None:
    pid = faults.pid(stack, "mng-redis")
    copy = copied(stack)
    for words in (("up",), ("down",), ("destroy", "--yes", "mng"), ("status",), ("plan",)):
        said = refusal(copy, *words)
        assert f"{copy.folder} is a copy of {stack.folder}" in said
        assert f"mngdb stacks attach {stack.state.name}" in said
        assert "write a 'name' of its own" in said
    untouched(stack, pid)


def test_a_copy_with_a_name_of_its_own_begins_empty(stack: Cli) -> None:
    pid = faults.pid(stack, "mng-redis")
    copy = copied(stack)
    copy.write("name: other\n" + faults.REDIS.replace("PORT2", "PORT5"))
    copy.ok("up")
    assert keys(copy) == set()
    untouched(stack, pid)
    copy.ok("destroy", "--yes", "other")
    untouched(stack, pid)


def test_a_copy_goes_on_with_the_data_when_a_command_says_so(stack: Cli) -> None:
    pid = faults.pid(stack, "mng-redis")
    copy = copied(stack)
    copy.ok("stacks", "attach", stack.state.name)
    assert copy.ok("plan") == "nothing to change\n"
    untouched(copy, pid)
    assert f"is a copy of {copy.folder}" in refusal(stack, "down")
    copy.ok("destroy", "--yes", "mng")


def test_a_copy_whose_original_was_removed_was_moved(stack: Cli) -> None:
    pid = faults.pid(stack, "mng-redis")
    copy = copied(stack)
    shutil.rmtree(stack.folder)
    assert "was moved from" in copy.run("status").stderr
    untouched(copy, pid)
    copy.ok("destroy", "--yes", "mng")


# --- moved


def test_a_moved_project_is_found_again_with_one_notice_while_it_runs(stack: Cli) -> None:
    pid = faults.pid(stack, "mng-redis")
    moved = beside(stack)
    stack.folder.rename(moved.folder)
    done = moved.run("status")
    assert done.returncode == 0
    assert f"the project was moved from {stack.folder} to {moved.folder}" in done.stderr
    assert "moved" not in moved.run("status").stderr
    untouched(moved, pid)
    moved.ok("destroy", "--yes", "mng")


def test_a_moved_project_is_found_again_when_it_is_stopped(stack: Cli) -> None:
    stack.ok("down")
    moved = beside(stack)
    stack.folder.rename(moved.folder)
    moved.ok("up")
    assert keys(moved) == {"one"}
    moved.ok("destroy", "--yes", "mng")


def test_the_folder_that_was_moved_is_the_original_also_beside_a_copy_in_its_place(
    stack: Cli,
) -> None:
    pid = faults.pid(stack, "mng-redis")
    moved = beside(stack)
    stack.folder.rename(moved.folder)
    subprocess.run(["cp", "-a", moved.folder, stack.folder], check=True)
    assert "was moved from" in moved.run("status").stderr
    untouched(moved, pid)
    assert "is a copy of" in refusal(stack, "destroy", "--yes", "mng")
    untouched(moved, pid)
    moved.ok("destroy", "--yes", "mng")


def test_releases_behind_a_link_are_one_project(cli: Cli) -> None:
    root = cli.folder
    for number in ("1", "2"):
        (root / "releases" / number).mkdir(parents=True)
        cli.folder = root / "releases" / number
        cli.write(faults.REDIS)
    current = root / "current"
    current.symlink_to("releases/1")
    cli.folder = current
    cli.env["PWD"] = str(current)
    cli.ok("up")
    put(cli, "one")
    pid = faults.pid(cli, "mng-redis")
    current.unlink()
    current.symlink_to("releases/2")
    assert cli.json("up")["steps"] == []
    untouched(cli, pid)
    old = Cli(root / "releases" / "1", {"PWD": str(root / "releases" / "1")})
    assert "is a copy of" in refusal(old, "destroy", "--yes", "mng")
    untouched(cli, pid)
    cli.ok("destroy", "--yes", "mng")


# --- cleaned, cloned, restored, renamed


def test_git_clean_costs_nothing(stack: Cli) -> None:
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@t.example"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "the databases"]):
        subprocess.run([*git, *words], cwd=stack.folder, check=True)
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=stack.folder, check=True, capture_output=True, text=True
    )
    assert tracked.stdout.split() == ["mngdb.yaml"]
    pid, state = faults.pid(stack, "mng-redis"), stack.state
    subprocess.run(["git", "clean", "-ffdxq"], cwd=stack.folder, check=True)
    assert not (stack.folder / ".mngdb").exists()
    assert stack.json("up")["steps"] == []
    assert stack.state == state
    untouched(stack, pid)
    stack.ok("down")
    subprocess.run(["git", "clean", "-ffdxq"], cwd=stack.folder, check=True)
    stack.ok("up")
    assert keys(stack) == {"one"}


def test_a_second_checkout_is_a_stack_of_its_own(stack: Cli) -> None:
    pid = faults.pid(stack, "mng-redis")
    clone = beside(stack)
    clone.folder.mkdir()
    clone.write(faults.REDIS)
    assert "taken by" in clone.run("up").stderr  # the port
    clone.write(faults.REDIS.replace("PORT2", "PORT5"))
    clone.ok("up")
    assert keys(clone) == set()
    clone.ok("destroy", "--yes", "mng")
    untouched(stack, pid)


def test_a_clone_of_a_project_that_is_gone_is_told_of_its_data(stack: Cli) -> None:
    shutil.rmtree(stack.folder)
    clone = beside(stack)
    clone.folder.mkdir()
    clone.write(faults.REDIS)
    said = refusal(clone, "up")
    assert f"was made in {stack.folder}, which is not there any more" in said
    (row,) = [one for one in clone.json("stacks")["stacks"] if one["project"] == str(stack.folder)]
    assert (row["there"], row["units"]) == (False, ["mng-redis"])
    clone.ok("stacks", "attach", row["id"])
    clone.ok("up")
    assert keys(clone) == {"one"}
    clone.ok("destroy", "--yes", "mng")


def test_a_checkout_made_anew_in_the_same_place_is_asked_whether_it_is_the_same(
    stack: Cli,
) -> None:
    state = stack.state
    stack.folder.rename(stack.folder.with_name("aside"))
    stack.folder.mkdir()
    stack.write(faults.REDIS)
    assert "is not the directory that the stack 'mng' was made in" in refusal(stack, "up")
    shutil.rmtree(stack.folder.with_name("aside"))
    stack.ok("stacks", "attach", state.name)
    stack.ok("up")
    assert keys(stack) == {"one"}


def test_a_project_whose_state_is_missing_does_not_begin_empty(stack: Cli) -> None:
    stack.ok("down")
    aside = stack.state.with_name("aside")
    state = stack.state
    state.rename(aside)  # a disk that is not mounted, a project on another machine
    for words in (("up",), ("status",), ("destroy", "--yes", "mng")):
        said = refusal(stack, *words)
        assert f"the state of the stack 'mng' is missing: {state} does not exist" in said
        assert "mngdb up --new" in said
    aside.rename(state)  # restored from a backup
    stack.ok("up")
    assert keys(stack) == {"one"}


def test_a_stack_whose_record_was_lost_is_written_anew_when_a_command_says_so(stack: Cli) -> None:
    pid = faults.pid(stack, "mng-redis")
    (stack.state / "stack.json").unlink()
    said = refusal(stack, "up")
    assert f"{stack.state}/stack.json is missing" in said
    assert "--new" not in said
    stack.ok("stacks", "attach", stack.state.name)
    untouched(stack, pid)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x80", b"[]", b"[" * 60_000, b'{"id": 1}'])
def test_a_stack_whose_record_is_damaged_is_listed_and_written_anew_when_a_command_says_so(
    stack: Cli, content: bytes
) -> None:
    pid = faults.pid(stack, "mng-redis")
    record = stack.state / "stack.json"
    record.write_bytes(content)
    for command in ("status", "up", "doctor"):
        said = refusal(stack, command)
        assert f"{record} is damaged" in said
        assert f"mngdb stacks attach {stack.state.name}" in said
    (row,) = [one for one in stack.json("stacks")["stacks"] if one["state"] == str(stack.state)]
    assert (row["name"], row["project"], row["units"]) == ("mng", "", ["mng-redis"])
    assert "unknown: its stack.json is damaged" in stack.ok("stacks")
    stack.ok("stacks", "attach", stack.state.name)
    untouched(stack, pid)
    (row,) = [one for one in stack.json("stacks")["stacks"] if one["state"] == str(stack.state)]
    assert row["project"] == str(stack.folder)


def test_another_state_directory_is_named_with_its_variable(stack: Cli, tmp_path: Path) -> None:
    pid = faults.pid(stack, "mng-redis")
    other = Cli(stack.folder, {**stack.env, "MNGDB_STATE_HOME": str(tmp_path / "other")})
    said = refusal(other, "up")
    assert f"is in another state directory: {stack.state}" in said
    assert f"export MNGDB_STATE_HOME={stack.state.parent.parent}" in said
    untouched(stack, pid)


def test_another_name_is_no_other_stack_in_the_same_folder(stack: Cli) -> None:
    pid = faults.pid(stack, "mng-redis")
    text = (stack.folder / "mngdb.yaml").read_text()
    (stack.folder / "mngdb.yaml").write_text("name: dl2\n" + text)
    for words in (("up",), ("plan",), ("destroy", "--yes", "dl2"), ("down",)):
        said = refusal(stack, *words)
        assert "the stack of this folder is called 'mng', and mngdb.yaml says 'dl2'" in said
        assert "destroy" not in said
    (stack.folder / "mngdb.yaml").write_text(text)
    untouched(stack, pid)


def test_a_second_file_is_a_second_stack(stack: Cli) -> None:
    pid = faults.pid(stack, "mng-redis")
    text = faults.REDIS.replace("PORT2", str(stack.port(5)))
    (stack.folder / "test.yaml").write_text(f"name: test\nagent: false\n{text}")
    stack.ok("-f", "test.yaml", "up")
    stack.ok("-f", "test.yaml", "destroy", "--yes", "test")
    untouched(stack, pid)


# --- data that is not there


def test_data_that_was_there_is_not_made_anew(stack: Cli) -> None:
    stack.ok("down")
    data = faults.servers(stack) / "mng-redis/data"
    aside = data.with_name("aside")
    for lose in (
        lambda: data.rename(aside),
        lambda: (aside.mkdir(), (data / "appendonlydir").rename(aside / "appendonlydir")),
    ):
        lose()
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
    assert "the server still runs, and what it holds is lost when it ends" in done.stderr
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


# --- stacks of the version before


def as_before(stack: Cli) -> None:
    """The stack's state as the version before kept it: in the project itself; for root with the
    servers elsewhere."""
    stack.ok("down")
    state, project = stack.state, stack.folder
    shutil.rmtree(project / ".mngdb")
    if os.geteuid() == 0:  # renamed within the state's file system: it keeps its accounts
        digest = hashlib.sha256(os.fsencode(project)).hexdigest()[:8]
        servers = (state / "servers").rename(state.parent / f"mng-{digest}")
        (state / "servers").symlink_to(servers)
    shutil.copytree(state, project / ".mngdb", symlinks=True)
    for path in (project / ".mngdb", *(project / ".mngdb").rglob("*")):
        there = state / path.relative_to(project / ".mngdb")
        os.chown(path, there.lstat().st_uid, there.lstat().st_gid, follow_symlinks=False)
    shutil.rmtree(state)
    for name in ("stack.json", "units"):
        path = project / ".mngdb" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    (project / ".mngdb").chmod(0o700)


def test_a_stack_of_the_version_before_is_moved_whole_and_told(stack: Cli) -> None:
    secret = (stack.state / "secrets/redis_shop").read_text()
    as_before(stack)
    assert stack.run("status").returncode == 1
    assert "move     state: out of the project" in stack.ok("plan")
    done = stack.run("up")
    assert done.returncode == 0, done.stderr
    assert "move     state: out of the project" in done.stderr
    assert (stack.folder / ".mngdb/mng").is_symlink()
    assert (stack.state / "secrets/redis_shop").read_text() == secret
    assert keys(stack) == {"one"}
    faults.sound(stack, {"mng-redis"})
    audit = [json.loads(line) for line in (stack.state / "audit.log").read_text().splitlines()]
    assert ("move", "state") in [(one["action"], one["object"]) for one in audit]


@pytest.mark.root
def test_a_copied_project_of_the_version_before_takes_no_data(stack: Cli) -> None:
    as_before(stack)
    copy = copied(stack)
    for words in (("up",), ("destroy", "--yes", "mng"), ("down",)):
        assert "is a copy of the project that the data in" in refusal(copy, *words)
    stack.ok("up")
    assert keys(stack) == {"one"}


@pytest.mark.root
def test_a_moved_project_of_the_version_before_goes_on_when_a_command_says_so(
    stack: Cli,
) -> None:
    as_before(stack)
    moved = beside(stack)
    stack.folder.rename(moved.folder)
    servers = (moved.folder / ".mngdb/servers").readlink()
    assert f"mngdb stacks attach {servers}" in refusal(moved, "up")
    moved.ok("stacks", "attach", str(servers))
    moved.ok("up")
    assert keys(moved) == {"one"}
    moved.ok("destroy", "--yes", "mng")


def test_a_first_up_that_was_refused_leaves_no_stack_behind(cli: Cli) -> None:
    """The next `up` in a copy would have begun an empty one, without a word."""
    cli.write(faults.REDIS)
    with socket.create_server(("127.0.0.1", cli.port(2))):
        assert "is taken by" in cli.run("up").stderr
    assert not (cli.folder / ".mngdb").exists()
    every = [one["project"] for one in cli.json("stacks")["stacks"]]
    assert str(cli.folder) not in every
    cli.ok("up")
    copy = copied(cli)
    refused = copy.run("up", "--new")
    assert refused.returncode == 1
    assert "nothing was changed" in refused.stderr
    assert "is a copy of" in refusal(copy, "up")


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
    assert not psutil.pid_exists(pid)


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


def test_root_does_not_begin_an_empty_stack_beside_the_users(
    stack: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = stack.state
    monkeypatch.setattr(locate, "homes", lambda _: iter([tmp_path / "stacks", state.parent]))
    shutil.rmtree(stack.folder / ".mngdb")
    if os.geteuid() != 0:
        return  # nobody else sees stacks of others
    for path in (stack.folder, state):
        os.chown(path, 54321, 54321)
    try:
        found = locate.locate("mng", [stack.folder / "mngdb.yaml"], {})
        assert found.trouble is not None
        assert "is one of the user id 54321" in found.trouble.message
    finally:
        for path in (stack.folder, state):
            os.chown(path, 0, 0)


def test_stacks_lists_what_there_is(stack: Cli) -> None:
    (row,) = [one for one in stack.json("stacks")["stacks"] if one["project"] == str(stack.folder)]
    assert row["name"] == "mng"
    assert row["units"] == ["mng-redis"]
    assert row["there"]
    assert row["bytes"] > 0
    assert row["state"] == str(stack.state)
    assert str(stack.folder) in stack.ok("stacks")


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
        assert f"the file says that the data is in {elsewhere}, and it is in {servers}" in (
            done.stderr
        )
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
