"""`mngdb keys` on real servers with known keys."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import statistics
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.checks.test_redis_checks import Server, started
from tests.conftest import Cli
from tests.debian import redis_folder
from tests.live.clients import redis_as
from tests.live.redis_keys import SESSIONS, USERS, fill, filled, patterns

pytestmark = [pytest.mark.live, pytest.mark.redis]

server = filled()


@pytest.fixture(scope="module")
def truth(server: Server) -> dict[tuple[int, bytes], tuple[str, int]]:
    """Database and key to type and bytes, asked one by one."""
    found = {}
    for database in (0, 3):
        with redis.Redis(port=server.port, db=database, socket_timeout=60) as client:
            for key in client.keys("*"):
                # all elements; of most collections the command looks at five, hence 5 % below
                size = client.memory_usage(key, samples=0)
                found[database, key] = (client.type(key).decode(), size)
    return found


@pytest.fixture(scope="module")
def report(server: Server) -> Any:
    return server.cli.json("keys", "redis")


def test_every_byte_is_what_memory_usage_says(report: Any, truth: Any) -> None:
    assert report["complete"]
    assert not report["sampled"]
    total = report["total"]
    assert total["count"] == len(truth)
    assert total["bytes"] == pytest.approx(sum(size for _, size in truth.values()), rel=0.05)
    assert total["count_error"] == total["bytes_error"] == 0
    by_type: dict[str, list[int]] = {}
    for kind, size in truth.values():
        by_type.setdefault(kind, []).append(size)
    assert {one["type"]: one["count"] for one in report["types"]} == {
        kind: len(sizes) for kind, sizes in by_type.items()
    }
    for one in report["types"]:
        assert one["bytes"] == pytest.approx(sum(by_type[one["type"]]), rel=0.05)
        if one["type"] == "string":
            assert one["bytes"] == sum(by_type["string"])
    assert report["databases"] == [
        {"database": 0, "keys": len(truth) - 201},
        {"database": 3, "keys": 201},
    ]
    assert report["used_memory"] > total["bytes"]


def test_patterns(report: Any, truth: Any) -> None:
    found = patterns(report)
    names = [size for (_, key), (_, size) in truth.items() if key.endswith(b":name")]
    one = found["user:*:name"]
    assert (one["count"], one["bytes"], one["types"]) == (USERS, sum(names), {"string": USERS})
    assert one["mean"] == pytest.approx(statistics.fmean(names), abs=0.1)
    assert one["share"] == pytest.approx(one["bytes"] / report["total"]["bytes"], abs=1e-5)
    assert found["session:*"]["count"] == SESSIONS
    assert found["session:*"]["without_expiry"]["count"] == 0
    assert found["tags:v2:*"]["types"] == {"set": 500}
    assert found["third:*"]["count"] == 200
    assert {"사용자:*", "*raw:*", '""'} <= set(found)
    assert sum(one["count"] for one in found.values()) == len(truth)
    assert sum(one["share"] for one in found.values()) == pytest.approx(1, abs=1e-3)


def test_without_expiry(report: Any, truth: Any) -> None:
    held = [size for (_, key), (_, size) in truth.items() if not key.startswith(b"session:")]
    assert report["without_expiry"]["count"] == len(held)
    assert report["without_expiry"]["bytes"] == pytest.approx(sum(held), rel=0.05)


def test_the_biggest_of_each_type(report: Any, truth: Any) -> None:
    for kind in ("string", "list", "hash", "set", "zset", "stream"):
        listed = [one for one in report["biggest"] if one["type"] == kind]
        told = [one["bytes"] for one in listed]
        assert told == sorted(told, reverse=True)
        sizes = sorted((size for other, size in truth.values() if other == kind), reverse=True)
        # candidates are chosen by what five of their elements say
        assert told == pytest.approx(sizes[: len(told)], rel=0.05)
        for one in listed:
            assert (kind, one["bytes"]) == truth[one["database"], one["key"].encode()]
        assert len(told) == min(5, len(sizes))


def test_one_database(server: Server) -> None:
    found = server.cli.json("keys", "--db", "3", "--exact")
    assert found["total"]["count"] == 201
    assert set(patterns(found)) == {"third:*", "events"}
    empty = server.cli.json("keys", "--db", "9")
    assert empty["total"]["count"] == 0
    assert any(text.startswith("database 9 has no key; those with") for text in empty["remarks"])


def test_keys_that_nobody_uses(server: Server) -> None:
    week = 7 * 86400
    with redis.Redis(port=server.port, socket_timeout=60) as client:
        for n in range(100):
            name = f"user:{n}:name"
            client.restore(name, 0, client.dump(name), replace=True, idletime=week + n - 10)
        found = server.cli.json("keys", "--idle", "7d")
        assert found["idle_after"] == week
        assert 90 <= found["idle"]["count"] <= 100
        assert patterns(found)["user:*:name"]["idle"] == found["idle"]
        # looking is no use
        assert client.object("idletime", "user:0:name") >= week - 10
        client.config_set("maxmemory-policy", "allkeys-lfu")
        try:
            done = server.cli.run("keys", "--json")
        finally:
            client.config_set("maxmemory-policy", "noeviction")
    report = json.loads(done.stdout)
    assert report["idle"] is None
    assert "allkeys-lfu" in report["remarks"][0]


def context_of(server: Server) -> Any:
    from mngdb.ops.context import Context
    from mngdb.spec.load import load

    environ = server.cli.environ()
    return Context.open(load([server.cli.folder / "mngdb.yaml"], environ), environ)


def test_expiry_of_some_keys_says_how_sure_it_is_and_is_right(server: Server, truth: Any) -> None:
    from mngdb.facts.keys import Wanted
    from mngdb.ops.keys import live_keys

    lasting = {one: size for one, (_, size) in truth.items() if not one[1].startswith(b"session:")}
    names = sum(key.endswith(b":name") for _, key in truth)
    hits, tries = 0, 20
    for _ in range(tries):
        found = live_keys(context_of(server), None, Wanted(lives=800), lambda *_: None)
        # what is asked of each is not estimated
        assert (found.total.bytes_error, found.sampled) == (0, False)
        assert found.forever is not None
        assert (found.forever.count, found.forever.count_error) == (len(lasting), 0)
        assert 0 < found.forever.bytes_error < 0.2 * found.total.bytes
        # the biggest collections were looked at closer than by five elements: 5 % as above
        off = abs(found.forever.bytes - sum(lasting.values()))
        hits += off <= found.forever.bytes_error + 0.05 * sum(lasting.values())
        (one,) = [one for one in found.patterns if one.pattern == "user:*:name"]
        assert one.all.count == names
        assert one.forever is not None
        hits += abs(one.forever.count - names) <= one.forever.count_error < names
        assert "--exact reads all keys" in found.notices[-1]
    assert hits / (2 * tries) >= 0.8
    whole = live_keys(context_of(server), None, Wanted(lives=None), lambda *_: None)
    assert whole.forever is not None
    assert (whole.forever.count, whole.forever.count_error) == (len(lasting), 0)
    assert whole.notices == ()


def test_a_big_key_stands_for_itself_alone(tmp_path: Path) -> None:
    """Asked or not, it is not taken for one of many like it."""
    from mngdb.facts.keys import Wanted
    from mngdb.ops.keys import live_keys

    with started(Cli(tmp_path), "--save", "") as server, server.client() as client:
        pipe = client.pipeline(transaction=False)
        for n in range(4000):
            pipe.set(f"item:{n}", "x" * 100, ex=9000 if n % 4 else None)
        pipe.set("item:4000", "x" * 50_000_000)
        pipe.execute()
        for _ in range(5):
            found = live_keys(context_of(server), None, Wanted(lives=400), lambda *_: None)
            (one,) = found.patterns
            assert one.forever is not None
            assert one.forever.bytes == pytest.approx(50_000_000, rel=0.2)
            # the error is for 95 %: three times that is not exceeded once in a hundred million
            assert abs(one.forever.count - 1001) <= 3 * one.forever.count_error


def test_a_sample_says_how_sure_it_is_and_is_right(server: Server, truth: Any) -> None:
    """Of forty samples, 95 % of what they say holds: well over half of all must."""
    from mngdb.facts.keys import Wanted
    from mngdb.ops.keys import live_keys

    context = context_of(server)
    true_bytes = sum(size for _, size in truth.values())
    names = sum(key.endswith(b":name") for _, key in truth)
    hits, tries = 0, 40
    for _ in range(tries):
        found = live_keys(context, None, Wanted(sample=1500), lambda *_: None)
        assert 1498 <= found.seen <= 1502
        assert found.sampled
        assert found.total.count == len(truth)
        (one,) = [one for one in found.patterns if one.pattern == "user:*:name"]
        assert 0 < one.all.count_error < names
        hits += abs(found.total.bytes - true_bytes) <= found.total.bytes_error
        hits += abs(one.all.count - names) <= one.all.count_error
    assert hits / (2 * tries) >= 0.8
    assert server.cli.json("keys", "--sample", "100%")["sampled"] is False


def test_a_big_hash_among_small_keys(tmp_path: Path) -> None:
    with started(Cli(tmp_path), "--save", "") as server, server.client() as client:
        pipe = client.pipeline(transaction=False)
        for n in range(5000):
            pipe.set(f"small:{n}", "x" * 100)
        pipe.execute()
        for n in range(0, 100_000, 10_000):
            client.eval(
                "for i = ARGV[1], ARGV[1] + 9999 do"
                " redis.call('HSET', KEYS[1], i, string.rep('x', 2000 + i * 7919 % 6000)) end",
                1, "report:2026", n,
            )  # fmt: skip
        true = client.memory_usage("report:2026", samples=0)
        assert true is not None
        assert true > 500_000_000
        client.config_set("slowlog-log-slower-than", "0")
        client.config_set("slowlog-max-len", "100000")
        client.slowlog_reset()
        report = server.cli.json("keys")
        ours = (b"SCAN", b"MEMORY", b"TYPE", b"PTTL", b"OBJECT", b"HLEN")
        calls = [one for one in client.slowlog_get(100_000) if one["command"].startswith(ours)]
    first = report["biggest"][0]
    assert (first["type"], first["key"], first["elements"]) == ("hash", "report:2026", 100_000)
    assert 0 < first["bytes_error"] < true * 0.05
    assert abs(first["bytes"] - true) <= 2 * first["bytes_error"]
    top = report["patterns"][0]
    assert top["pattern"] == "report:*"
    assert top["bytes"] == first["bytes"]
    assert top["share"] > 0.99
    assert len(calls) > 15_000
    # what a call may cost: a bounded part of the hash, and of the keys
    words = [one["command"].split() for one in calls]
    assert 0 < max(int(one[-1]) for one in words if b"SAMPLES" in one) <= 4000
    assert max(int(one[-1]) for one in words if one[0] == b"SCAN") <= 500
    # µs; a busy machine takes the processor away from one call or the other
    took = sorted(one["duration"] for one in calls)
    assert took[len(took) // 2] < 1000


def test_a_budget_is_kept(server: Server, truth: Any) -> None:
    with server.client() as client:

        def used() -> float:
            cpu = client.info("cpu")
            return float(cpu["used_cpu_user_main_thread"]) + float(cpu["used_cpu_sys_main_thread"])

        before, begun = used(), time.monotonic()
        report = server.cli.json("keys", "--budget", "5%")
        took, work = time.monotonic() - begun, used() - before
    assert report["complete"]
    assert report["total"]["count"] == len(truth)
    assert report["server_seconds"] <= 0.06 * report["seconds"] + 0.01
    # the process's start is in the time, the server's own timers are in its work
    assert work <= 0.10 * took + 0.02


def test_an_empty_server_and_one_without_any(tmp_path: Path) -> None:
    with started(Cli(tmp_path), "--save", "") as server:
        found = server.cli.json("keys")
        assert (found["total"]["count"], found["patterns"], found["biggest"]) == (0, [], [])
        assert "0 keys" in server.cli.ok("keys")
        before = (server.cli.folder / "mngdb.yaml").read_text()
        server.cli.write(before + "postgres: {port: PORT2}\n")
        done = server.cli.run("keys", "postgres")
        assert done.returncode == 2
        assert "does not support PostgreSQL" in done.stderr
    server.cli.write("postgres: {port: PORT2}\n")
    assert server.cli.run("keys").returncode == 2


@pytest.mark.parametrize("size", ["-memory", "+memory|usage"])
def test_a_login_without_the_rights(server: Server, size: str) -> None:
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "guest", "on", ">guest-secret", "~*", "+info",
                               "+ping", "+scan", "+type", "+select", size)  # fmt: skip
    cli = server.cli
    before = (cli.folder / "mngdb.yaml").read_text()
    secret = cli.state / "secrets/redis_admin"
    kept = secret.read_text()
    cli.write(before.replace("default@", "guest@"))
    cli.ok("secret", "set", "redis_admin", stdin="guest-secret")
    try:
        done = cli.run("keys", "--json")
    finally:
        cli.write(before)
        cli.ok("secret", "set", "redis_admin", stdin=kept)
    report = json.loads(done.stdout)
    if size == "-memory":
        assert done.returncode == 3
        assert "MEMORY USAGE is refused" in report["error"]["message"]
        return
    assert done.returncode == 0, done.stderr
    assert report["total"]["count"] > USERS
    assert (report["without_expiry"], report["idle"]) == (None, None)
    assert [one.split(":")[0] for one in report["remarks"]] == [
        "idle keys are unknown",
        "keys without expiry are unknown",
    ]


@pytest.mark.parametrize(
    "arguments",
    [("--budget", "0%"), ("--budget", "10"), ("--sample", "0"), ("--sample", "x"), ("--db", "-1"),
     ("--idle", "soon"), ("--rdb", "x.rdb", "--sample", "5"), ("nosuch",)],
)  # fmt: skip
def test_wrong_words(server: Server, arguments: tuple[str, ...]) -> None:
    assert server.cli.run("keys", *arguments).returncode == 2


def slow(server: Server) -> subprocess.Popen[str]:
    """A run that takes seconds, at work."""
    process = subprocess.Popen(
        server.cli.argv("keys", "--json", "--budget", "0.2%"), cwd=server.cli.folder,
        env=server.cli.environ(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        end = time.monotonic() + 60
        with server.client() as client:
            before = _asked(client)
            while _asked(client) < before + 20:
                assert time.monotonic() < end
                assert process.poll() is None
                time.sleep(0.02)
    except BaseException:
        process.kill()
        process.communicate()
        raise
    return process


def _asked(client: Any) -> int:
    found: int = client.info("commandstats").get("cmdstat_memory|usage", {}).get("calls", 0)
    return found


def test_ctrl_c_ends_with_what_was_seen(server: Server) -> None:
    process = slow(server)
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 130, err
    report = json.loads(out)
    assert report["complete"] is False
    assert 0 < report["seen"] < report["expected"]
    assert report["total"]["count"] == report["seen"]
    assert "interrupted: results are for" in err


def test_a_server_that_dies_in_the_middle(tmp_path: Path) -> None:
    with started(Cli(tmp_path), "--save", "") as server:
        with server.client() as client:
            fill(client)
        process = slow(server)
        server.process.kill()
        server.process.wait()
        out, err = process.communicate(timeout=300)
    assert process.returncode == 3
    assert "closed the connection, after" in err
    assert "error" in json.loads(out)


def test_the_same_figures_as_memkeys(server: Server) -> None:
    client = str(redis_folder() / "redis-cli")
    said = subprocess.run(
        [client, "-p", str(server.port), "--memkeys"], check=True, text=True, capture_output=True
    ).stdout
    lines = re.findall(r"^(\d+) (\w+?)s with (\d+) bytes", said, re.MULTILINE)
    theirs = {kind: (int(count), int(size)) for count, kind, size in lines if count != "0"}
    # it plays with plurals: hashs, zsets
    report = server.cli.json("keys", "--db", "0")
    ours = {one["type"]: (one["count"], one["bytes"]) for one in report["types"]}
    assert {kind: count for kind, (count, _) in ours.items()} == {
        kind: count for kind, (count, _) in theirs.items()
    }
    assert ours["string"] == theirs["string"]
    for kind, (_, size) in ours.items():
        # of the biggest we count all elements, it five
        assert size == pytest.approx(theirs[kind][1], rel=0.02)


def test_keys_that_go_while_they_are_looked_at(tmp_path: Path) -> None:
    from mngdb.facts.keys import Wanted
    from mngdb.ops.keys import live_keys

    with started(Cli(tmp_path), "--save", "") as server, server.client() as client:
        pipe = client.pipeline(transaction=False)
        for n in range(5000):
            pipe.set(f"item:{n}", "x" * 100)
        pipe.execute()

        def flush(seen: int, whole: int, _: float) -> None:
            if seen < 1000:
                # the next names are here already, and the server has said what it was asked of them
                end, before = time.monotonic() + 60, -1
                while (asked := _asked(client)) < seen + 300 or asked != before:
                    assert time.monotonic() < end
                    before = asked
                    time.sleep(0.05)
                client.flushdb()

        found = live_keys(context_of(server), None, Wanted(), flush)
    assert found.complete
    assert 900 <= found.total.count <= 2000
    gone = found.seen - found.total.count
    assert gone > 300
    assert found.notices == (f"{gone:,} keys disappeared before they could be read",)
    assert sum(one.count for one in found.types.values()) == found.total.count


def test_a_server_that_is_written_to(server: Server, truth: Any) -> None:
    """Keys that stay are all counted, once or (SCAN says so) more often while the table grows."""
    from mngdb.facts.keys import Wanted
    from mngdb.ops.keys import live_keys

    stop = threading.Event()

    def write() -> None:
        rnd = random.Random(5)
        with redis.Redis(port=server.port, db=5, socket_timeout=60) as client:
            while not stop.is_set():
                pipe = client.pipeline(transaction=False)
                for _ in range(50):
                    name = f"busy:{rnd.randrange(3000)}"
                    pipe.delete(name)
                    if rnd.random() < 0.6:
                        pipe.rpush(name, *range(rnd.randint(1, 200)))
                    else:
                        pipe.set(name, "x", px=rnd.randint(1, 20))
                pipe.execute()
            client.flushdb()

    names = sum(key.endswith(b":name") for _, key in truth)
    writer = threading.Thread(target=write)
    writer.start()
    try:
        for wanted in (Wanted(), Wanted(lives=500), Wanted(lives=None), Wanted(budget=0.5)):
            found = live_keys(context_of(server), None, wanted, lambda *_: None)
            assert found.complete
            (one,) = [one for one in found.patterns if one.pattern == "user:*:name"]
            assert one.all.count == names
            assert found.total.count == sum(one.count for one in found.types.values())
    finally:
        stop.set()
        writer.join()


def test_over_tls(cli: Cli) -> None:
    cli.write(
        f"redis: {{port: PORT1, version: 7, tls: true}}\nbinaries: {{redis: {redis_folder()}}}\n"
    )
    cli.ok("up")
    with redis_as(cli) as admin:
        admin.mset({f"item:{n}": "x" * 50 for n in range(3000)})
    found = cli.json("keys", "--exact")
    assert (found["total"]["count"], found["patterns"][0]["pattern"]) == (3000, "item:*")
    assert found["without_expiry"]["count"] == 3000
