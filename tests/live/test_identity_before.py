"""Stacks of the version before, which had their state in the project."""

from __future__ import annotations

import hashlib
import json
import os
import shutil

import pytest

from tests.conftest import Cli
from tests.live import faults
from tests.live.projects import begun, beside, copied, keys, refusal

pytestmark = pytest.mark.live


@pytest.fixture
def stack(cli: Cli) -> Cli:
    return begun(cli)


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
    assert "move state: moved out of the project" in stack.ok("plan")
    done = stack.run("up")
    assert done.returncode == 0, done.stderr
    assert "move     state: moved out of the project" in done.stderr
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
