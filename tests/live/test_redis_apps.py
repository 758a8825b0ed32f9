"""What an app may do in Redis, and what not: tried with exactly what `mngdb env` gives (B13)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from tests.conftest import Cli, each_server
from tests.live.clients import brought_up, converge, logs_in, redis_as, said

pytestmark = pytest.mark.live
server = each_server()

FILE = """
redis: {port: PORT1}
apps:
  shop: {redis: "shop:*"}
  viewer: {redis: {keys: ["shop:*"], access: readonly}}
  jobs: {redis: {keys: ["jobs:*", "shared"], channels: ["events:*"], patterns: ["events:*:done"],
                  commands: ["+role", "-eval"]}}
"""
SCRIPT = "return redis.call('GET', KEYS[1])"

#: Commands with which apps, client libraries, queues and health checks work.
USEFUL = """
PING | ECHO hello | SELECT 0 | INFO | INFO server | TIME | DBSIZE | COMMAND COUNT | ACL WHOAMI
CLIENT SETNAME web-1 | CLIENT GETNAME | CLIENT ID | CLIENT SETINFO LIB-NAME test | CLIENT INFO
SET shop:a 1 EX 100 | GET shop:a | INCRBY shop:a 2 | MGET shop:a shop:b | EXPIRE shop:a 60
TTL shop:a | TYPE shop:a | EXISTS shop:a | SCAN 0 MATCH shop:* COUNT 10 | RENAME shop:a shop:a2
COPY shop:a2 shop:a | DUMP shop:a | OBJECT ENCODING shop:a | MEMORY USAGE shop:a | TOUCH shop:a
HSET shop:h f 1 | HGETALL shop:h | HSCAN shop:h 0 | SADD shop:s 3 1 2 | SMEMBERS shop:s
SORT shop:s | SORT_RO shop:s | ZADD shop:z 1 a | ZRANGE shop:z 0 -1 | ZRANGEBYSCORE shop:z 0 9
LPUSH shop:l 1 2 3 | LRANGE shop:l 0 -1 | BLPOP shop:l 1 | BRPOP shop:l 1
BLMOVE shop:l shop:l2 LEFT RIGHT 1 | SETBIT shop:bits 7 1 | PFADD shop:hll a | PFCOUNT shop:hll
GEOADD shop:geo 13.3 38.1 x | XADD shop:x * f 1 | XLEN shop:x | XRANGE shop:x - +
XGROUP CREATE shop:x g 0 | XREADGROUP GROUP g me COUNT 1 STREAMS shop:x > | XACK shop:x g 1-1
XINFO STREAM shop:x | XPENDING shop:x g | XTRIM shop:x MAXLEN 10 | PUBLISH shop:news hello
PUBSUB NUMSUB shop:news | SCRIPT EXISTS abc | WAIT 0 1 | UNLINK shop:a | DEL shop:h | WATCH shop:a
UNWATCH
"""
#: What the guide blocks, what harms the other apps, and what belongs to others.
REFUSED = """
FLUSHALL | FLUSHDB | CONFIG GET * | CONFIG SET maxmemory 1 | SHUTDOWN NOSAVE | KEYS * | SAVE
BGSAVE | BGREWRITEAOF | ACL LIST | ACL SETUSER shop allkeys | ACL GETUSER admin
CLIENT LIST | CLIENT KILL TYPE normal | CLIENT TRACKING ON BCAST | CLIENT PAUSE 1 | MODULE LIST
REPLICAOF NO ONE | MONITOR
SLOWLOG GET | LATENCY LATEST | CLUSTER INFO | SWAPDB 0 1 | RANDOMKEY | PUBSUB CHANNELS
FUNCTION FLUSH | SCRIPT FLUSH | FAILOVER | LASTSAVE | MIGRATE 127.0.0.1 1 shop:a 0 1
GET other:a | SET other:a 1 | DEL other:a | MGET shop:a other:a | RENAME shop:a other:a
XREAD STREAMS other:x 0 | PUBLISH other:news x | PUBLISH news x | SUBSCRIBE other:news
PSUBSCRIBE * | SSUBSCRIBE other | GET shop | GET SHOP:a | GET mngdb:mng
"""


#: Refused by the server's own settings before the ACL is asked.
OFF = ["DEBUG SLEEP 0", "DEBUG OBJECT shop:a"]


def _commands(text: str) -> list[str]:
    return [one.strip() for line in text.strip().splitlines() for one in line.split("|")]


stack = brought_up(FILE)


@pytest.fixture(scope="module")
def admin(stack: Cli) -> Iterator[Any]:
    with redis_as(stack) as client:
        yield client


@pytest.fixture(scope="module")
def shop(stack: Cli) -> Iterator[Any]:
    with redis.Redis.from_url(
        stack.env_of("shop")["REDIS_URL"], decode_responses=True, socket_timeout=60
    ) as client:
        yield client


def test_host_port_user_and_password_of_env_log_in_too(stack: Cli) -> None:
    env = stack.env_of("shop")
    with redis.Redis(
        host=env["REDIS_HOST"],
        port=int(env["REDIS_PORT"]),
        username=env["REDIS_USER"],
        password=env["REDIS_PASSWORD"],
        db=int(env["REDIS_DB"]),
        decode_responses=True,
        socket_timeout=60,
    ) as client:
        assert client.acl_whoami() == "shop"
        assert client.set(env["REDIS_KEY_PREFIX"] + "k", "v")


def test_useful_commands_work(stack: Cli) -> None:
    with redis.Redis.from_url(stack.env_of("shop")["REDIS_URL"], socket_timeout=60) as raw:
        raw.response_callbacks.clear()  # the answers as they are, bytes included
        for command in _commands(USEFUL):
            raw.execute_command(*command.split())


@pytest.mark.parametrize("command", OFF)
def test_debug_is_off_for_everybody(shop: Any, admin: Any, command: str) -> None:
    assert "no permissions" in admin.execute_command("ACL", "DRYRUN", "shop", *command.split())
    for client in (shop, admin):
        with pytest.raises(redis.exceptions.ResponseError, match="DEBUG command not allowed"):
            client.execute_command(*command.split())


@pytest.mark.parametrize("command", _commands(REFUSED))
def test_the_acl_refuses(shop: Any, admin: Any, command: str) -> None:
    words = command.split()
    with pytest.raises(redis.exceptions.NoPermissionError):
        shop.execute_command(*words)
    verdict = admin.execute_command("ACL", "DRYRUN", "shop", *words)
    assert "no permissions" in verdict or "has no" in verdict


def test_a_script_reaches_the_apps_keys_and_no_others(shop: Any) -> None:
    shop.set("shop:script", "mine")
    assert shop.eval(SCRIPT, 1, "shop:script") == "mine"
    assert shop.evalsha(shop.script_load(SCRIPT), 1, "shop:script") == "mine"
    for script, keys in (
        (SCRIPT, ["other:a"]),
        ("return redis.call('GET', 'other:a')", []),
        ("return redis.call('FLUSHALL')", []),
        ("return redis.call('CONFIG', 'GET', '*')", []),
    ):
        with pytest.raises(
            redis.exceptions.ResponseError, match=r"(?i)permission|ACL failure|not allowed"
        ):
            shop.eval(script, len(keys), *keys)


def test_sort_does_not_read_other_keys_through_its_patterns(shop: Any, admin: Any) -> None:
    admin.set("other:w_1", "secret")
    shop.sadd("shop:ids", 1)
    with pytest.raises(redis.exceptions.ResponseError, match=r"(?i)denied|permission"):
        shop.sort("shop:ids", get="other:w_*")


def test_transactions_and_pub_sub_work(shop: Any) -> None:
    with shop.pipeline(transaction=True) as pipe:
        pipe.watch("shop:n")
        pipe.multi()
        pipe.set("shop:n", 1)
        pipe.incr("shop:n")
        assert pipe.execute() == [True, 2]
    with shop.pubsub() as listener:
        listener.psubscribe("shop:*", "shop:*:*", "shop:*:*:*")
        for _ in range(3):
            assert listener.get_message(timeout=60)["type"] == "psubscribe"
        assert shop.publish("shop:news", "hello") == 1
        assert listener.get_message(timeout=60)["data"] == "hello"


def test_a_readonly_app_reads_and_listens_but_never_writes(stack: Cli, shop: Any) -> None:
    shop.set("shop:seen", "yes")
    with redis_as(stack, "viewer") as viewer:
        assert viewer.get("shop:seen") == "yes"
        assert viewer.scan(match="shop:*")[0] >= 0
        assert viewer.eval_ro(SCRIPT, 1, "shop:seen") == "yes"
        with viewer.pubsub() as listener:
            listener.subscribe("shop:news")
            assert listener.get_message(timeout=60)["type"] == "subscribe"
        for command in (
            "SET shop:seen no", "DEL shop:seen", "GETDEL shop:seen", "PUBLISH shop:news x",
            "EXPIRE shop:seen 1", "GETEX shop:seen EX 1", "SORT shop:seen STORE shop:b",
            "EVAL return(1) 0", "XADD shop:x * a 1", "PFCOUNT shop:seen other:b",
        ):  # fmt: skip
            with pytest.raises(redis.exceptions.NoPermissionError):
                viewer.execute_command(*command.split())


def test_further_commands_keys_and_channels_are_as_the_file_says(stack: Cli) -> None:
    with redis_as(stack, "jobs") as jobs:
        jobs.set("jobs:1", 1)
        jobs.set("shared", 1)
        assert jobs.execute_command("ROLE")[0] == "master"
        assert jobs.publish("events:new", "x") == 0
        with jobs.pubsub() as listener:
            listener.psubscribe("events:*:done")
            assert listener.get_message(timeout=60)["type"] == "psubscribe"
        for command in (
            *("PUBLISH jobs:1 x", "EVAL return(1) 0", "GET shared2", "FLUSHALL"),
            "PSUBSCRIBE events:*:new",
        ):
            with pytest.raises(redis.exceptions.NoPermissionError):
                jobs.execute_command(*command.split())


def test_up_repairs_the_guides_own_faulty_acl_line(stack: Cli, admin: Any) -> None:
    faulty = "on >pw +@all -@dangerous ~* allcommands"
    admin.execute_command("ACL", "SETUSER", "shop", *faulty.split())
    assert admin.execute_command("ACL", "DRYRUN", "shop", "FLUSHALL") == "OK"
    assert said(converge(stack)) == [("change", "shop")]
    assert "no permissions" in admin.execute_command("ACL", "DRYRUN", "shop", "FLUSHALL")
    port = stack.port(1)
    assert not logs_in(f"redis://shop:pw@127.0.0.1:{port}")
    with redis_as(stack, "shop") as client:
        assert client.set("shop:after", 1)


def test_patterns_that_are_probably_a_slip_are_noticed(cli: Cli) -> None:
    cli.write(
        """
redis: {port: PORT1, eviction: allkeys-lru}
apps:
  shop: {redis: "shop:*"}
  cart: {redis: ["cart:*", "shop:*"]}
  mail: {redis: mail}
  web: {redis: {for: rq}}
  work: {redis: {for: rq}}
"""
    )
    for command in ("plan", "up", "plan"):
        texts = [one["text"] for one in cli.json(command)["remarks"]]
        assert [text for text in texts if "cart and shop (shop:*)" in text] != []
        assert [text for text in texts if "'mail'" in text] != []
        assert [text for text in texts if "web and work share one rq" in text] != []
        assert [text for text in texts if "rq of web loses keys" in text] != []
    findings = cli.json("check", "--only", "redis.acl-keys", "--all")["findings"]
    assert ["cart and shop" in one["evidence"] for one in findings] == [True]


def test_what_presets_give_passes_the_checks(cli: Cli) -> None:
    cli.write(
        """
redis: {port: PORT1}
instances:
  jobs: {engine: redis, port: PORT2}
apps:
  adapter: {redis: {for: socket.io}}
  store: {redis: {keys: "store:*", for: [django, spring-session]}}
  worker: {jobs: {for: sidekiq}}
"""
    )
    cli.ok("up")
    cli.ok("doctor")
    for rule in ("useful", "keys", "channels", "dangerous"):
        cli.ok("check", "--only", f"redis.acl-{rule}")
    with redis_as(cli, instance="jobs") as admin:
        admin.execute_command("ACL", "SETUSER", "worker", "-get")
    failed = cli.run("check", "--only", "redis.acl-useful")
    assert (failed.returncode, "worker: get" in failed.stdout) == (1, True)


def test_nobody_may_delete_the_keys_of_an_app_that_left_the_file(cli: Cli) -> None:
    shop, jobs = 's: {redis: {keys: "s:*", for: django}}', 'q: {redis: "q:*"}'
    cli.write(f"redis: {{port: PORT1}}\nagent: false\napps: {{{shop}, {jobs}}}\n")
    cli.ok("up")
    with redis_as(cli, "q") as client:
        client.lpush("q:wait", "job")
    cli.write(f"redis: {{port: PORT1}}\nagent: false\napps: {{{shop}}}\n")
    cli.ok("up")
    (told,) = [one["text"] for one in cli.json("plan")["remarks"] if "+flushdb" in one["text"]]
    assert "q, which left the file" in told
    cli.ok("check", "--only", "redis.acl-useful")
    with redis_as(cli, "s") as client, pytest.raises(redis.exceptions.NoPermissionError):
        client.flushdb()
    converge(cli, "--prune")
    with redis_as(cli, "s") as client:
        client.flushdb()
