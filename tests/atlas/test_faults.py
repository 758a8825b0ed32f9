"""Atlas that is slow, busy or away, and commands that are killed: the same command goes on."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.atlas.client import Client
from tests.atlas.conftest import beside
from tests.atlas.handle import Handle, atlas
from tests.conftest import EVERYTHING, Cli

pytestmark = [pytest.mark.live, pytest.mark.mongodb]


@pytest.fixture(scope="module")
def fake() -> Iterator[Handle]:
    with atlas() as found:
        found.limit(tokens=1000)
        yield found


@pytest.fixture
def stack(fake: Handle, tmp_path: Path) -> Iterator[Cli]:
    """A stack of its own, with a project and a cluster of its own."""
    found = beside(fake, tmp_path)
    write(found, fake)
    yield found
    fake.heal()
    found.run("destroy", "--yes", name(found))


def name(stack: Cli) -> str:
    """The stack's, and its project's."""
    return f"t{abs(hash(stack.folder)) % 10**8}"


def write(stack: Cli, fake: Handle, rest: str = "", apps: str = "shop: {mongodb: chatdb}") -> None:
    stack.write(
        f"name: {name(stack)}\nmongodb:\n  target:\n    atlas:\n      url: {fake.url}\n"
        f"      region: ap-northeast-2\n      protected: false\n      access: [203.0.113.1]\n{rest}"
        f"apps: {{{apps}}}\n"
    )


def group(stack: Cli, fake: Handle) -> str:
    found = Client(fake).ok("GET", f"/groups/byName/{name(stack)}")
    return f"/groups/{found['id']}"


def made(stack: Cli, fake: Handle) -> dict[str, int]:
    """How many there are of what `up` makes."""
    api, base = Client(fake), group(stack, fake)
    lists = ("clusters", "databaseUsers", "accessList", "alertConfigs")
    found = {one: len(api.ok("GET", f"{base}/{one}")["results"]) for one in lists}
    return {**found, "roles": len(api.ok("GET", f"{base}/customDBRoles/roles"))}


WHOLE = {"clusters": 1, "databaseUsers": 2, "accessList": 1, "alertConfigs": 5, "roles": 1}


def killed_after(stack: Cli, fake: Handle, count: int) -> bool:
    """Run `up`, and kill it when it has sent so many more writing requests; False: it came to its
    end before."""
    fake.requests()
    process = subprocess.Popen(
        stack.argv("up", "--yes"),
        cwd=stack.folder,
        env=stack.environ(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    sent = 0
    while process.poll() is None:
        sent += len(fake.writes())
        if sent >= count:
            process.kill()
            process.wait()
            return True
        time.sleep(0.01)
    assert process.returncode == 0
    return False


def test_killed_commands_are_finished_by_the_same_command_without_duplicates(
    fake: Handle, stack: Cli
) -> None:
    fake.speed(cluster=0.3)
    rounds = 0
    # tests/atlas/test_kills.py does so at every write, without processes
    while killed_after(stack, fake, 1 if EVERYTHING else 6):
        rounds += 1
        assert rounds < 40
    fake.speed(cluster=0.02)
    stack.ok("up", "--yes")
    assert rounds >= 1
    assert made(stack, fake) == WHOLE
    assert stack.ok("plan").strip() == "nothing to change"


def test_answers_that_are_lost_and_requests_that_are_refused_for_a_while(
    fake: Handle, stack: Cli
) -> None:
    fake.fail("create*", drop="after", times=8)
    fake.fail("get*", status=503, times=3)
    fake.fail("list*", drop="before", times=3)
    fake.fail(status=429, retry_after=0, times=100, skip=20)
    stack.ok("up", "--yes")
    fake.heal()
    assert made(stack, fake) == WHOLE
    assert stack.ok("plan").strip() == "nothing to change"


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"status": 402, "code": "NO_PAYMENT_INFORMATION_FOUND"}, "payment method"),
        ({"status": 403, "code": "USER_UNAUTHORIZED"}, "Project Owner"),
        ({"status": 409, "code": "CANNOT_CREATE_CLUSTER_EXCEEDS_LIMIT"}, "higher limit"),
    ],
)
def test_refusals_say_what_to_do(
    fake: Handle, stack: Cli, fault: dict[str, Any], words: str
) -> None:
    fake.fail("createGroupCluster", detail="Atlas' own words.", times=1, **fault)
    done = stack.run("up", "--yes")
    assert done.returncode == 1
    assert "Atlas' own words" in done.stderr
    assert fault["code"] in done.stderr
    assert words in done.stderr


def test_wrong_credentials_a_region_without_the_tier_and_no_region(
    fake: Handle, stack: Cli
) -> None:
    right = dict(stack.env)
    stack.env["MONGODB_ATLAS_CLIENT_SECRET"] = "mdb_sa_sk_wrong"
    done = stack.run("plan")
    assert done.returncode == 1
    assert "mngdb secret set atlas_client-secret" in done.stderr
    del stack.env["MONGODB_ATLAS_CLIENT_SECRET"]
    assert stack.run("plan").returncode == 2
    stack.env = right
    fake.lack("EU_WEST_3", "M10")
    text = (stack.folder / "mngdb.yaml").read_text()
    stack.write(text.replace("ap-northeast-2", "eu-west-3"))
    assert "'tier'" in stack.run("up", "--yes").stderr
    stack.write(text.replace("      region: ap-northeast-2\n", ""))
    done = stack.run("plan")
    assert done.returncode == 2
    assert "AWS_REGION" in done.stderr


def test_what_others_made_is_left_alone_or_taken_over_by_name(fake: Handle, stack: Cli) -> None:
    api = Client(fake)
    project = api.ok("POST", "/groups", {"name": name(stack), "orgId": fake.organization})
    base = f"/groups/{project['id']}"
    user = {"databaseName": "admin", "username": "shop", "groupId": project["id"]}
    held = [{"roleName": "readWriteAnyDatabase", "databaseName": "admin"}]
    theirs = {**user, "roles": held, "password": "a-password-of-theirs"}
    api.ok("POST", f"{base}/databaseUsers", theirs)
    api.ok("POST", f"{base}/accessList", [{"cidrBlock": "198.51.100.0/24", "comment": "others"}])

    fake.writes()
    assert f"project: {name(stack)}" in stack.run("plan").stderr
    assert stack.run("up", "--yes").returncode == 1
    assert fake.writes() == []

    write(stack, fake, f"      project: {name(stack)}\n")
    done = stack.run("up", "--yes")
    assert done.returncode == 1
    assert "--allow 'shop'" in done.stderr
    assert "198.51.100.0/24 is not in the file" in done.stderr
    found = api.ok("GET", f"{base}/databaseUsers/admin/shop")
    assert found["roles"][0]["roleName"] == "readWriteAnyDatabase"

    stack.ok("up", "--allow", "shop")
    found = api.ok("GET", f"{base}/databaseUsers/admin/shop")
    assert [one["roleName"] for one in found["roles"]] == ["mngdb-shop"]
    assert stack.run("doctor", "shop").returncode == 0

    stack.ok("destroy", "--yes", name(stack))
    left = api.ok("GET", f"{base}/accessList")["results"]
    assert [one["comment"] for one in left] == ["others"]
    assert api.ok("GET", f"{base}/clusters")["results"] == []
    assert api.ok("GET", f"{base}/alertConfigs")["results"] != []  # Atlas' own


def test_no_cluster_is_made_in_a_project_that_another_stack_administers(
    fake: Handle, stack: Cli
) -> None:
    api = Client(fake)
    project = api.ok("POST", "/groups", {"name": name(stack), "orgId": fake.organization})
    user = {"databaseName": "admin", "username": "mngdb-admin", "groupId": project["id"]}
    held = [{"roleName": "atlasAdmin", "databaseName": "admin"}]
    api.ok(
        "POST",
        f"/groups/{project['id']}/databaseUsers",
        {**user, "roles": held, "password": "a-password-of-theirs"},
    )
    write(stack, fake, f"      project: {name(stack)}\n")
    fake.writes()
    done = stack.run("up", "--yes")
    assert done.returncode == 1
    assert "--allow 'mngdb-admin'" in done.stderr
    assert fake.writes() == []


def test_a_protected_cluster_is_not_destroyed(fake: Handle, stack: Cli) -> None:
    text = (stack.folder / "mngdb.yaml").read_text()
    stack.write(text.replace("protected: false", "protected: true"))
    stack.ok("up", "--yes")
    done = stack.run("destroy", "--yes", name(stack))
    assert done.returncode == 2
    assert "protected: false" in done.stderr
    assert "not stopped, as their provider runs them" in stack.run("down").stderr
    stack.write(text)
    stack.ok("up")
    stack.ok("destroy", "--yes", name(stack))
    assert Client(fake).refused("GET", f"/groups/byName/{name(stack)}")[0] == 404
