"""Redis and MongoDB that somebody else runs: converged by the same steps, the rest left alone."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymongo
import pytest
import redis
from pymongo.errors import OperationFailure

from mngdb.targets.local import programs
from tests.conftest import Cli, free_port
from tests.live.clients import converge, mongo_as, planned, problems, redis_as, said, set_secret
from tests.live.scrapes import AGENT, until, whole

pytestmark = pytest.mark.live

THEIRS = """
name: mng
mongodb: {port: PORT2}
apps: {theirs: {mongodb: theirs}}
"""
#: A Redis without mngdb: an ACL file, an administrator, an app, another stack's app.
ACL = """\
user default off
user admin on >{secret} ~* &* +@all
user stranger on >strangers-own-secret ~s:* &s:* +@read
user taken on >takens-own-secret ~t:* +@read (~mngdb:other resetchannels -@all)
"""
OURS = """
name: ours
redis: {target: {external: {url: "redis://admin@127.0.0.1:PORT1"}}}
mongodb: {target: {external: {url: "mongodb://admin@127.0.0.1:PORT2/?directConnection=true"}},
          databases: {shop: {indexes: {users: [{keys: {email: 1}, unique: true}]}}}}
apps:
  shop: {redis: "shop:*", mongodb: shop}
"""


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, str]]:
    """Port and administrator's secret of a Redis that was started by hand."""
    folder, port, secret = tmp_path_factory.mktemp("redis"), free_port(), "theirs" * 6
    (folder / "users.acl").write_text(ACL.format(secret=secret))
    program = programs.find("redis", "8", None, None)
    argv = [program.server, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir"]
    server = subprocess.Popen([*argv, str(folder), "--aclfile", str(folder / "users.acl")])
    try:
        with redis.Redis(port=port, username="admin", password=secret, socket_timeout=60) as client:
            until(lambda: answers(client))
        yield port, secret
    finally:
        server.terminate()
        server.wait(60)


def answers(client: Any) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


@pytest.fixture(scope="module")
def theirs(module_cli: Cli, foreign: tuple[int, str]) -> Cli:
    module_cli._ports[1] = foreign[0]
    module_cli.write(THEIRS)
    module_cli.ok("up")
    return module_cli


@pytest.fixture
def ours(theirs: Cli, foreign: tuple[int, str], tmp_path: Path) -> Iterator[Cli]:
    cli = Cli(tmp_path, _ports=theirs._ports)
    cli.write(OURS)
    set_secret(cli, "redis_admin", foreign[1])
    mongo_secret = (theirs.state / "secrets" / "mongodb_admin").read_text()
    set_secret(cli, "mongodb_admin", mongo_secret)
    yield cli
    with redis.Redis(
        port=foreign[0], username="admin", password=foreign[1], socket_timeout=60
    ) as admin:
        admin.acl_deluser("shop")
    with mongo_as(theirs) as mongo:
        if mongo.admin.command("usersInfo", "shop")["users"]:
            mongo.admin.command("dropUser", "shop")
            mongo.admin.command("dropRole", "mngdb-shop")
        mongo.drop_database("shop")


def test_a_login_that_the_server_cannot_save_is_not_made(
    ours: Cli, foreign: tuple[int, str]
) -> None:
    with redis.Redis(port=foreign[0], username="admin", password=foreign[1]) as admin:
        folder = Path(admin.config_get("aclfile")["aclfile"]).parent
        away = folder.rename(folder.with_name("away"))
        try:
            for _ in range(2):
                done = ours.run("up")
                assert done.returncode == 1
                assert "cannot save its logins" in done.stderr
                assert "aclfile" in done.stderr
            assert "shop" not in admin.acl_users()
        finally:
            away.rename(folder)
        ours.ok("up")
        assert "user shop " in (folder / "users.acl").read_text()


def test_apps_get_their_rights_and_strangers_stay_as_they_are(theirs: Cli, ours: Cli) -> None:
    with redis_as(ours) as admin, mongo_as(theirs) as mongo:
        logins = {name: admin.acl_getuser(name) for name in admin.acl_users()}
        users = mongo.admin.command("usersInfo", showCredentials=True)["users"]
        settings = admin.config_get("*")
        steps = said(converge(ours))
        assert {("create", "shop"), ("create", "shop.users.email_1")} <= set(steps)
        assert not {action for action, _ in steps} & {"start", "restart", "reload"}
        assert problems(ours, "shop") == {"redis": None, "mongodb": None}
        assert {name: admin.acl_getuser(name) for name in logins} == logins
        after = mongo.admin.command("usersInfo", showCredentials=True)["users"]
        assert [user for user in after if user["user"] != "shop"] == users
        assert admin.config_get("*") == settings
    ours.ok("up", "--prune")
    assert problems(theirs, "theirs") == {"mongodb": None}


@pytest.mark.parametrize("right", ["taken: {redis: 't:*'}", "theirs: {mongodb: theirs}"])
def test_a_login_of_another_stack_is_not_taken_over(theirs: Cli, ours: Cli, right: str) -> None:
    ours.write(OURS.partition("apps:")[0] + f"apps: {{{right}}}\n")
    done = ours.run("plan")
    assert done.returncode == 2
    assert "belongs to the stack" in done.stderr
    assert problems(theirs, "theirs") == {"mongodb": None}


@pytest.mark.parametrize("engine", ["redis", "mongodb"])
def test_a_wrong_secret_or_a_server_out_of_reach_is_exit_3(ours: Cli, engine: str) -> None:
    set_secret(ours, f"{engine}_admin", "wrong" * 8)
    for command in ("plan", "up"):
        done = ours.run(command)
        assert done.returncode == 3, done.stderr
        assert "refuses the login" in done.stderr
        assert f"hint: mngdb secret set {engine}_admin" in done.stderr
        assert "wrongwrong" not in done.stderr
    port = "PORT1" if engine == "redis" else "PORT2"
    ours.write(OURS.replace(port, "PORT7") + '  new: {redis: "new:*", mongodb: new}\n')
    done = ours.run("plan", "--json")
    assert done.returncode == 3
    assert str(ours.port(7)) in done.stderr
    assert f"hint: ask its operator, and check the url of {engine}" in done.stderr
    document = json.loads(done.stdout)
    assert [one["instance"] for one in document["errors"]] == [engine]
    steps = [one for one in document["steps"] if "secret" not in one["object"]]
    assert {step["instance"] for step in steps} - {"vault"} == {
        other for other in ("redis", "mongodb") if other != engine
    }, "what can be told of the others is told"


def test_what_was_removed_comes_back_into_the_servers(
    theirs: Cli, ours: Cli, tmp_path: Path
) -> None:
    ours.write(f"{OURS}agent: false\nbackup: {{store: {tmp_path}/store}}\n")
    ours.ok("up")
    with redis_as(ours) as admin, mongo_as(theirs) as mongo:
        admin.set("shop:a", "1")
        mongo.shop.item.insert_one({"n": 7})
        ours.ok("backup")
        admin.delete("shop:a")
        mongo.shop.item.drop()
        ours.ok("restore", "redis", "--latest", "--keys", "shop:*")
        ours.ok("restore", "mongodb", "--latest", "--collection", "shop.item")
        assert admin.get("shop:a") in {"1", b"1"}
        assert mongo.shop.item.find_one({}, {"_id": 0}) == {"n": 7}
    refused = ours.run("restore", "redis", "--latest", "--replace", "--yes")
    assert (refused.returncode, "is on external" in refused.stderr) == (2, True)


def test_an_administrators_secret_cannot_be_made_up(ours: Cli) -> None:
    (ours.state / "secrets" / "redis_admin").unlink()
    for command in ("up", "plan"):
        done = ours.run(command, "--json")
        assert done.returncode == 2
        assert "hint: mngdb secret set redis_admin" in done.stderr
    document = json.loads(done.stdout)
    assert "redis_admin" not in str(document["steps"]), "nobody could make it"
    assert {step["instance"] for step in document["steps"]} - {"vault"} == {"redis", "mongodb"}
    gone = ours.run("destroy", "--yes", "ours")
    assert "on external servers are kept: redis, mongodb" in gone.stderr


def test_a_setting_that_needs_a_restart_is_told_not_done(ours: Cli) -> None:
    ours.ok("up")
    ours.write(OURS.replace("redis: {", "redis: {settings: {databases: 4, hz: 20}, "))
    plan = ours.json("plan")
    assert [(s["action"], s["object"]) for s in plan["steps"]] == [("change", "setting hz")]
    assert any("databases is 16" in notice["text"] for notice in plan["remarks"])
    converge(ours)
    ours.write(OURS)
    assert planned(ours) == []


def test_the_agent_looks_at_them_on_request(ours: Cli) -> None:
    ours.ok("up")
    ours.write(OURS + AGENT.replace("{ports", "{external: true, ports"))
    assert {("create", "monitor"), ("start", "ours-agent")} <= set(planned(ours))
    try:
        ours.ok("up")
        assert planned(ours) == []
        assert whole(ours, "redis")["redis_uptime_in_seconds"] > 0
        assert whole(ours, "mongodb")["mongodb_rs_myState"] == 1
        rules = {rule["name"] for rule in ours.json("alerts", "rules")["rules"]}
        assert {"RedisDown", "MongodbDown", "HostDiskHigh"} <= rules
        targets = ours.json("render", "prometheus")["files"]["prometheus.yml"]
        assert f"127.0.0.1:{ours.port(5)}" in targets
    finally:
        ours.write(OURS)
        ours.ok("up")
    assert ours.json("status")["units"][-1]["engine"] != "agent"


def test_a_login_of_somebody_else_is_taken_over_only_when_the_command_says_so(
    theirs: Cli, ours: Cli, foreign: tuple[int, str]
) -> None:
    ours.write(OURS.partition("apps:")[0] + 'apps: {clerk: {redis: "c:*", mongodb: shop}}\n')
    own: dict[str, Any] = {"username": "clerk", "password": "clerks-own-secret"}
    with redis_as(ours) as admin, mongo_as(theirs) as mongo:
        try:
            admin.acl_setuser(
                "clerk", enabled=True, commands=["+ping"], passwords=[f"+{own['password']}"]
            )
            mongo.admin.command("createUser", "clerk", pwd=own["password"], roles=[])
            before = admin.acl_getuser("clerk")
            steps = [one for one in ours.json("plan")["steps"] if one["object"] == "clerk"]
            assert [(one["action"], one["destructive"]) for one in steps] == [("change", True)] * 2
            done = ours.run("up")
            assert done.returncode == 1
            assert "mngdb up --allow 'clerk'" in done.stderr
            assert admin.acl_getuser("clerk") == before
            with redis.Redis(port=foreign[0], **own, socket_timeout=60) as clerk:
                assert clerk.ping()
            with pymongo.MongoClient[Any](
                port=theirs.port(2), **own, directConnection=True
            ) as client:
                assert client.admin.command("ping")["ok"]
            converge(ours, "--allow", "clerk")
            assert problems(ours, "clerk") == {"redis": None, "mongodb": None}
        finally:
            admin.acl_deluser("clerk")
            mongo.admin.command("dropUser", "clerk")
            with contextlib.suppress(OperationFailure):
                mongo.admin.command("dropRole", "mngdb-clerk")
