"""A command that is killed right before or right after any of its writes: the same command
finishes, and nothing is there twice."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from mngdb.ops import paid
from mngdb.ops.backup import drill, kept, restore
from mngdb.ops.backup.reach import of_snapshot
from mngdb.ops.check import check
from tests.atlas.inside import Inside, Stack
from tests.atlas.world import Project
from tests.conftest import EVERYTHING

FILE = """\
name: NAME
mongodb:
  target:
    atlas:
      region: ap-northeast-2
      protected: false
      access: [203.0.113.1]
      private_link: {vpc: vpc-00000000000000001, subnets: [subnet-00000001]}
      peering: {vpc: vpc-00000000000000002, account: '123456789012', vpc_cidr: 10.20.0.0/16,
                route_tables: [rtb-00000001]}
apps:
  shop: {mongodb: chatdb}
  report: {mongodb: {database: chatdb, access: readonly}}
backup: {}
"""
WHOLE = {
    "clusters": 1,
    "users": 3,
    "roles": 2,
    "access": 2,
    "alert_configs": 5,
    "services": 1,
    "containers": 1,
    "peers": 1,
}
Command = Callable[[Stack], object]
#: More writes than any command has.
_MOST = 100


@pytest.fixture
def fresh(inside: Inside, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Stack]:
    """Makes stacks; each has a project of its own."""

    def make() -> Stack:
        folder = tmp_path_factory.mktemp("stack")
        found = Stack(folder, inside)
        found.write(FILE.replace("NAME", folder.name))
        inside.ec2.endpoints.clear()
        inside.ec2.routes.clear()
        return found

    return make


def project(stack: Stack) -> Project | None:
    every = stack.inside.world.projects.values()
    return next((one for one in every if one.document["name"] == stack.folder.name), None)


def whole(stack: Stack) -> None:
    """Everything is there once, and `up` has nothing to do."""
    found = project(stack)
    assert found is not None
    assert {name: len(getattr(found, name)) for name in WHOLE} == WHOLE
    (service,) = found.services
    assert len(found.endpoints[service]) == 1
    assert len(stack.inside.ec2.endpoints) == 1
    for user in found.users.values():
        assert [one["name"] for one in user["scopes"]] == [f"{stack.folder.name}-mongo"]
    assert [step.object for step in stack.plan().steps] == []


def every_kill(fresh: Callable[[], Stack], begin: Command, work: Command, judge: Command) -> int:
    """Kill `work` at each of its writes, one after the other, until it comes to its end: after each
    of them, then before each. Returns how many there were."""
    if EVERYTHING:
        return each_kill(fresh, begin, work, judge)
    rounds = 0
    for when in ("before", "after"):
        stack, ended, number, last = fresh(), False, 1, ""
        begin(stack)
        while not ended:
            rounds += 1
            stack.inside.kill(number, when, last)
            with stack.inside.killed():
                work(stack)
                ended = True
            assert rounds < _MOST
            if when == "before":
                number = 2  # the first is then the one that was killed
            else:
                last = stack.inside.writes[-1]
        judge(stack)
    return rounds // 2 - 1  # the last round of each is not killed


def each_kill(fresh: Callable[[], Stack], begin: Command, work: Command, judge: Command) -> int:
    """Kill `work` at each of its writes, on a stack of its own, and do it again. Returns how many
    writes it has."""
    for number in itertools.count(1):
        for when in ("before", "after"):
            stack = fresh()
            begin(stack)
            done = len(stack.inside.writes)
            stack.inside.kill(number, when)
            ended = False
            with stack.inside.killed():
                work(stack)
                ended = True
            if ended:
                assert len(stack.inside.writes) == done + number - 1
                judge(stack)
                return number - 1
            work(stack)
            judge(stack)
    raise AssertionError


def up(stack: Stack) -> None:
    report = stack.up()
    assert report.errors == {}
    assert report.refused == []


def test_up(fresh: Callable[[], Stack]) -> None:
    assert every_kill(fresh, lambda _: None, up, whole) >= 15


def test_destroy(fresh: Callable[[], Stack]) -> None:
    def work(stack: Stack) -> None:
        stack.destroy()

    def judge(stack: Stack) -> None:
        assert project(stack) is None
        assert stack.inside.ec2.endpoints == {}
        assert stack.inside.ec2.routes == {}

    assert every_kill(fresh, up, work, judge) >= 15


def begin(stack: Stack) -> None:
    up(stack)
    snapshot(stack)


def snapshot(stack: Stack) -> str:
    context = stack.context()
    return kept.take(context, context.instance("mongodb"), lambda _: None).id


def test_drill(fresh: Callable[[], Stack]) -> None:
    def work(stack: Stack) -> None:
        (found,) = drill.drill(stack.context(), [], lambda _: None)
        assert found.verdict == "pass", found.checks

    stack = fresh()
    begin(stack)
    # each drill that is finished leaves it as it was
    assert each_kill(lambda: stack, lambda _: None, work, whole) >= 6


def test_restore_in_place(fresh: Callable[[], Stack]) -> None:
    kept: dict[Path, str] = {}

    def start(stack: Stack) -> None:
        up(stack)
        kept[stack.folder] = snapshot(stack)

    def work(stack: Stack) -> None:
        context = stack.context()
        aim = of_snapshot(context, "mongodb", kept[stack.folder])
        restore.in_place(context, aim, lambda _: None)

    def judge(stack: Stack) -> None:
        found = project(stack)
        assert found is not None
        (cluster,) = found.clusters.values()
        # the one that is restored, and what was there before: one more where nothing tells that
        # the restore had begun
        assert 2 <= len(cluster.snapshots) <= 3
        assert len(cluster.restores) == 1
        whole(stack)

    assert each_kill(fresh, start, work, judge) == 2


def test_what_a_killed_drill_left_is_told_and_removed_by_up(fresh: Callable[[], Stack]) -> None:
    stack = fresh()
    begin(stack)
    stack.inside.kill(2, "before")
    with stack.inside.killed():
        drill.drill(stack.context(), [], lambda _: None)
    (told,) = paid.told(stack.context())
    assert "left of a drill that was interrupted" in told.text
    assert "about USD 58 a month" in told.text
    assert [one.action for one in stack.plan().steps if one.object == told.text.split()[0]] == [
        "drop"
    ]
    up(stack)
    whole(stack)
    assert paid.told(stack.context()) == []


def test_a_cluster_whose_instance_left_the_file_is_told_and_removed_by_name(
    fresh: Callable[[], Stack],
) -> None:
    stack = fresh()
    up(stack)
    name = f"cluster {stack.folder.name}-mongo"
    stack.write(f"name: {stack.folder.name}\nredis: {{}}\n")
    (told,) = paid.told(stack.context())
    assert (told.hint or "").startswith(f"mngdb up --allow '{name}'")
    assert "about USD 58 a month" in told.text
    (finding,) = check(stack.context(), ("stack.costly-servers",)).findings
    assert finding.verdict == "fail"
    assert paid.steps(stack.context(), ()) == []
    (step,) = paid.steps(stack.context(), [name])
    step.run(None)
    assert project(stack) is None
    assert paid.told(stack.context()) == []


def test_destroy_removes_a_cluster_that_the_file_calls_otherwise_now(
    fresh: Callable[[], Stack],
) -> None:
    stack = fresh()
    up(stack)
    file = stack.folder / "mngdb.yaml"
    file.write_text(file.read_text().replace("protected: false", "cluster: main"))
    (told,) = paid.told(stack.context())
    assert f"{stack.folder.name}-mongo" in told.text
    found = project(stack)
    assert found is not None
    stack.destroy()
    assert project(stack) is None
