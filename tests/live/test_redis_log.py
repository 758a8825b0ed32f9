"""The log of Redis and Valkey: followed as a replica, and a server restored to a moment by it."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from mngdb.engines.redis import ENGINE
from mngdb.errors import ConnectError
from mngdb.snapshot import Piece
from tests.conftest import EVERYTHING, Cli, each_server
from tests.live import faults
from tests.live.redis_log import (
    Feed,
    Followed,
    Until,
    arrived,
    busy,
    commands,
    digest,
    known,
    position,
    restored,
    together,
    until,
    write,
)
from tests.live.test_redis_backup import (
    LIBRARY,
    admin,
    content,
    failed,
    opened,
    put_back,
    take,
)
from tests.live.test_tls_redis import with_debian

pytestmark = pytest.mark.live
server = each_server()

FILE = """
redis: {port: PORT1}
apps: {shop: {redis: "shop:*"}}
"""
NO_LOG = FILE.replace("PORT1}", "PORT1, appendonly: false}")
CACHE = FILE.replace("PORT1}", "PORT1, appendonly: false, save: []}")


def test_every_moment_comes_back(module_cli: Cli, server: str, tmp_path: Path) -> None:
    """Writes right before and right after it; a snapshot in the middle of them."""
    cli, feed, rnd = module_cli, Feed(), random.Random(11)
    cli.write(FILE)
    cli.ok("up")
    moments: list[tuple[float, str]] = []
    with admin(cli) as client:
        client.execute_command("SELECT", 9)
        client.set("ninth", 9)
        client.config_set("repl-ping-replica-period", 1)
        with Followed(cli, feed):
            with busy(cli):
                made = take(cli)
            assert abs(made.taken.moment - time.time()) < 5
            for _ in range(100 if EVERYTHING else 10 if server == "redis" else 6):
                for _ in range(rnd.randint(1, 6)):
                    write(client, rnd)
                found = digest(client)
                time.sleep(0.08)
                moments.append((time.time() - 0.04, found))
            client.flushall()
            arrived(client, feed)
            # nothing more is written, and that is known
            until(lambda: known(feed) > moments[-1][0] + 1)
            moments.append((time.time(), digest(client)))
            sync = client.info("stats")["sync_full"]
        assert sync <= 2
        client.config_resetstat()
    names = {words[0].upper() for words in commands(together(feed))}
    # what is no write is in the log, too: who reads the file takes no harm
    assert names >= {b"SELECT", b"MULTI", b"EXEC", b"PING", b"REPLCONF", b"PUBLISH", b"FUNCTION"}
    for moment, found in moments:
        with restored(cli, Until(made, feed, moment), tmp_path / "data") as client:
            assert digest(client) == found


def test_a_command_and_a_transaction_are_there_whole_or_not_at_all(
    module_cli: Cli, tmp_path: Path
) -> None:
    """The log may be cut at any byte: it gives the state before or after."""
    cli, feed = module_cli, Feed()
    cli.write(FILE)
    cli.ok("up")
    with admin(cli) as client, Followed(cli, feed):
        client.flushall()
        client.set("a", "before")
        made = take(cli)
        with client.pipeline(transaction=True) as pipe:
            pipe.set("a", "after").set("b", b"*3\r\n$3\r\nSET\r\n").rpush("l", 1, 2)
            pipe.execute()
        arrived(client, feed)
    log = made.taken.log
    assert log is not None
    data = b"".join(piece.data for piece in feed.pieces)
    first = feed.pieces[0].begin
    end = data.index(b"EXEC\r\n", log.position - first) + len(b"EXEC\r\n")
    cuts = range(log.position - first, end + 1)
    for cut in [*random.Random(7).sample(cuts[:-1], 8), end]:
        feed.pieces = [Piece(first, first + len(data), data, ((cut, 1.0), (len(data), 3.0)))]
        with restored(cli, Until(made, feed, 2.0), tmp_path / "data") as client:
            found = client.get("a"), client.get("b"), client.lrange("l", 0, -1)
            whole = (b"after", b"*3\r\n$3\r\nSET\r\n", [b"1", b"2"])
            assert found == (whole if cut == end else (b"before", None, []))
            client.set("more", 1)


@pytest.mark.parametrize("text", [FILE, NO_LOG, CACHE], ids=["log", "no-log", "cache"])
def test_an_accident_is_undone(cli: Cli, server: str, text: str) -> None:
    if server == "valkey" and text != NO_LOG:
        return  # it starts as Redis does
    feed = Feed()
    cli.write(text)
    cli.ok("up")
    # as a server of somebody else's, whose clock is asked for
    with admin(cli) as client, Followed(cli, feed, managed=text != NO_LOG):
        client.mset({f"key:{n}": n for n in range(1000)})
        made = take(cli)
        client.mset({f"key:{n}": n for n in range(900, 2000)})
        client.function_load(LIBRARY)
        before = content(client)
        time.sleep(0.1)
        moment = time.time()
        time.sleep(0.1)
        client.flushall()
        client.function_flush()
        client.set("after", 1)
        arrived(client, feed)
    saved = Until(made, feed, moment)
    saved.taken = replace(made.taken, counts={}, content={})
    assert failed(put_back(cli, saved)) == []
    with admin(cli) as client:
        assert content(client) == before
        client.set("more", 1)
    assert cli.json("plan")["steps"] == []


def test_it_goes_on_where_it_was(module_cli: Cli, tmp_path: Path) -> None:
    """What was written while nobody followed is there, without a moment of its own."""
    cli, feed, rnd = module_cli, Feed(), random.Random(3)
    cli.write(FILE)
    cli.ok("up")
    with admin(cli) as client:
        with Followed(cli, feed):
            made = take(cli)
            write(client, rnd)
            arrived(client, feed)
        branch = feed.begun[0].branch
        with Followed(cli, feed):
            # nothing was written: there is no gap
            assert feed.since[-1] == (feed.stored, None)
        for _ in range(5):
            write(client, rnd)
        forks = client.info("stats")["total_forks"]
        gone = feed.stored
        with Followed(cli, feed):
            assert feed.since[-1][0] == gone
            assert feed.since[-1][1] == pytest.approx(time.time(), abs=5)
            write(client, rnd)
            arrived(client, feed)
            until(lambda: known(feed) > time.time() - 0.5)
            found = digest(client)
            assert client.info("stats")["total_forks"] == forks
        assert {one.branch for one in feed.begun} == {branch}
        together(feed)
        with restored(cli, Until(made, feed, time.time()), tmp_path / "data") as other:
            assert digest(other) == found
        # another history
        with Followed(cli, feed) as following:
            faults.kill(cli, "mng-redis")
            until(lambda: following.error is not None)
            assert isinstance(following.error, ConnectError)
        cli.ok("up")
    with admin(cli) as client, Followed(cli, feed):
        assert feed.begun[-1].branch != branch
        made = take(cli)
        write(client, rnd)
        arrived(client, feed)
        found = digest(client)
        time.sleep(0.05)
        with restored(cli, Until(made, feed, time.time()), tmp_path / "data") as other:
            assert digest(other) == found


def test_a_store_that_is_away_costs_the_server_nothing(module_cli: Cli) -> None:
    """It keeps what its limit says; what came late has no moment, and what is gone is left out."""
    cli, feed = module_cli, Feed()
    cli.write(FILE)
    cli.ok("up")
    _, asked = opened(cli)
    archived = replace(asked, instance=replace(asked.instance, archived=True))
    wanted = {
        name: value
        for name, value in ENGINE.settings(archived).items()
        if name not in ENGINE.settings(asked)
    }
    assert wanted["repl-backlog-ttl"] == "0"
    context, _ = opened(cli)
    with ENGINE.connect(context.admin(asked)) as session:
        changes = ENGINE.reconcile(archived, ENGINE.observe(session, archived)).changes
        assert {one.name for one in changes} == set(wanted)
        assert all(one.reloadable for one in changes)
        ENGINE.apply(session, changes)
        assert ENGINE.reconcile(archived, ENGINE.observe(session, archived)).changes == ()
    free = threading.Event()
    with admin(cli) as client:
        client.flushall()
        client.config_set("repl-backlog-size", 1 << 20)
        client.config_set("client-output-buffer-limit", "replica 1048576 0 0")
        with Followed(cli, feed) as following:
            feed.on_write = lambda _: None if free.is_set() else time.sleep(1.9)
            client.set("a", 1)
            time.sleep(0.2)
            client.set("b", 1)
            time.sleep(1.8)
            free.set()
            arrived(client, feed)
            until(lambda: len(feed.since) >= 3)
            # late from b on, until it was known that nothing is late any more
            (_, late), (_, since) = feed.since[-2:]
            assert late is not None
            assert since is not None
            assert late <= since
            free.clear()
            for n in range(60):
                client.set(f"big:{n % 2}", bytes(1 << 20))
            assert client.info("memory")["mem_total_replication_buffers"] < 8 << 20
            free.set()
            until(lambda: following.error is not None)
            assert isinstance(following.error, ConnectError)
        with Followed(cli, feed):
            # that part of the log is gone: it begins anew
            assert feed.begun[-1].position == position(client)
        feed.on_write = lambda _: None
        for change in changes:
            client.config_set(change.name, change.found.replace("slave", "replica"))


def test_over_tls(cli: Cli, server: str) -> None:
    """As fast as without."""
    if server == "valkey":
        return  # its build has no TLS
    feed = Feed()
    cli.write(with_debian(FILE.replace("PORT1}", "PORT1, tls: true}")))
    cli.ok("up")
    with admin(cli) as client, Followed(cli, feed):
        began = time.monotonic()
        pipe = client.pipeline(transaction=False)
        for n in range(200):
            pipe.set(f"key:{n}", random.randbytes(100_000))
        pipe.execute()
        arrived(client, feed)
        assert time.monotonic() - began < 5
        together(feed)


def test_who_looks_at_the_server_is_not_misled(module_cli: Cli) -> None:
    cli, feed = module_cli, Feed()
    cli.write(FILE)
    cli.ok("up")
    with admin(cli) as client, Followed(cli, feed):
        until(lambda: client.info("replication")["connected_slaves"] == 1)
        replica = client.info("replication")["slave0"]
        assert (replica["ip"], replica["port"], replica["state"]) == ("mngdb-archive", 0, "online")
        until(lambda: client.info("replication")["slave0"]["offset"] >= position(client))
        assert "healthy" in cli.ok("status")
        shown = cli.json("sessions", "redis")
        assert "mngdb-archive" in str(shown)
        began = time.monotonic()
        client.set("last", 1)
        # one that stops waits until its replica has everything
        cli.ok("down")
        assert time.monotonic() - began < 9  # and not for its timeout of 10 s
    assert feed.pieces[-1].data.endswith(b"$4\r\nlast\r\n$1\r\n1\r\n")
