"""`check` of a Redis as its package starts it, and of Redis servers that misbehave half way."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests import debian
from tests.checks.judge import PROOFS, findings, one
from tests.checks.test_redis_checks import HARDENED, Server, started
from tests.conftest import Cli, free_port
from tests.live.clients import redis_as

pytestmark = pytest.mark.live

#: What an expert would list of a Redis that nobody has set up.
EXPERTS = {
    "redis.append-only-file",
    "redis.default-user",
    "redis.memory-limit",
    "redis.login-required",
    "redis.eviction",
    "redis.timeout",
}


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with started(Cli(tmp_path_factory.mktemp("stock"))) as server:
        yield server


def test_a_stock_server_shows_what_an_expert_would_list(stock: Server) -> None:
    done = stock.cli.run("--json", "check")
    assert done.returncode == 1
    report = json.loads(done.stdout)
    failed = {one["id"] for one in report["findings"] if one["verdict"] == "fail"}
    assert failed >= EXPERTS, sorted(failed)
    assert report["summary"]["unknown"] == 0


def test_a_server_that_answers_nonsense_is_unknown(tmp_path: Path) -> None:
    with _listening(lambda client: client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as port:
        begun = time.monotonic()
        found = findings(_external(tmp_path, port))
    assert time.monotonic() - begun < 60
    assert {one.verdict for id_, one in found.items() if id_ not in PROOFS} == {"unknown"}


@pytest.mark.parametrize("after", [1000, 7000])
def test_a_server_that_dies_in_the_middle_is_unknown_with_the_reason(
    stock: Server, tmp_path: Path, after: int
) -> None:
    """Its words go through a wire that is cut after so many bytes."""

    def relay(client: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", stock.port)) as server:
            threading.Thread(target=_copy, args=(client, server, 1 << 30), daemon=True).start()
            _copy(server, client, after)

    with _listening(relay) as port:
        begun = time.monotonic()
        found = findings(_external(tmp_path, port))
    assert time.monotonic() - begun < 60
    unknown = [one for one in found.values() if one.verdict == "unknown"]
    assert len(unknown) > 20
    assert all(one.evidence for one in unknown)
    assert found["redis.memory-limit"].verdict == "unknown"


def _external(folder: Path, port: int) -> Cli:
    cli = Cli(folder, _ports={1: port})
    cli.write('redis: {target: {external: {url: "redis://default@127.0.0.1:PORT1"}}}\n')
    cli.ok("secret", "set", "redis_admin", stdin="anything-will-do-where-there-is-no-password")
    return cli


@contextmanager
def _listening(serve: object) -> Iterator[int]:
    """A port whose clients are served one after the other, each by a thread, then left."""

    def one(client: socket.socket) -> None:
        with client, suppress(OSError):
            serve(client)  # type: ignore[operator]
            # closing alone ends nothing while a thread still reads from it
            client.shutdown(socket.SHUT_RDWR)

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=one, args=(client,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]


def _copy(source: socket.socket, target: socket.socket, most: int) -> None:
    with suppress(OSError):
        while most > 0 and (data := source.recv(min(65_536, most))):
            target.sendall(data)
            most -= len(data)


def test_encryption(cli: Cli) -> None:
    cli.write(HARDENED.replace("PORT1", "PORT1, version: 7, tls: true") +
              f"binaries: {{redis: {debian.redis_folder()}}}\n")  # fmt: skip
    cli.ok("up")
    assert one(cli, "redis.tls-version").verdict == "pass"
    with redis_as(cli) as admin:
        admin.config_set("bind", "127.0.0.1 -::1 127.0.0.2")
        assert one(cli, "redis.encryption").verdict == "not_applicable"
        admin.config_set("bind", "* -::*")
        assert one(cli, "redis.encryption").verdict == "pass"
        admin.config_set("port", free_port())  # beside the one with TLS
        assert one(cli, "redis.encryption").verdict == "fail"
        admin.config_set("port", 0)
        admin.config_set("bind", "127.0.0.1")
        assert one(cli, "redis.login-required").verdict == "pass"
        admin.execute_command("ACL", "SETUSER", "default", "on", "nopass", "+ping")
        assert one(cli, "redis.login-required").verdict == "fail"
        admin.config_set("tls-protocols", "TLSv1.1 TLSv1.2")
        found = one(cli, "redis.tls-version")
        assert (found.verdict, found.evidence) == ("fail", "tls-protocols TLSv1.1 TLSv1.2")


def test_an_old_version(tmp_path: Path) -> None:
    with started(Cli(tmp_path), server=str(debian.redis_folder() / "redis-server")) as server:
        found = one(server.cli, "redis.version")
    assert found.verdict == "fail"
    assert "Redis 7.0.15 lacks security fixes that the line 7.0 never got; " in found.evidence
