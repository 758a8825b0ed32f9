"""A stack knows itself: what is done to a project's folder reaches neither data nor secrets."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from mngdb.identity import locate
from tests.conftest import Cli
from tests.live import faults
from tests.live.projects import begun, beside, copied, keys, put, refusal, untouched

pytestmark = pytest.mark.live


@pytest.fixture
def stack(cli: Cli) -> Cli:
    return begun(cli)


# --- copied


def test_a_copied_project_is_refused_and_the_originals_data_stays(stack: Cli) -> None:
    pid = faults.pid(stack, "mng-redis")
    copy = copied(stack)
    for words in (("up",), ("down",), ("destroy", "--yes", "mng"), ("status",), ("plan",)):
        said = refusal(copy, *words)
        assert f"{copy.folder} is a copy of {stack.folder}" in said
        assert f"mngdb stacks attach {stack.state.name}" in said
        assert "set another 'name'" in said
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
    assert f"was created in {stack.folder}, which no longer exists" in said
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
    assert "is not the directory that the stack 'mng' was created in" in refusal(stack, "up")
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
        assert "the stack of this folder is named 'mng', but mngdb.yaml says 'dl2'" in said
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
        assert "belongs to the user id 54321" in found.trouble.message
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
