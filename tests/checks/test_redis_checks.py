"""Each check of Redis on a real server that makes it pass, and on one that makes it fail."""

from __future__ import annotations

import json
import random
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from mngdb.checks import registry
from mngdb.findings import Finding
from mngdb.spec.redis import RedisInstance
from mngdb.targets.local import programs
from tests.checks.judge import BROUGHT, findings, one
from tests.conftest import Cli, each_server, free_port
from tests.live.clients import redis_as, set_secret

pytestmark = pytest.mark.live
server = each_server()

IDS = [check.id for check in registry.of("redis") if not check.on_request]
#: Passes after a drill alone: tests/live/test_backup.py.
PROOF = "redis.backup-proved"
#: Passing, or failing, only in a state of its own: the tests below make it.
PASS_APART = {"redis.encryption", "redis.tls-version", "redis.fragmentation", "redis.replication"}
FAIL_APART = {
    *PASS_APART,
    *("redis.password-length", "redis.acl-useful", "redis.bind", "redis.append-healthy"),
    *("redis.snapshot-healthy", "redis.memory-used", "redis.clients-used"),
    *("redis.clients-rejected", "redis.append-only-file"),
}
HARDENED = "redis: {port: PORT1}\napps: {shop: {redis: 'shop:*'}}\n"
#: The guide's own line, whose last word gives every command back.
GUIDE_ACL = ("appuser", "on", ">strong_password", "+@all", "-@dangerous", "~*", "&*", "allcommands")
#: A setting that the remedy has the file set.
SET_BY_FILE = re.compile(r"settings: \{([\w-]+): '?([^'}]+)")
BAD = {
    "protected-mode": "no",
    "enable-debug-command": "yes",
    "enable-module-command": "yes",
    "enable-protected-configs": "yes",
    "appendonly": "yes",
    "appendfsync": "no",
    "auto-aof-rewrite-percentage": "0",
    "no-appendfsync-on-rewrite": "yes",
    "aof-timestamp-enabled": "no",
    "aof-use-rdb-preamble": "no",
    "save": "3600 1",
    "rdbcompression": "no",
    "rdbchecksum": "no",
    "stop-writes-on-bgsave-error": "no",
    "maxmemory-policy": "noeviction",
    "maxmemory-samples": "3",
    "timeout": "0",
    "tcp-keepalive": "0",
    "maxclients": "100",
    "slowlog-log-slower-than": "-1",
    "slowlog-max-len": "10",
    "latency-monitor-threshold": "0",
    "busy-reply-threshold": "0",
    "client-output-buffer-limit": "pubsub 0 0 0",
}


@dataclass
class Server:
    """A Redis that somebody set up by hand, and a stack that takes it as external."""

    cli: Cli
    port: int
    folder: Path
    process: subprocess.Popen[bytes]

    @contextmanager
    def client(self) -> Iterator[redis.Redis]:
        with redis.Redis(port=self.port, decode_responses=True, socket_timeout=60) as found:
            yield found


@contextmanager
def started(cli: Cli, *options: str, server: str | None = None) -> Iterator[Server]:
    """A server with these options, which lets anybody in."""
    port, folder = free_port(), cli.folder / f"redis-{random.randrange(1 << 30)}"
    folder.mkdir()
    version = {"redis": "8"}.get(Cli.server)
    server = server or programs.find(Cli.server, version, None, None).server
    argv = [server, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), *options]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    try:
        with redis.Redis(port=port, socket_timeout=60) as client:
            end = time.monotonic() + 60
            while True:
                try:
                    client.ping()
                    break
                except redis.ConnectionError:
                    assert time.monotonic() < end
                    time.sleep(0.01)
        cli._ports[1] = port
        cli.write('redis: {target: {external: {url: "redis://default@127.0.0.1:PORT1"}}}\n')
        set_secret(cli, "redis_admin", "anything-will-do-where-there-is-no-password")
        yield Server(cli, port, folder, process)
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def hardened(module_cli: Cli) -> Cli:
    module_cli.write(HARDENED)
    module_cli.ok("up")
    return module_cli


@pytest.fixture(scope="module")
def good(hardened: Cli) -> dict[str, Finding]:
    return findings(hardened)


@pytest.fixture(scope="module")
def theirs(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    options = [word for name, value in BAD.items() for word in (f"--{name}", *value.split())]
    with started(Cli(tmp_path_factory.mktemp("bad")), *options) as found:
        with found.client() as client:
            client.execute_command("ACL", "SETUSER", *GUIDE_ACL)
            assert client.info("server").get("server_name", "redis") == server
        yield found


@pytest.fixture(scope="module")
def bad(theirs: Server) -> dict[str, Finding]:
    return findings(theirs.cli)


def test_every_check_has_both_tests() -> None:
    assert set(IDS) >= PASS_APART | FAIL_APART
    assert len(IDS) == len(set(IDS)) >= 35


@pytest.mark.parametrize("name", [one for one in IDS if one not in PASS_APART | BROUGHT | {PROOF}])
def test_it_passes_on_a_stack_of_ours(good: dict[str, Finding], name: str) -> None:
    assert good[name].verdict == "pass", good[name]


@pytest.mark.parametrize("name", [one for one in IDS if one not in FAIL_APART])
def test_it_fails_on_a_careless_server(bad: dict[str, Finding], server: str, name: str) -> None:
    if (server, name) == ("valkey", "redis.version"):
        # the Valkey that pip brings has no known holes, however it is set up
        assert bad[name].verdict == "pass", bad[name]
        return
    assert bad[name].verdict == "fail", bad[name]
    assert bad[name].evidence
    assert bad[name].remedy


def test_a_restart_is_the_remedy_only_where_a_live_server_takes_no_change(cli: Cli) -> None:
    """Logins that are in no ACL file end with it."""
    remedies = [check.remedy for check in registry.of("redis")]
    by_restart = re.findall(r"elsewhere '([\w-]+) (\w+)' in redis.conf", "\n".join(remedies))
    by_file = SET_BY_FILE.findall("\n".join(remedies))
    with started(cli) as server, server.client() as client:
        for name, value in by_restart:
            if name not in RedisInstance.reserved_settings:
                with pytest.raises(redis.ResponseError, match="immutable"):
                    client.config_set(name, value)
        refused = [name for name, value in by_file if not taken(client, name, value)]
    assert {*refused} <= {"tls-protocols", "activedefrag"}  # as a server was built
    assert len(by_restart) > 1
    assert len(by_file) > len(by_restart)


def taken(client: redis.Redis, name: str, value: str) -> bool:
    try:
        return bool(client.config_set(name, value))
    except redis.ResponseError:
        return False


def test_a_remedy_that_is_followed_turns_the_box(tmp_path: Path, bad: dict[str, Finding]) -> None:
    found = {
        id_: [
            *re.findall(r"^'([^']+)' in redis.conf", one.remedy),
            *(" ".join(line) for line in SET_BY_FILE.findall(one.remedy)),
        ]
        for id_, one in bad.items()
        if one.verdict == "fail"
    }
    told = {id_: lines for id_, lines in found.items() if lines}
    assert len(told) >= 10
    kept = {name: value for name, value in BAD.items() if value}
    lines = {**kept, **dict(line.split(" ", 1) for one in told.values() for line in one)}
    options = [word for name, value in lines.items() for word in (f"--{name}", *value.split())]
    with started(Cli(tmp_path), *options) as server:
        after = findings(server.cli, *told)
    assert {id_: one.evidence for id_, one in after.items() if one.verdict != "pass"} == {}


def test_the_exit_code_and_the_summary(hardened: Cli, theirs: Server) -> None:
    report = json.loads(hardened.run("--json", "check").stdout)
    assert report["summary"]["unknown"] == 0
    failed = {one["id"] for one in report["findings"] if one["verdict"] == "fail"}
    assert failed - BROUGHT == {PROOF, "stack.backup-store"}
    assert report["summary"]["fail"] == len(failed)
    done = theirs.cli.run("check", "--severity", "critical")
    assert done.returncode == 1
    assert "redis.login-required" in done.stdout
    assert "redis.timeout" not in done.stdout
    assert theirs.cli.run("check", "--only", "redis.slowlog").returncode == 2


def test_a_short_password(cli: Cli) -> None:
    cli.write(HARDENED)
    set_secret(cli, "redis_shop", "sixteen-letters!")
    cli.ok("up")
    found = one(cli, "redis.password-length")
    assert (found.verdict, found.evidence) == ("fail", "shop (16)")


@pytest.mark.parametrize(
    ("rules", "name"),
    [("-info", "redis.acl-useful"), ("~*", "redis.acl-keys"), ("&*", "redis.acl-channels"),
     ("+config|set", "redis.acl-dangerous"), ("+keys", "redis.acl-dangerous"),
     ("nopass", "redis.password-set"), (">password", "redis.password-known"),
     ("+acl|setuser", "redis.acl-admins"), ("%R~*", "redis.acl-keys"), ("~?*", "redis.acl-keys"),
     ("(%W~* +set)", "redis.acl-keys"), ("(~* &* +subscribe)", "redis.acl-channels"),
     ("&?*", "redis.acl-channels"), ("+slaveof", "redis.acl-dangerous"),
     (">shop123", "redis.password-known")],
)  # fmt: skip
def test_a_right_that_was_changed_on_the_server(hardened: Cli, rules: str, name: str) -> None:
    with redis_as(hardened) as admin:
        before = admin.execute_command("ACL", "LIST")
        line = next(one for one in before if one.startswith("user shop "))
        admin.execute_command("ACL", "SETUSER", "shop", rules)
        try:
            found = one(hardened, name)
            assert found.verdict == "fail"
            assert "shop" in found.evidence
        finally:
            admin.execute_command("ACL", "SETUSER", "shop", "reset")
            rest, _, selector = line.partition(" (")
            words = [*rest.split()[2:], *(["(" + selector] if selector else [])]
            admin.execute_command("ACL", "SETUSER", "shop", *words)
    assert one(hardened, name).verdict == "pass"


def test_a_right_to_names_like_its_own_is_not_one_to_all(hardened: Cli) -> None:
    with redis_as(hardened) as admin:
        admin.execute_command("ACL", "SETUSER", "shop", "(%R~[a-z]*:* +@all -@dangerous)")
        found = findings(hardened, "redis.acl-keys", "redis.acl-dangerous")
        admin.execute_command("ACL", "SETUSER", "shop", "clearselectors")
    hardened.ok("up")
    assert {one.verdict for one in found.values()} == {"pass"}


# every address there is; what this machine lacks; Redis' and the C library's other words for all
@pytest.mark.parametrize("bind", ["* -::*", "127.0.0.1 -9.9.9.9", "127.0.0.1 -::*", "0"])
def test_listening_everywhere(theirs: Server, bind: str) -> None:
    with theirs.client() as client:
        client.config_set("bind", bind)
        try:
            found = findings(theirs.cli, "redis.bind", "redis.encryption")
        finally:
            client.config_set("bind", "127.0.0.1")
    assert found["redis.bind"].verdict == "fail"
    assert found["redis.encryption"].verdict == "fail"


def test_snapshots_oftener_than_asked_for(theirs: Server) -> None:
    with theirs.client() as client:
        for points, verdict in (("300 1 60 5000", "pass"), ("60 10000 301 1 900 2", "fail")):
            client.config_set("save", points)
            assert one(theirs.cli, "redis.save-points").verdict == verdict
        client.config_set("save", BAD["save"])


def test_no_log_at_all_and_a_cache_that_wants_none(tmp_path: Path, cli: Cli) -> None:
    with started(Cli(tmp_path), "--save", "") as server:
        found = findings(server.cli)
        assert found["redis.append-only-file"].verdict == "fail"
        assert found["redis.save-points"].verdict == "fail"
        assert found["redis.append-fsync"].verdict == "not_applicable"
    cli.write(HARDENED.replace("PORT1", "PORT1, appendonly: false, save: []"))
    cli.ok("up")
    found = findings(cli, "redis.append-only-file", "redis.save-points")
    assert {one.verdict for one in found.values()} == {"not_applicable"}


def test_a_snapshot_and_a_log_that_cannot_be_written(theirs: Server) -> None:
    with theirs.client() as client:
        # a folder in the place of the files: nothing can be renamed onto it, root or not
        (theirs.folder / "in-the-way.rdb").mkdir()
        (theirs.folder / "in-the-way.rdb" / "file").touch()
        client.config_set("dbfilename", "in-the-way.rdb")
        client.bgsave()
        _until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err")
        manifest = theirs.folder / "appendonlydir" / "temp-appendonly.aof.manifest"
        manifest.mkdir()
        try:
            with pytest.raises(redis.ResponseError, match="AOF background"):
                client.bgrewriteaof()
            _until(lambda: client.info("persistence")["aof_last_bgrewrite_status"] == "err")
            found = findings(theirs.cli, "redis.append-healthy", "redis.snapshot-healthy")
        finally:
            manifest.rmdir()
            client.config_set("dbfilename", "dump.rdb")
    assert {one.verdict for one in found.values()} == {"fail"}


def test_full_memory_and_fragmentation(tmp_path: Path) -> None:
    options = ("--save", "", "--maxmemory", "1gb")
    with started(Cli(tmp_path), *options) as server, server.client() as client:
        client.eval("for n = 1, 220000 do redis.call('SET', 'k' .. n, ARGV[1]) end", 0, "x" * 700)
        # Redis measures itself ten times a second
        _until(lambda: one(server.cli, "redis.fragmentation").verdict == "pass")
        client.config_set("maxmemory", int(client.info("memory")["used_memory"]) + (10 << 20))
        assert one(server.cli, "redis.memory-used").verdict == "fail"
        gone = "if n % 10 > 0 then redis.call('DEL', 'k' .. n) end"
        client.eval(f"for n = 1, 220000 do {gone} end", 0)
        _until(lambda: one(server.cli, "redis.fragmentation").verdict == "fail")


def test_clients_up_to_the_limit(tmp_path: Path) -> None:
    with started(Cli(tmp_path), "--maxclients", "12") as server, server.client() as client:
        client.ping()
        held = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(9)]
        found = one(server.cli, "redis.clients-used")
        assert found.verdict == "fail", found
        assert one(server.cli, "redis.clients-rejected").verdict == "pass"
        held += [socket.create_connection(("127.0.0.1", server.port)) for _ in range(6)]
        _until(lambda: int(client.info("stats")["rejected_connections"]) > 0)
        for connection in held:
            connection.close()
        _until(lambda: int(client.info("clients")["connected_clients"]) < 5)
        assert one(server.cli, "redis.clients-rejected").verdict == "fail"


def test_a_replica_with_and_without_its_primary(tmp_path: Path, theirs: Server) -> None:
    with started(Cli(tmp_path), "--save", "") as server, server.client() as client:
        client.execute_command("REPLICAOF", "127.0.0.1", str(theirs.port))
        _until(lambda: client.info("replication")["master_link_status"] == "up")
        assert one(server.cli, "redis.replication").verdict == "pass"
        client.execute_command("REPLICAOF", "127.0.0.1", str(free_port()))
        assert one(server.cli, "redis.replication").verdict == "fail"


def test_a_login_without_rights_makes_it_unknown_and_says_why(theirs: Server) -> None:
    with theirs.client() as client:
        client.execute_command(
            "ACL", "SETUSER", "guest", "on", ">guest", "+ping", "+info", "+acl|list"
        )
    cli = theirs.cli
    before = (cli.folder / "mngdb.yaml").read_text()
    cli.write(before.replace("default@", "guest@"))
    set_secret(cli, "redis_admin", "guest")
    try:
        report = cli.run("--json", "check")
        found = findings(cli)
    finally:
        cli.write(before)
    assert report.returncode == 1
    assert found["redis.timeout"].verdict == "unknown"
    assert "CONFIG GET is refused" in found["redis.timeout"].evidence
    # the list of logins tells who has no password, only ACL DRYRUN what each of them may do
    assert found["redis.password-set"].evidence == "default has none"
    assert found["redis.password-known"].evidence == "appuser, guest"
    assert "ACL DRYRUN is refused" in found["redis.acl-keys"].evidence
    # INFO has some of the settings
    with theirs.client() as client:
        limit, log = client.config_get("maxmemory"), client.config_get("appendonly")
    good = {"redis.memory-limit": limit["maxmemory"] != "0"}
    good["redis.append-only-file"] = log["appendonly"] == "yes"
    for name, passes in good.items():
        assert found[name].verdict == ("pass" if passes else "fail")
    assert found["redis.eviction"].verdict in {"pass", "fail"}
    assert found["redis.version"].verdict != "unknown"


def test_a_server_that_is_down_or_hangs_is_unknown_in_bounded_time(tmp_path: Path) -> None:
    with started(Cli(tmp_path)) as server:
        server.process.send_signal(signal.SIGSTOP)
        begun = time.monotonic()
        found = findings(server.cli)
        assert time.monotonic() - begun < 60
        assert {one.verdict for id_, one in found.items() if id_ != PROOF} == {"unknown"}
    done = server.cli.run("check", "--only", "redis.version")
    assert done.returncode == 3
    assert "Redis does not answer" in done.stdout


def _until(true: object, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.02)
