"""Options of mongod's configuration file from ours, and zlib, by which memory leaked."""

from __future__ import annotations

import socket
import struct
import zlib
from typing import Any

import bson
import pytest

from mngdb.engines.mongodb import probe
from tests.conftest import Cli
from tests.live.clients import mongo_as
from tests.live.faults import servers

pytestmark = pytest.mark.live

FILE = """
agent: false
mongodb:
  port: PORT1
  settings:
    net.maxIncomingConnections: 321
    storage.journal.commitIntervalMs: 50
    operationProfiling.slowOpSampleRate: 0.5
    systemLog.component.index.verbosity: 1
    cursorTimeoutMillis: 1234567
apps: {shop: {mongodb: shop}}
"""


@pytest.fixture
def stack(module_cli: Cli) -> Cli:
    module_cli.write(FILE)
    module_cli.ok("up")
    return module_cli


def parsed(cli: Cli) -> Any:
    with mongo_as(cli) as admin:
        return admin.admin.command("getCmdLineOpts")["parsed"]


def started(cli: Cli) -> Any:
    with mongo_as(cli) as admin:
        return admin.admin.command("hello")["topologyVersion"]["processId"]


def test_options_of_every_section_reach_the_server(stack: Cli) -> None:
    found = parsed(stack)
    assert found["net"]["maxIncomingConnections"] == 321
    assert found["storage"]["journal"]["commitIntervalMs"] == 50
    assert found["operationProfiling"]["slowOpSampleRate"] == 0.5
    assert found["systemLog"]["component"]["index"]["verbosity"] == 1
    assert found["setParameter"]["cursorTimeoutMillis"] == "1234567"
    assert found["net"]["compression"]["compressors"] == "snappy,zstd"
    assert stack.json("plan")["steps"] == []


def test_an_option_that_changes_or_leaves_the_file_is_a_restart_that_plan_shows(
    stack: Cli,
) -> None:
    fewer = FILE.replace("    storage.journal.commitIntervalMs: 50\n", "")
    stack.write(fewer.replace("321", "322"))
    (step,) = stack.json("plan")["steps"]
    assert (step["action"], step["restart"]) == ("restart", True)
    assert "net.maxIncomingConnections 321 → 322" in step["detail"]
    assert "storage.journal.commitIntervalMs 50 → the default" in step["detail"]
    stack.ok("up")
    assert parsed(stack)["net"]["maxIncomingConnections"] == 322
    assert "journal" not in parsed(stack)["storage"]
    assert stack.json("plan")["steps"] == []


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("net.port: 1", "the setting 'net.port' is derived from the key 'port'"),
        ("net.bindIp: 0.0.0.0", "is derived from the key 'bind'"),
        ("net.tls.mode: disabled", "is derived from the key 'tls'"),
        ("net.TLS.mode: disabled", "is derived from the key 'tls'"),
        ("storage.wiredTiger.engineConfig.cacheSizeGB: 9", "is derived from the key 'memory'"),
        ("operationProfiling.slowOpThresholdMs: 9", "is derived from the key 'slow'"),
        ("replication.oplogSizeMB: 999", "is derived from the key 'oplog'"),
        ("security.javascriptEnabled: true", "is derived from the key 'javascript'"),
        ("security.authorization: disabled", "is derived from how mngdb runs the server"),
        ("processManagement.fork: true", "is derived from how mngdb runs the server"),
        ("systemLog.path: /tmp/x", "is derived from how mngdb runs the server"),
        ("net.compression.compressors: 'snappy, zlib'", "(CVE-2025-14847)"),
        ("net.compression.compressors: lz4", "'lz4' is not a list of compressors"),
        ("net.compression.compressors: 'disabled,snappy'", "'disabled,snappy' is not a list"),
        # what only mongod itself knows
        ("net.foo: 1", "the server rejects its settings: Unrecognized option: net.foo"),
        ("net.maxIncomingConnections: many", 'Error parsing option "net.maxIncomingConnections"'),
        ("storage.journal.commitIntervalMs: 9999", "must be less than or equal to 500"),
        ("noSuchParameter: 1", "Unknown --setParameter 'noSuchParameter'"),
    ],
)
def test_a_wrong_one_is_told_in_a_sentence_and_the_server_is_not_touched(
    stack: Cli, setting: str, said: str
) -> None:
    before, conf = started(stack), servers(stack) / "mng-mongo/conf/mongod.conf"
    text = conf.read_text()
    name = setting.partition(":")[0]
    lines = [line for line in FILE.splitlines() if not line.strip().startswith(f"{name}:")]
    lines.insert(lines.index("  settings:") + 1, f"    {setting}")
    stack.write("\n".join(lines) + "\n")
    for command in ("plan", "up"):
        done = stack.run(command)
        assert done.returncode == 2, done.stdout + done.stderr
        assert said in done.stderr
        assert len(done.stderr) < 600
    stack.write(FILE)
    assert started(stack) == before
    assert conf.read_text() == text


def test_a_limit_of_connections_is_said_once(stack: Cli) -> None:
    stack.write(FILE.replace("port: PORT1", "port: PORT1\n  max_connections: 300"))
    done = stack.run("plan")
    assert done.returncode == 2
    assert "the key 'max_connections' sets it already" in done.stderr


def test_the_compressors_can_be_others_but_zlib(stack: Cli) -> None:
    for wanted in ("disabled", "zstd"):
        line = f"    net.compression.compressors: {wanted}"
        stack.write(FILE.replace("settings:", f"settings:\n{line}"))
        stack.ok("up")
        assert parsed(stack)["net"]["compression"]["compressors"] == wanted


def _bled(port: int, claimed: int) -> bytes | None:
    """What a stranger gets for a compressed message that claims to be longer than it is: the
    reproduction of CVE-2025-14847. None: the server hangs up."""
    inside = struct.pack("<I", 0) + b"\0" + bson.encode({"a": 1})
    body = struct.pack("<iiB", 2013, claimed, 2) + zlib.compress(inside)
    message = struct.pack("<iiii", 16 + len(body), 1, 0, 2012) + body
    with socket.create_connection(("127.0.0.1", port), 10) as line:
        line.sendall(message)
        found = b""
        try:
            while len(found) < 16 or len(found) < struct.unpack("<i", found[:4])[0]:
                part = line.recv(65536)
                if not part:
                    return None
                found += part
        except ConnectionResetError:
            return None
    return found


def test_a_stranger_gets_no_memory_for_nonsense_that_zlib_compressed(stack: Cli) -> None:
    port = stack.port(1)
    assert not probe.takes_zlib(("127.0.0.1", port), tls=False)
    assert [_bled(port, claimed) for claimed in (64, 500, 5000, 50_000)] == [None] * 4
    with mongo_as(stack) as admin:
        hello = admin.admin.command("hello", compression=["zlib", "snappy", "zstd"])
    assert "zlib" not in hello.get("compression", [])


def test_a_server_as_its_package_has_it_reads_zlib() -> None:
    """The test above can fail: this is what it would find."""
    from tests.checks import mongods

    with mongods.started("--bind_ip", "127.0.0.1") as server:
        assert probe.takes_zlib(("127.0.0.1", server.port), tls=False)
        assert any(_bled(server.port, claimed) for claimed in (64, 500, 5000, 50_000))
