"""The target `atlas` against an Atlas: from nothing to a cluster, and twice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.atlas.conftest import beside
from tests.atlas.handle import Handle
from tests.conftest import EVERYTHING, Cli

pytestmark = [pytest.mark.live, pytest.mark.mongodb]

FILE = """\
name: chat
mongodb:
  target:
    atlas:
      url: URL
      region: ap-northeast-2
      protected: false
      access: [{ip: 203.0.113.1, comment: office}]
  databases:
    chatdb: {indexes: {users: [{keys: {username: 1}, unique: true}]}}
apps:
  shop: {mongodb: chatdb}
  report: {mongodb: {database: chatdb, access: readonly}}
"""


@pytest.fixture(scope="module")
def stack(fake: Handle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """A converged stack with a cluster."""
    found = beside(fake, tmp_path_factory.mktemp("stack"))
    found.write(FILE.replace("URL", fake.url))
    yield found
    found.run("destroy", "--yes", "chat")


def test_nothing_is_made_before_somebody_agrees_to_what_it_costs(fake: Handle, stack: Cli) -> None:
    fake.writes()
    plan = stack.ok("plan")
    assert "cluster chat-mongo: M10, AP_NORTHEAST_2, 3 nodes" in plan
    assert "costs: about USD 58 a month" in plan
    done = stack.run("up")
    assert done.returncode == 1
    assert "mngdb up --yes" in done.stderr
    assert fake.writes() == []


def test_a_cluster_is_made_and_the_second_time_there_is_nothing_to_do(
    fake: Handle, stack: Cli
) -> None:
    stack.ok("up", "--yes")
    assert "createGroupCluster" in fake.writes()
    for seed in range(100 if EVERYTHING else 3):
        fake.disorder(seed)
        assert "nothing to change" in stack.run("up").stderr
        assert fake.writes() == []
    fake.requests()
    assert stack.ok("plan").strip() == "nothing to change"
    assert len(fake.requests()) <= 12


def test_apps_log_in_with_their_own_rights(stack: Cli) -> None:
    assert stack.run("doctor", "shop").returncode == 0
    assert stack.run("doctor", "report").returncode == 0
    env = stack.env_of("shop")
    assert env["MONGO_URI"].startswith("mongodb+srv://shop:")
    assert "retryWrites=true&w=majority" in env["MONGO_URI"]
    assert env["MONGO_USE_TLS"] == "true"
    assert "healthy" in stack.ok("status")


def test_an_app_that_left_loses_its_login(fake: Handle, stack: Cli) -> None:
    text = FILE.replace("URL", fake.url)
    stack.write(text.replace("  report: {mongodb: {database: chatdb, access: readonly}}\n", ""))
    fake.writes()
    stack.ok("up")
    assert fake.writes() == ["deleteGroupDatabaseUser", "deleteGroupCustomDbRoleRole"]
    stack.write(text)
    stack.ok("up")
    assert stack.run("doctor", "report").returncode == 0


def test_entries_change_and_go_with_the_file(fake: Handle, stack: Cli) -> None:
    text = FILE.replace("URL", fake.url)
    for until in (fake.moment(86_400), "2099-01-01"):  # Atlas takes a week at most
        entry = f"{{ip: 203.0.113.2, until: '{until}'}}"
        stack.write(text.replace("{ip: 203.0.113.1, comment: office}", entry))
        assert f"until {until}" in stack.ok("plan")
        stack.ok("up")
        assert stack.ok("plan").strip() == "nothing to change"
    stack.write(text)
    stack.ok("up")
    assert stack.ok("plan").strip() == "nothing to change"


def test_the_hardware_changes_with_the_file(fake: Handle, stack: Cli) -> None:
    wanted = FILE.replace("URL", fake.url).replace(
        "region:", "tier: M20\n      disk: 20gb\n      region:"
    )
    stack.write(wanted)
    assert "tier M10 → M20, disk 10 GB → 20 GB" in stack.ok("plan")
    fake.writes()
    stack.ok("up", "--yes")
    assert fake.writes() == ["updateGroupCluster"]
    assert stack.ok("plan").strip() == "nothing to change"
    assert fake.violations() == []
