"""Logins of Redis and MongoDB that the file does not name: told by `plan` with what they may do,
judged by `check` by effect, closed only when the command names them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pymongo.errors
import pytest
import redis

from tests.checks.judge import findings, one
from tests.conftest import Cli
from tests.live.clients import converge, mongo_as, redis_as

pytestmark = pytest.mark.live

SECRET = "a-password-that-nobody-has-in-a-list"
FILE = """
redis: {port: PORT1}
mongodb: {port: PORT2}
apps:
  shop: {redis: "shop:*", mongodb: shop}
"""
#: What the checks of requirement B13 say of logins.
B13 = [f"redis.{name}" for name in ("acl-dangerous", "acl-keys", "acl-channels", "acl-admins")]


@pytest.fixture(scope="module")
def cli(module_cli: Cli) -> Cli:
    module_cli.write(FILE)
    module_cli.ok("up")
    return module_cli


@pytest.fixture
def intruder(cli: Cli) -> Iterator[Any]:
    """Makes a Redis login with these rules; it is gone at the end."""
    with redis_as(cli) as admin:

        def make(*rules: str) -> None:
            admin.execute_command("ACL", "SETUSER", "intruder", "on", f">{SECRET}", *rules)

        yield make
        admin.execute_command("ACL", "DELUSER", "intruder")
    assert cli.json("plan")["steps"] == []


def notices(cli: Cli) -> str:
    """What `plan` says beside its steps."""
    return cli.run("plan").stderr


def test_a_redis_login_of_nobodys_with_all_keys_and_commands_passes_nothing(
    cli: Cli, intruder: Any
) -> None:
    """It passed the checks of requirement B13, which looked at the apps of the file alone."""
    intruder("~*", "&*", "+@all")
    found = findings(cli, *B13, "redis.logins-known")
    assert {name: f.verdict for name, f in found.items()} == dict.fromkeys(found, "fail")
    assert all("intruder" in f.evidence for f in found.values())
    assert "intruder (all keys, all channels, acl|deluser" in found["redis.logins-known"].evidence
    said = notices(cli)
    assert "the login intruder is not in the file (~* &* +@all)" in said
    assert "mngdb up --allow intruder" in said


@pytest.mark.parametrize(
    ("rules", "name", "evidence"),
    [
        (("~*", "+get"), "acl-keys", "intruder"),
        (("+flushall",), "acl-dangerous", "intruder: flushall"),
        (("+config|set",), "acl-admins", "intruder"),
        (("%R~shop:*", "+get"), "logins-known", "intruder (keys of shop)"),
        (("(~shop:* +del)",), "logins-known", "intruder (keys of shop)"),
        (("~its:*", "+get"), "logins-known", "intruder"),
    ],
)
def test_what_a_redis_login_may_do_is_tried(
    cli: Cli, intruder: Any, rules: tuple[str, ...], name: str, evidence: str
) -> None:
    intruder(*rules)
    found = one(cli, f"redis.{name}")
    assert (found.verdict, found.evidence) == ("fail", evidence)


def test_a_redis_login_of_nobodys_is_closed_when_the_command_names_it(
    cli: Cli, intruder: Any
) -> None:
    intruder("~*", "&*", "+@all")
    cli.ok("up")
    cli.ok("up", "--prune")
    with redis.Redis(
        port=cli._ports[1], username="intruder", password=SECRET, socket_timeout=60
    ) as client:
        assert client.ping()
        (step,) = converge(cli, "--allow", "intruder")
        assert (step["action"], step["object"], step["destructive"]) == ("revoke", "intruder", True)
        with pytest.raises(redis.RedisError):
            client.ping()
    assert one(cli, "redis.logins-known").verdict == "pass"
    assert "intruder" not in notices(cli)
    with redis_as(cli) as admin:
        admin.execute_command("ACL", "SETUSER", "intruder", "on")  # as it was before
        rules = next(line for line in admin.acl_list() if line.startswith("user intruder "))
        assert rules.endswith("~* &* +@all")


def test_logins_of_another_projects_stack_stay(cli: Cli, intruder: Any) -> None:
    """That project has these servers as external ones; `up` closed its apps."""
    intruder("~new1:*", "+get", "(~mngdb:theirs/82aabeef resetchannels -@all)")
    with mongo_as(cli) as client:
        role, mark = {"role": "readWrite", "db": "new1"}, {"mngdb": "theirs/82aabeef"}
        client.admin.command("createUser", "new1", pwd=SECRET, roles=[role], customData=mark)
        try:
            cli.ok("up", "--prune")
            assert cli.json("plan")["steps"] == []
            said = notices(cli)
            for name in ("intruder", "new1"):
                text = f"the login {name} belongs to the stack theirs of another project"
                assert text in " ".join(said.split())
            with pymongo.MongoClient[Any](
                port=cli._ports[2], username="new1", password=SECRET
            ) as theirs:
                theirs.new1.item.insert_one({"a": 1})
        finally:
            client.admin.command("dropUser", "new1")
    with redis.Redis(port=cli._ports[1], username="intruder", password=SECRET) as theirs_too:
        assert theirs_too.get("new1:a") is None


@pytest.mark.parametrize(
    ("database", "name"), [("admin", "intern"), ("shop", "intern@shop"), ("shop", "shop@shop")]
)
def test_a_mongodb_login_of_nobodys(cli: Cli, database: str, name: str) -> None:
    user = name.partition("@")[0]
    with mongo_as(cli) as client:
        role = {"role": "readWrite", "db": "shop"}
        client[database].command("createUser", user, pwd=SECRET, roles=[role])
        try:
            said = notices(cli)
            assert f"the login {name} is not in the file (readWrite@shop)" in said
            assert f"mngdb up --allow {name}" in said
            assert one(cli, "mongodb.logins-known").evidence == name
            cli.ok("up")
            cli.ok("up", "--prune")
            with pymongo.MongoClient[Any](
                port=cli._ports[2], username=user, password=SECRET, authSource=database
            ) as intern:
                intern.shop.item.insert_one({"a": 1})
                (step,) = converge(cli, "--allow", name)
                assert (step["action"], step["object"]) == ("revoke", name)
                assert step["detail"] == "it is not in the file: its roles readWrite@shop"
                with pytest.raises(pymongo.errors.OperationFailure, match="not authorized"):
                    intern.shop.item.find_one()
            assert one(cli, "mongodb.logins-known").verdict == "pass"
            assert name not in notices(cli)
        finally:
            client[database].command("dropUser", user)
    with mongo_as(cli, "shop") as app:
        assert app.shop.item.find_one()
