"""Atlas keeps the backups itself: taken, listed, restored and tried through mngdb."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymongo
import pytest

from tests.atlas.client import Client
from tests.atlas.conftest import beside
from tests.atlas.handle import Handle
from tests.conftest import Cli
from tests.live.scrapes import until

pytestmark = [pytest.mark.live, pytest.mark.mongodb]

FILE = """\
name: chat
mongodb:
  target:
    atlas: {url: URL, region: ap-northeast-2, protected: false}
  databases:
    chatdb: {indexes: {users: [{keys: {username: 1}, unique: true}]}}
apps:
  shop: {mongodb: chatdb}
backup: {}
"""


@pytest.fixture(scope="module")
def stack(fake: Handle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """A converged stack with three users in its cluster."""
    found = beside(fake, tmp_path_factory.mktemp("stack"))
    found.write(FILE.replace("URL", fake.url))
    found.ok("up", "--yes")
    with live(fake, found) as users:
        users.insert_many([{"username": name} for name in "abc"])
    yield found
    found.run("destroy", "--yes", "chat")


class live:  # noqa: N801 - reads as a function
    """The collection of the live cluster, as the app has it."""

    def __init__(self, fake: Handle, stack: Cli) -> None:
        env = stack.env_of("shop")
        self.client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(
            strings(stack)["chat-mongo standard"],
            username="shop",
            password=env["MONGO_PASSWORD"],
            tlsCAFile=str(fake.ca),
        )

    def __enter__(self) -> Any:
        return self.client.chatdb.users

    def __exit__(self, *_: object) -> None:
        self.client.close()


def strings(stack: Cli) -> dict[str, str]:
    journal = json.loads((stack.state / "atlas" / "journal.json").read_text())
    found: dict[str, str] = journal["connection"]
    return found


def clusters(fake: Handle) -> set[str]:
    """Names of those that are there and are not being deleted."""
    return set(fake.do("clusters"))


def test_a_snapshot_is_taken_and_waited_for(fake: Handle, stack: Cli) -> None:
    fake.writes()
    done = stack.run("backup", "--json")
    assert done.returncode == 0, done.stderr
    assert fake.writes() == ["takeGroupClusterBackupSnapshots"]
    (one,) = json.loads(done.stdout)["instances"]
    (found,) = json.loads(stack.ok("backups", "--json"))["instances"]
    assert [s["id"] for s in found["snapshots"]] == [one["id"]]
    assert found["kept_by"] == "Atlas"
    assert "Atlas" in stack.ok("status")


def test_what_is_not_for_us_is_said(stack: Cli) -> None:
    for command in (("verify",), ("backup", "prune", "--yes")):
        done = stack.run(*command)
        assert done.returncode == 0, done.stderr
        assert "mongodb: not applicable: Atlas keeps its backups" in done.stderr


def test_a_drill_says_what_it_costs(fake: Handle, stack: Cli) -> None:
    fake.writes()
    refused = stack.run("drill")
    assert "about USD 58 a month" in refused.stderr
    assert refused.returncode == 2
    assert fake.writes() == []


def test_a_drill_that_was_killed_is_finished_by_the_next(fake: Handle, stack: Cli) -> None:
    fake.speed(restore=1e6)
    killed = subprocess.Popen(
        stack.argv("drill", "--yes"),
        cwd=stack.folder,
        env=stack.environ(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while "createGroupClusterBackupRestoreJob" not in fake.writes():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    killed.kill()
    killed.wait()
    (left,) = clusters(fake) - {"chat-mongo"}
    fake.speed(restore=0.02)
    # its logins may come to it, which is no reason for 'up' to do anything about them
    (step,) = stack.json("plan")["steps"]
    assert (step["action"], step["object"]) == ("drop", left)
    assert f"{left} is left of a drill that was interrupted" in stack.run("status").stderr
    (one,) = json.loads(stack.ok("backups", "--json"))["instances"][0]["snapshots"]
    found = json.loads(stack.ok("drill", "--yes", "--json", "--snapshot", one["id"]))["drills"][0]
    assert found["verdict"] == "pass", found
    assert {"server", "restore", "settle", "logins", "checks"} <= found["phases"].keys()
    names = {check["name"]: check["detail"] for check in found["checks"]}
    assert names["login shop"] == "does its work"
    assert names["chatdb.users"] == "3 documents, 2 indexes"
    assert left not in clusters(fake)
    assert clusters(fake) == {"chat-mongo"}
    assert stack.ok("plan").strip() == "nothing to change"
    proved = stack.run("check", "--json", "--all")
    assert '"mongodb.backup-proved"' in proved.stdout


def test_a_drill_goes_to_a_moment_between_snapshots(fake: Handle, stack: Cli) -> None:
    def window() -> bool:
        span = stack.json("backups")["instances"][0]["reachable"][-1]
        return str(span["from"]) < str(span["to"])

    until(window)  # the API's moments are whole seconds
    # by chance it would be the snapshot's own second now and then
    newest = "import random; random.uniform = max; from mngdb.__main__ import run; run()"
    done = subprocess.run(
        [sys.executable, "-c", newest, "drill", "--yes", "--json"],
        cwd=stack.folder, env=stack.environ(), text=True, capture_output=True, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout)["drills"][0]
    assert found["verdict"] == "pass", found
    api = Client(fake)
    group = f"/groups/{api.ok('GET', '/groups/byName/chat')['id']}"
    jobs = api.ok("GET", f"{group}/clusters/chat-mongo/backup/restoreJobs")["results"]
    assert "pointInTime" in {one["deliveryType"] for one in jobs}


def test_a_collection_comes_back_under_another_name(fake: Handle, stack: Cli) -> None:
    words = ("restore", "mongodb", "--latest", "--collection", "chatdb.users", "--yes")
    found = json.loads(stack.ok(*words, "--as", "users_then", "--json"))
    assert found["name"] == "chatdb.users_then", found
    with live(fake, stack) as users:
        assert users.database.users_then.count_documents({}) == users.count_documents({})
        users.database.users_then.drop()
    assert clusters(fake) == {"chat-mongo"}
    refused = stack.run("restore", "mongodb", "--latest", "--database", "chatdb", "--yes")
    assert refused.returncode == 2


def test_a_restore_beside_is_reached_and_forgotten(fake: Handle, stack: Cli) -> None:
    with live(fake, stack) as users:
        users.insert_one({"username": "later"})
    done = stack.run("restore", "mongodb", "--latest", "--yes", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["unable"] == {}
    assert found["address"] != strings(stack)["chat-mongo standard"]
    assert "restored-" in stack.ok("status")
    assert "later" not in stack.ok("url", "mongodb", "shop", "--restored")
    assert len(clusters(fake)) == 2
    stack.ok("restore", "--forget", "mongodb")
    assert clusters(fake) == {"chat-mongo"}
    assert stack.ok("plan").strip() == "nothing to change"


def test_the_live_cluster_gets_a_snapshot_back(fake: Handle, stack: Cli) -> None:
    first = json.loads(stack.ok("backups", "--json"))["instances"][0]["snapshots"][0]["id"]
    fake.writes()
    refused = stack.run("restore", "mongodb", "--snapshot", first, "--replace")
    assert "a snapshot of what it has is taken first" in refused.stderr
    assert refused.returncode == 2
    assert fake.writes() == []
    done = stack.run("restore", "mongodb", "--snapshot", first, "--replace", "--yes")
    assert done.returncode == 0, done.stderr
    with live(fake, stack) as users:
        assert {one["username"] for one in users.find()} == set("abc")
    again = done.stderr.partition("bring that back with: mngdb ")[2].split("\n")[0]
    stack.ok(*again.split(), "--yes")
    with live(fake, stack) as users:
        assert users.count_documents({}) == 4


def test_what_atlas_refuses_is_told_in_its_words(fake: Handle, stack: Cli) -> None:
    fake.doom("snapshot")
    done = stack.run("backup")
    fake.heal()
    assert done.returncode == 1
    assert "could not take the snapshot" in done.stderr
    done = stack.run("restore", "mongodb", "--snapshot", "0" * 24, "--yes")
    assert done.returncode == 2
    assert "'mngdb backups' lists them" in done.stderr


def test_slow_operations_come_from_the_performance_advisor(fake: Handle, stack: Cli) -> None:
    with live(fake, stack) as users:
        users.insert_many([{"username": f"n{n}"} for n in range(300)])
        users.find_one({"$where": "sleep(1) || false", "username": {"$gte": ""}})
    found = json.loads(stack.ok("slow", "--json"))["statements"]
    assert any(one["text"].startswith("users.find(") for one in found), found
    assert "listGroupProcessPerformanceAdvisorSlowQueryLogs" in {
        one["operation"] for one in fake.requests()
    }


def test_its_suggestions_are_among_the_indexes(fake: Handle, stack: Cli) -> None:
    with live(fake, stack) as users:
        for _ in range(3):
            users.find_one({"$where": "sleep(1) || false", "colour": {"$ne": "red"}})
    found = json.loads(stack.ok("indexes", "--json"))["instances"][0]["indexes"]
    (one,) = [each for each in found if each["index"] == "colour"]
    assert (one["kind"], one["database"], one["table"]) == ("missing", "chatdb", "users")
    assert "Performance Advisor" in one["reason"]
    assert one["statement"] == 'db.getSiblingDB("chatdb")["users"].createIndex({"colour": 1})'


def test_the_secret_of_the_service_account_is_renewed_within_the_overlap(
    fake: Handle, stack: Cli
) -> None:
    before = dict(stack.env)
    client, secret = fake.account
    for variable in list(stack.env):
        if variable.startswith("MONGODB_ATLAS"):
            del stack.env[variable]
    for name, value in (("atlas_client-id", client), ("atlas_client-secret", secret)):
        stack.ok("secret", "set", name, stdin=value + "\n")
    try:
        note = stack.state / "atlas" / "journal.json"
        fake.writes()
        stack.ok("rotate", "--due")
        assert fake.writes() == []  # it is good for a year
        fake.do("ends", client=client, days=20)
        noted(note, "2000-01-01T00:00:00Z")
        fake.fail("*Secret", method="POST", drop="after")  # made, and nobody was told
        assert "atlas_client-secret is new" in stack.run("rotate", "--due").stderr
        done = [one.partition("Org")[0] for one in fake.writes() if "Secret" in one]
        assert done == ["create", "delete", "create"]
        made = (stack.state / "secrets" / "atlas_client-secret").read_text().strip()
        assert made != secret
        assert stack.ok("plan").strip() == "nothing to change"
        stack.ok("rotate", "--due")
        assert fake.writes() == []
    finally:
        stack.env = before


def noted(journal: Path, moment: str) -> None:
    """Have the journal say that the credentials end then."""
    found = json.loads(journal.read_text())
    found.setdefault("credentials", {})["expires"] = moment
    journal.write_text(json.dumps(found))
