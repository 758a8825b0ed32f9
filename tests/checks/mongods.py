"""MongoDB servers that somebody set up by hand: as the package comes, and carelessly."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import socketserver
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import bson
import pymongo
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from mngdb.targets.local import programs
from tests.conftest import Cli, free_port


@dataclass
class Server:
    """A mongod of its own, and its folder."""

    port: int
    folder: Path
    process: subprocess.Popen[bytes]
    client: Any = field(init=False)

    def __post_init__(self) -> None:
        self.client = pymongo.MongoClient("127.0.0.1", self.port, directConnection=True)

    @property
    def name(self) -> str:
        return f"127.0.0.1:{self.port}"

    def run(self, command: str, value: Any = 1, **rest: Any) -> Any:
        """A command on the database admin."""
        return self.client.admin.command({command: value, **rest})

    def stop(self) -> None:
        """End it, and remove what it wrote."""
        self.client.close()
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder)


def start(*options: str) -> Server:
    """A server that is not awaited yet. A socket's path is short, so its folder is in /tmp."""
    port, folder = free_port(), Path(tempfile.mkdtemp(prefix="mngdb-mongod-"))
    argv = [programs.find("mongodb", None, None, None).server, "--port", str(port)]
    argv += ["--dbpath", str(folder), "--logpath", str(folder / "log")]
    argv += ["--unixSocketPrefix", str(folder), "--wiredTigerCacheSizeGB", "0.25"]
    return Server(port, folder, subprocess.Popen([*argv, *options], stdout=subprocess.DEVNULL))


def external(cli: Cli, port: int, user: str = "", more: str = "") -> Cli:
    """A stack that takes the server as external."""
    at = f"mongodb://{user}127.0.0.1:{port}/?directConnection=true"
    cli.write(f'mongodb: {{target: {{external: {{url: "{at}"}}}}{more}}}\n')
    return cli


@contextmanager
def started(*options: str) -> Iterator[Server]:
    """A server that answers."""
    server = start(*options)
    try:
        server.run("ping")
        yield server
    finally:
        server.stop()


@contextmanager
def careless() -> Iterator[tuple[Server, Server, Path]]:
    """A set of three and a dead arbiter, in which nearly nothing is as it should be: its primary,
    a secondary, and the primary's certificate."""
    folder = Path(tempfile.mkdtemp(prefix="mngdb-careless-"))
    pem = folder / "server.pem"
    pem.write_bytes(_certificate(days=5))
    common = ["--replSet", "theirs", "--oplogSize", "20", "--bind_ip"]
    bad = ["--maxConns", "60", "--filePermissions", "0777", "--tlsMode", "allowTLS"]
    bad += ["--tlsCertificateKeyFile", str(pem), "--tlsDisabledProtocols", "none"]
    for parameter in (
        *("enableTestCommands=1", "scramSHA256IterationCount=5000", "quiet=1"),
        "opensslCipherConfig=ALL:@SECLEVEL=0",
    ):
        bad += ["--setParameter", parameter]
    servers = [
        start(*common, "0.0.0.0", *bad),
        *(start(*common, "127.0.0.1") for _ in range(2)),
    ]
    try:
        _set_up(servers)
        yield servers[0], servers[1], pem
    finally:
        for one in servers:
            one.stop()
        shutil.rmtree(folder)


def _set_up(servers: list[Server]) -> None:
    primary = servers[0]
    members = [
        {"_id": n, "host": one.name, "priority": 0 if n else 1} for n, one in enumerate(servers)
    ]
    for one in servers:
        one.run("ping")
    settings = {"heartbeatIntervalMillis": 200, "electionTimeoutMillis": 1000}
    config = {"_id": "theirs", "members": members, "settings": settings}
    primary.run("replSetInitiate", config)
    until(lambda: primary.run("hello")["isWritablePrimary"])
    states = ["PRIMARY", "SECONDARY", "SECONDARY"]
    until(lambda: [m["stateStr"] for m in primary.run("replSetGetStatus")["members"]] == states)
    primary.run("setDefaultRWConcern", defaultWriteConcern={"w": 1})
    everywhere = ["readWriteAnyDatabase", {"db": "shop", "role": "dbOwner"}]
    for name, password, roles in (
        ("boss", "Sh0rt-one", ["root"]),
        ("deputy", "deputy", ["root", "__system"]),
        ("app", "strong_password", everywhere),
    ):
        primary.run("createUser", name, pwd=password, roles=roles)
    # another login with the administrator's name, and one that can write itself any right
    root = {"db": "admin", "role": "root"}
    primary.client.shop.command("createUser", "boss", pwd="boss", roles=[root])
    primary.run("createUser", "od\x1b[31m<d>", pwd="Sh0rt-one", roles=[])
    buckets = {"resource": {"db": "admin", "system_buckets": "x"}, "actions": ["find"]}
    primary.run("createRole", "buckets", privileges=[buckets], roles=[])
    primary.run("createUser", "clerk", pwd="Sh0rt-one", roles=["buckets"])
    primary.run("createUser", "archivist", pwd="Sh0rt-one", roles=["restore"])
    config = primary.run("replSetGetConfig")["config"]
    config["version"] += 1
    config["writeConcernMajorityJournalDefault"] = False
    arbiter = {"_id": 3, "host": f"127.0.0.1:{free_port()}", "arbiterOnly": True}
    config["members"].append(arbiter)
    primary.run("replSetReconfig", config)
    primary.client.shop.things.insert_many([{"x": "x" * (1 << 20)} for _ in range(60)])
    primary.client.shop.command("profile", 2, slowms=500)
    for name, value in (
        *(("syncdelay", 600), ("journalCommitInterval", 400), ("ttlMonitorEnabled", False)),
        *(("diagnosticDataCollectionEnabled", False), ("cursorTimeoutMillis", 6_000_000)),
        *(("transactionLifetimeLimitSeconds", 3600), ("enableFlowControl", False)),
        *(("logLevel", 1), ("wiredTigerEngineRuntimeConfig", f"cache_size={_memory() * 9 // 10}")),
    ):
        primary.run("setParameter", **{name: value})


def _memory() -> int:
    words = Path("/proc/meminfo").read_text().split()
    return int(words[words.index("MemTotal:") + 1]) << 10


def _certificate(days: int) -> bytes:
    """A key and a certificate of its own that ends soon."""
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(tz=UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    names = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    made = made.add_extension(names, False).add_extension(x509.BasicConstraints(True, None), True)
    made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days))
    plain = serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    return key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain) + made.sign(
        key, hashes.SHA256()
    ).public_bytes(pem)


@contextmanager
def held(server: Server, count: int) -> Iterator[None]:
    """So many connections, open and idle."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
        yield


def until(true: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


@contextmanager
def nonsense() -> Iterator[int]:
    """The port of a server that greets as MongoDB does, and then says yes to everything."""
    greeting = {"ok": 1, "isWritablePrimary": True, "maxWireVersion": 17, "minWireVersion": 0}

    class Says(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError, struct.error):
                while True:
                    size, number, _, code = struct.unpack("<iiii", self.request.recv(16))
                    self.request.recv(size - 16)
                    document = bson.encode(greeting)
                    head = b"\0" * 5 if code == 2013 else struct.pack("<iqii", 0, 0, 0, 1)
                    length = 16 + len(head) + len(document)
                    kind = 2013 if code == 2013 else 1
                    reply = struct.pack("<iiii", length, 1, number, kind) + head + document
                    self.request.sendall(reply)

    socketserver.ThreadingTCPServer.daemon_threads = True
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Says) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()
