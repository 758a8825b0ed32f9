"""What a stack did not make is never touched, whatever there is and whatever is asked: only what a
command names is taken over. Chance makes the others' things, the files and the commands."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path
from random import Random
from urllib.parse import unquote

import pytest

from mngdb.errors import MngdbError
from mngdb.ops.plan import Plan
from tests.atlas.inside import Inside, Stack
from tests.atlas.strangers import CLUSTERS, PLACES, VPCS, Strangers, everything
from tests.conftest import EVERYTHING

KINDS = ("user", "user", "role", "cluster", "entry", "alert", "service", "peer")
#: Of a name that a killed command was about to take, nobody can tell whose it is.
LATER = ("user", "cluster", "entry", "alert")
#: Refusals of requests, of which the next command knows nothing.
REFUSED = ((402, "NO_PAYMENT_INFORMATION_FOUND"), (403, "USER_UNAUTHORIZED"), (409, "CONFLICT"))


def file(chance: Random, project: str) -> str:
    """A file of ours."""
    entries = chance.sample(PLACES[:2] + PLACES[3:], chance.randint(0, 2))
    if {"203.0.113.1/32", "203.0.113.0/24"} <= {*entries}:
        entries = entries[:1]  # they overlap
    lines = [f"access: [{', '.join(entries)}]", f"project: {project}" * (chance.random() < 0.7)]
    lines += [f"cluster: {chance.choice(CLUSTERS[:2])}" * (chance.random() < 0.5)]
    if chance.random() < 0.4:
        vpc = chance.choice(VPCS)
        lines.append(f"private_link: {{vpc: {vpc}, subnets: [subnet-00000001]}}")
    if chance.random() < 0.4:
        vpc = chance.choice(VPCS)
        lines.append(
            f"peering: {{vpc: {vpc}, account: '123456789012', vpc_cidr: 10.20.0.0/16, "
            "route_tables: [rtb-00000001]}"
        )
    apps = [app for app in ("shop", "report") if chance.random() < 0.7] or ["other"]
    return "\n".join(
        [
            "name: chat",
            "mongodb:",
            "  target:",
            "    atlas:",
            "      region: ap-northeast-2",
            "      protected: false",
            *(f"      {line}" for line in lines if line),
            "apps:",
            *(f"  {app}: {{mongodb: chatdb}}" for app in apps),
            "backup: {}" * (chance.random() < 0.5),
        ]
    )


def taken(name: str, paths: list[str], inside: Inside) -> set[str]:
    """The paths of what a command takes over by naming it."""
    first, _, rest = name.partition(" ")
    ends = {
        "cluster": (f"/clusters/{rest}",),
        "access": (f"/accessList/{rest}",),
    }.get(first, (f"/databaseUsers/admin/{name}", f"/roles/{name}", f"/roles/mngdb-{name}"))
    found = {path for path in paths if path.endswith(ends)}
    if first == "peering":
        every = (one.peers for one in inside.world.projects.values())
        mine = [k for peers in every for k, one in peers.items() if one["vpcId"] == rest]
        found |= {path for path in paths if path.rpartition("/")[2] in mine}
    return found


@pytest.mark.mongodb
@pytest.mark.parametrize("seed", range(2000 if EVERYTHING else 20))
def test_what_others_have_stays_as_it_is(inside: Inside, seed: int) -> None:
    inside.empty()
    chance = Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        stack = Stack(Path(folder), inside)
        stack.write(file(chance, "chat"))
        context = stack.context()
        context.claim()
        try:
            _live(stack, chance, f"chat/{context.located.record.id[:8]}")
        finally:
            with inside.killed(), suppress(MngdbError):
                stack.destroy()


def _live(stack: Stack, chance: Random, mark: str) -> None:
    inside, others = stack.inside, Strangers(stack.inside, chance, mark)
    for name in ("chat", "others", "chat2"):
        if name == "chat" or chance.random() < 0.5:
            others.add(others.project(name), KINDS)
    theirs = everything(inside)
    for _ in range(chance.randint(2, 5)):
        named = _command(stack, chance, [*theirs])
        for path in set().union(*(taken(name, [*theirs], inside) for name in named)):
            del theirs[path]
        _unchanged(inside, theirs)
        if chance.random() < 0.3:
            before = everything(inside)
            projects = [*inside.world.projects]
            if projects:
                others.add(chance.choice(projects), LATER)
            now = everything(inside)
            theirs |= {path: text for path, text in now.items() if path not in before}


def _command(stack: Stack, chance: Random, paths: list[str]) -> list[str]:
    """Some command, which may be killed or meet a refusal. Returns what it names."""
    inside, named = stack.inside, list[str]()
    if chance.random() < 0.5:
        stack.write(file(chance, chance.choice(("chat", "chat2"))))
    if chance.random() < 0.3:
        inside.kill(chance.randint(1, 12), chance.choice(("before", "after")))
    if chance.random() < 0.3:
        status, code = chance.choice(REFUSED)
        skip = chance.randint(0, 8)
        inside.atlas.do_fail(operation="create*", status=status, code=code, skip=skip)
    inside.writes.clear()
    with inside.killed(), suppress(MngdbError):
        match chance.choice(("up", "up", "up", "prune", "allow", "destroy")):
            case "up":
                stack.up()
            case "prune":
                stack.up("*")
            case "allow":
                named = _names(stack.plan(), chance)
                stack.up(*named)
            case "destroy":
                stack.destroy()
    inside.atlas.do_heal()
    inside.settle()
    return named


def _names(plan: Plan, chance: Random) -> list[str]:
    """Some of those that a plan asks to name."""
    asked = [step.object for step in plan.steps if step.destructive]
    return [name for name in asked if chance.random() < 0.7]


def _unchanged(inside: Inside, theirs: dict[str, str]) -> None:
    now = everything(inside)
    wrong = {path: (text, now.get(path)) for path, text in theirs.items() if now.get(path) != text}
    assert wrong == {}
    for write in inside.writes:
        path = unquote(write.partition("/api/atlas/v2")[2])
        assert path not in theirs or path.count("/") == 2, write
