"""`port: auto` with real servers: two stacks side by side, and a stranger on a remembered port."""

from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import Cli, _destroy

pytestmark = [pytest.mark.live, pytest.mark.redis]

FILE = """
redis: {port: auto, memory: 64mb}
agent: {}
apps: {shop: {redis: "shop:*"}}
"""


def test_two_stacks_share_a_machine(cli: Cli, tmp_path: Path) -> None:
    other = Cli(tmp_path / "other")
    other.folder.mkdir()
    both = (cli, other)
    try:
        for one in both:
            one.write(FILE)
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda one: one.ok("up", close_fds=True), both))
        notes = [json.loads((one.state / "ports.json").read_text()) for one in both]
        taken = [port for note in notes for port in note.values()]
        assert len(taken) == len(set(taken)) == 6
        for one, note in zip(both, notes, strict=True):
            port = note["redis"]
            assert one.env_of("shop")["REDIS_PORT"] == str(port)
            assert f":{port}/" in one.ok("url", "redis", "shop")
            assert f"port: {port}\n" in one.ok("config")
            assert f"127.0.0.1:{port}" in one.ok("status")
            assert one.json("plan")["steps"] == []
        cli.ok("down")
        other.ok("destroy", "--yes", "mng")
        cli.ok("up")  # not the port that is free now
        assert json.loads((cli.state / "ports.json").read_text()) == notes[0]
    finally:
        _destroy(other)


def test_a_stranger_on_a_remembered_port(cli: Cli) -> None:
    cli.write(FILE)
    cli.ok("up")
    port = int(cli.env_of("shop")["REDIS_PORT"])
    cli.ok("down")
    with closing(socket.create_server(("127.0.0.1", port))):
        done = cli.run("up")
        assert done.returncode == 1
        assert f"port {port} of 127.0.0.1 is taken by" in done.stderr
        assert "mngdb up --new-ports" in done.stderr
        cli.ok("up", "--new-ports")
        assert int(cli.env_of("shop")["REDIS_PORT"]) > port
        assert cli.ok("doctor", "shop").split() == ["redis", "ok"]
