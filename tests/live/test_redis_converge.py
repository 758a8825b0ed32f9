"""Redis converges in both directions: the file changed, or somebody changed the server."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from tests.conftest import Cli, each_server
from tests.live.clients import converge, logs_in, planned, redis_as, said, set_secret

pytestmark = pytest.mark.live
server = each_server()

FILE = """
redis: {port: PORT1}
apps:
  shop: {redis: "shop:*"}
  blog: {redis: "blog:*"}
"""


@pytest.fixture
def stack(module_cli: Cli) -> Cli:
    module_cli.write(FILE)
    module_cli.ok("up", "--prune")
    return module_cli


def may(admin: Any, app: str, command: str) -> bool:
    return bool(admin.execute_command("ACL", "DRYRUN", app, *command.split()) == "OK")


def run_id(cli: Cli) -> str:
    with redis_as(cli) as admin:
        return str(admin.info("server")["run_id"])


#: App to its right before and after, and a command that it may only before, only after.
CHANGES = {
    "more": ("['m:*']", "['m:*', 'n:*']", None, "GET n:1"),
    "other": ("['o:*']", "['p:*']", "GET o:1", "GET p:1"),
    "heard": ("['h:*']", "{keys: ['h:*'], channels: ['n:*']}", "PUBLISH h:1 x", "PUBLISH n:1 x"),
    "seen": ("['s:*']", "{keys: ['s:*'], access: readonly}", "SET s:1 x", "SORT_RO s:1"),
    "told": ("['t:*']", "{keys: ['t:*'], commands: ['+role', '-eval']}", "EVAL x 0", "ROLE"),
}


def test_changed_rights_are_given_and_taken_back(stack: Cli) -> None:
    before = run_id(stack)
    texts = [
        "redis: {port: PORT1}\napps:\n"
        + "".join(f"  {app}: {{redis: {right[side]}}}\n" for app, right in CHANGES.items())
        for side in (0, 1)
    ]
    stack.write(texts[0])
    stack.ok("up")
    with redis_as(stack) as admin:
        for side in (1, 0):
            stack.write(texts[side])
            changed = said(converge(stack))
            assert {name for _, name in changed} == {*CHANGES, "mng-redis"}
            assert (("revoke", "grant")[side], "more") in changed
            for app, (_, _, first, second) in CHANGES.items():
                assert first is None or may(admin, app, first) == (side == 0)
                assert may(admin, app, second) == (side == 1 or app == "seen")
    assert run_id(stack) == before


#: The same, and what the plan names there and on the way back.
DETAILS = {
    "more": ("read and write on n:*, channels n:*", "read and write on n:*, channels n:*"),
    "other": (
        "add read and write on p:*, channels p:*; remove read and write on o:*, channels o:*",
        "add read and write on o:*, channels o:*; remove read and write on p:*, channels p:*",
    ),
    "heard": ("add channels n:*; remove channels h:*", "add channels h:*; remove channels n:*"),
    "all": ("channels *", "channels *"),
    "told": ("add +role -eval; remove +eval", "add +eval; remove +role -eval"),
}


def test_the_plan_names_what_changes(stack: Cli) -> None:
    changes = {
        **{app: CHANGES[app][:2] for app in ("more", "other", "heard", "told")},
        "all": ("['a:*']", "{keys: ['a:*'], channels: ['a:*', '*']}"),
    }
    texts = [
        "redis: {port: PORT1}\napps:\n"
        + "".join(f"  {app}: {{redis: {right[side]}}}\n" for app, right in changes.items())
        for side in (0, 1)
    ]
    stack.write(texts[0])
    created = {s["object"]: s["detail"] for s in stack.json("plan")["steps"]}
    assert "channels" not in created["heard"], "they are those of the keys"
    stack.ok("up")
    for side in (1, 0):
        stack.write(texts[side])
        details = {s["object"]: s["detail"] for s in converge(stack)}
        found = {app: details.get(app) for app in DETAILS}
        assert found == {app: both[side == 0] for app, both in DETAILS.items()}
    stack.write(texts[1].replace("heard", "ears"))
    created = {s["object"]: s["detail"] for s in converge(stack)}
    assert "channels n:*" in created["ears"]


def test_rights_widened_by_hand_are_taken_back(stack: Cli) -> None:
    by_hand = ["allkeys", "~b:*", "allchannels", "+@all", "nopass", ">second", "(~* +get)", "+keys"]
    apps = {f"app{number}": rule for number, rule in enumerate(by_hand)}
    stack.write(
        "redis: {port: PORT1}\napps:\n"
        + "".join(f"  {app}: {{redis: '{app}:*'}}\n" for app in apps)
    )
    stack.ok("up")
    with redis_as(stack) as admin:
        before = {app: admin.acl_getuser(app) for app in apps}
        for app, rule in apps.items():
            admin.execute_command("ACL", "SETUSER", app, rule)
            assert admin.acl_getuser(app) != before[app]
        assert {step[1] for step in said(converge(stack))} == set(apps)
        assert {app: admin.acl_getuser(app) for app in apps} == before


def test_a_login_deleted_or_switched_off_by_hand_comes_back(stack: Cli) -> None:
    with redis_as(stack) as admin:
        admin.acl_deluser("shop")
        assert said(converge(stack)) == [("create", "shop")]
        admin.execute_command("ACL", "SETUSER", "shop", "off")
        assert said(converge(stack)) == [("change", "shop")]
    with redis_as(stack, "shop") as shop:
        assert shop.set("shop:1", "x")


def test_the_login_without_a_password_is_switched_off_again(stack: Cli) -> None:
    with redis_as(stack) as admin:
        admin.execute_command("ACL", "SETUSER", "default", "on", "nopass", "+@all", "~*")
        assert ("revoke", "default") in said(converge(stack))
        assert not logs_in(f"redis://127.0.0.1:{stack.port(1)}")


def test_an_apps_secret_changed_in_the_vault_reaches_the_server(stack: Cli) -> None:
    old = stack.env_of("shop")["REDIS_URL"]
    set_secret(stack, "redis_shop", "a" * 40)
    steps = converge(stack)
    assert ("change", "shop") in said(steps)
    assert not any(step["restart"] for step in steps)
    with redis_as(stack, "shop") as shop:
        assert shop.acl_whoami() == "shop"
    assert not logs_in(old)


def test_an_apps_secret_changed_on_the_server_is_put_right(stack: Cli) -> None:
    with redis_as(stack) as admin:
        admin.execute_command("ACL", "SETUSER", "shop", "resetpass", ">other")
    assert said(converge(stack)) == [("change", "shop")]
    with redis_as(stack, "shop") as shop:
        assert shop.ping()


@pytest.mark.parametrize("where", ["vault", "server"])
def test_the_administrators_secret_changed_in_one_place_agrees_again(
    stack: Cli, where: str
) -> None:
    with redis_as(stack, "shop") as shop:
        shop.set("shop:kept", "yes")
    if where == "vault":
        set_secret(stack, "redis_admin", "b" * 40)
    else:
        with redis_as(stack) as admin:
            admin.execute_command("ACL", "SETUSER", "admin", "resetpass", ">other")
    steps = converge(stack)
    assert [(s["action"], s["restart"]) for s in steps] == [("restart", True)]
    with redis_as(stack) as admin:
        assert admin.acl_whoami() == "admin"
        assert admin.get("shop:kept") == "yes"


def test_settings_changed_by_hand_are_put_right_without_a_restart(stack: Cli) -> None:
    by_hand = {
        "maxmemory": "1gb", "maxmemory-policy": "noeviction", "save": "", "appendfsync": "no",
        "appendonly": "no", "aof-timestamp-enabled": "no", "protected-mode": "no", "timeout": "0",
        "slowlog-log-slower-than": "-1",
    }  # fmt: skip
    before = run_id(stack)
    with redis_as(stack) as admin:
        good = admin.config_get(*by_hand)
        for name, value in by_hand.items():
            admin.config_set(name, value)
        steps = converge(stack)
        assert [(s["action"], s["restart"]) for s in steps] == [("reload", False)]
        assert [name for name in by_hand if name not in steps[0]["detail"]] == []
        assert admin.config_get(*by_hand) == good
    assert run_id(stack) == before


def test_settings_changed_in_the_file_apply_while_it_runs(stack: Cli) -> None:
    before = run_id(stack)
    reloadable = (
        "memory: 64mb, eviction: noeviction, samples: 7, appendfsync: always, slow: 5ms, "
        "save: [{after: 100s, changes: 2}], timeout: 60s, settings: {hz: 20, "
        "notify-keyspace-events: Ex, client-output-buffer-limit: 'pubsub 64mb 16mb 90'}"
    )
    stack.write(FILE.replace("PORT1}", f"PORT1, {reloadable}}}"))
    steps = converge(stack)
    assert [(s["action"], s["restart"]) for s in steps] == [("reload", False)]
    with redis_as(stack) as admin:
        live = admin.config_get("*")
    assert live["maxmemory"] == str(64 << 20)
    assert (live["save"], live["hz"], live["timeout"]) == ("100 2", "20", "60")
    assert (live["maxmemory-policy"], live["slowlog-log-slower-than"]) == ("noeviction", "5000")
    assert run_id(stack) == before


def test_an_app_that_left_the_file_is_locked_and_kept_until_pruned(stack: Cli) -> None:
    with redis_as(stack, "shop") as shop:
        shop.set("shop:kept", "yes")
        stack.write(FILE.replace('  shop: {redis: "shop:*"}\n', ""))
        steps = converge(stack)
        assert ("revoke", "shop") in said(steps)
        assert not any(step["destructive"] for step in steps)
        with pytest.raises(redis.RedisError):
            shop.get("shop:kept")
    assert any("shop" in r["text"] for r in stack.json("plan")["remarks"])
    with redis_as(stack) as admin:
        assert admin.get("shop:kept") == "yes"
        stack.write(FILE)
        assert ("change", "shop") in said(converge(stack))
        with redis_as(stack, "shop") as back:
            assert back.get("shop:kept") == "yes"
        stack.write(FILE.replace('  shop: {redis: "shop:*"}\n', ""))
        stack.ok("up")
        assert "shop" in admin.acl_users()
        assert ("drop", "shop") in said(stack.json("up", "--prune")["steps"])
        assert "shop" not in admin.acl_users()
        assert planned(stack) == []
        assert admin.get("shop:kept") == "yes"


def test_the_policy_that_an_apps_jobs_needed_outlives_the_app(stack: Cli) -> None:
    """Its keys stay, and the default policy would evict them."""
    jobs = FILE + '  jobs: {redis: {keys: "jobs:*", for: bullmq}}\n'
    stack.write(jobs)
    stack.ok("up")
    for remaining in (jobs.replace(", for: bullmq", ""), FILE):
        stack.write(remaining)
        assert not any("maxmemory" in step["detail"] for step in converge(stack))
        (told,) = [one for one in stack.json("plan")["remarks"] if "noeviction" in one["text"]]
        assert "redis: {eviction: allkeys-lru}" in told["hint"]
    stack.ok("down")
    stack.ok("up")
    with redis_as(stack) as admin:
        assert admin.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    stack.write(FILE.replace("PORT1}", "PORT1, eviction: allkeys-lru}"))
    assert [step["action"] for step in converge(stack)] == ["reload"]
    stack.write(FILE)
    assert planned(stack) == []


def test_a_login_made_by_hand_is_told_and_left_alone(stack: Cli) -> None:
    with redis_as(stack) as admin:
        admin.execute_command("ACL", "SETUSER", "stranger", "on", ">x", "~s:*", "+get")
        plan = stack.json("plan")
        assert plan["steps"] == []
        assert any("stranger" in notice["text"] for notice in plan["remarks"])
        stack.ok("up", "--prune")
        assert "stranger" in admin.acl_users()
        admin.acl_deluser("stranger")


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        ("settings: {no-such-setting: 1}", 2, "no-such-setting"),
        ("settings: {hz: many}", 1, "hz"),
    ],
)
def test_a_setting_that_redis_does_not_take_leaves_the_server_as_it_was(
    stack: Cli, change: str, code: int, says: str
) -> None:
    before = run_id(stack)
    stack.write(FILE.replace("PORT1}", f"PORT1, {change}}}"))
    done = stack.run("up")
    assert (done.returncode, says in done.stderr) == (code, True), done.stderr
    assert run_id(stack) == before


def test_a_command_that_redis_does_not_have_is_refused_by_its_name(stack: Cli) -> None:
    stack.write(FILE.replace('"shop:*"', '{keys: ["shop:*"], commands: ["+nonesuch"]}'))
    done = stack.run("plan")
    assert done.returncode == 2
    assert "nonesuch" in done.stderr
