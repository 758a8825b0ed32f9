"""What the machine may have against a stack: ports, addresses, folders, versions, clocks."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from tests.checks.judge import opened
from tests.conftest import Cli
from tests.live import faults

pytestmark = pytest.mark.live


def failed(cli: Cli, *command: str) -> str:
    """What a command says that has to end with exit code 1 and one sentence."""
    done = cli.run(*command)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert sum(line.startswith("error: ") for line in done.stderr.splitlines()) == 1
    return done.stderr


def test_a_port_in_use_is_named_with_its_holder_and_nothing_is_made(cli: Cli) -> None:
    cli.write(faults.REDIS)
    with socket.create_server(("127.0.0.1", cli.port(2))):
        said = failed(cli, "up")
        port = cli.port(2)
        assert f"mng-redis: port {port} of 127.0.0.1 is taken by " in said
        assert f"(pid {os.getpid()})" in said
        assert "another port" in said
        assert "nothing was changed" in said
        assert not (cli.state / "secrets").exists()
        assert f"(pid {os.getpid()})" in failed(cli, "plan")
    cli.ok("up")


def test_all_ports_that_are_taken_are_told_at_once(cli: Cli) -> None:
    ports = "bind: 127.0.0.1, ports: {redis: PORT3, mngdb: PORT4}"
    cli.write(f"redis: {{port: PORT1}}\npostgres: {{port: PORT2}}\nagent: {{{ports}}}\n")
    with socket.create_server(("127.0.0.1", cli.port(1))), \
         socket.create_server(("127.0.0.1", cli.port(2))), \
         socket.create_server(("127.0.0.1", cli.port(4))):  # fmt: skip
        for command in ("up", "plan"):
            done = cli.run(command, "--json")
            assert done.returncode == 1
            errors = json.loads(done.stdout)["errors"]
            assert {one["instance"] for one in errors} == {"redis", "postgres", "agent"}
            assert done.stderr.count(" is taken by ") == 3


def test_an_ipv6_wildcard_listener_counts_as_the_holder(cli: Cli) -> None:
    cli.write(faults.REDIS)
    with socket.create_server(("::", cli.port(2)), family=socket.AF_INET6, dualstack_ipv6=True):
        assert f"(pid {os.getpid()})" in failed(cli, "up")


def test_an_address_of_another_machine_is_told_before_anything_is_made(cli: Cli) -> None:
    cli.write("tls: true\nredis: {port: PORT2, bind: [127.0.0.1, 203.0.113.9]}\n")
    done = cli.run("up")
    assert done.returncode in {1, 2}
    assert "203.0.113.9 is not an address of this machine" in done.stderr or "TLS" in done.stderr
    cli.write("postgres: {port: PORT1, tls: true, bind: [203.0.113.9]}\n")
    assert "203.0.113.9 is not an address of this machine" in failed(cli, "up")


def test_data_of_another_major_version_is_refused_and_untouched(cli: Cli) -> None:
    cli.write(faults.POSTGRES)
    cli.ok("up")
    cli.ok("down")
    version = faults.servers(cli) / "mng-pg" / "data" / "PG_VERSION"
    version.write_text("16\n")
    for command in ("up", "plan"):
        said = failed(cli, command)
        assert "was written by PostgreSQL 16, and PostgreSQL 17" in said
        assert "dump and restore" in said
    version.write_text("17\n")
    cli.ok("up")
    faults.sound(cli, {"mng-pg"})


@pytest.mark.parametrize("name", ["secrets", "lock/x", "units"])
def test_something_else_where_a_file_or_folder_should_be_is_named(cli: Cli, name: str) -> None:
    cli.write(faults.REDIS)
    opened(cli).claim()
    path = cli.state / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    done = cli.run("up")
    assert done.returncode in {1, 2}, done.stderr
    assert str(cli.state) in done.stderr
    assert "Traceback" not in done.stderr
    path.unlink()
    if path.parent.name == "lock":
        path.parent.rmdir()
    cli.ok("up")


def test_a_config_file_that_is_garbage_is_written_anew(cli: Cli) -> None:
    cli.write(faults.REDIS)
    cli.ok("up")
    conf = faults.servers(cli) / "mng-redis" / "conf" / "redis.conf"
    good = conf.read_text()
    conf.write_bytes(b"\xff\xfe\0garbage")
    assert [s["action"] for s in cli.json("plan")["steps"]] == ["reload"]
    cli.ok("up")
    assert conf.read_text() == good
    faults.sound(cli, {"mng-redis"})
    (conf.parents[1] / "unit.json").unlink()
    assert cli.json("down")["stopped"] == ["mng-redis"]


def test_files_from_the_future_are_no_reason_to_change_anything(cli: Cli) -> None:
    cli.write(faults.STACK)
    cli.ok("up")
    for when in (time.time() + 10**8, 1.0):
        for path in [*faults.servers(cli).glob("*/conf/*"), *cli.state.glob("secrets/*")]:
            os.utime(path, (when, when))
        faults.sound(cli, {"mng-pg", "mng-redis", "mng-mongo"})
        assert cli.json("up")["steps"] == []


def test_a_clock_that_jumps_changes_no_plan_and_no_stop(cli: Cli) -> None:
    library = _faketime()
    cli.write(faults.REDIS)
    cli.ok("up")
    for jump in ("-400d", "+400d"):
        cli.env = {"LD_PRELOAD": library, "FAKETIME": jump, "NO_FAKE_STAT": "1"}
        assert cli.json("up")["steps"] == [], jump
        assert cli.json("status")["units"][0]["healthy"]
    cli.ok("down")
    cli.ok("up")
    cli.env = {}
    faults.sound(cli, {"mng-redis"})


def _faketime() -> str:
    """libfaketime from the machine, or unpacked from Debian's package."""
    name = "libfaketime.so.1"
    places = [*Path("/usr/lib").glob(f"*/faketime/{name}"), Path("/usr/lib/faketime") / name]
    cache = Path("/tmp") / f"mngdb-test-faketime-{os.geteuid()}"
    if not cache.exists():
        # in a namespace of its own, another run has the same process ids
        fresh = Path(tempfile.mkdtemp(prefix=f"{cache.name}.", dir=cache.parent))
        subprocess.run(["apt-get", "-qq", "download", "libfaketime"], cwd=fresh, check=True)
        (package,) = fresh.glob("*.deb")
        subprocess.run(["dpkg", "-x", package, fresh], check=True)
        if not cache.exists():
            fresh.rename(cache)
    places += cache.glob(f"usr/lib/*/faketime/{name}")
    return str(next(path for path in places if path.exists()))


def test_a_log_that_grew_large_is_set_aside_at_the_next_start(cli: Cli) -> None:
    cli.write(faults.REDIS)
    cli.ok("up")
    cli.ok("down")
    log = faults.servers(cli) / "mng-redis" / "server.log"
    with log.open("a") as handle:
        handle.truncate((32 << 20) + 1)
    cli.ok("up")
    assert log.with_name("server.log.1").stat().st_size > 32 << 20
    assert 0 < log.stat().st_size < 1 << 20
    assert "Ready to accept connections" in cli.ok("logs", "redis")


def test_a_project_that_was_moved_while_stopped_keeps_its_data(cli: Cli) -> None:
    cli.write(faults.STACK)
    cli.ok("up")
    faults.Data(cli).write("moved")
    cli.ok("down")
    home = cli.folder
    shutil.move(home, home.with_name("elsewhere"))
    cli.folder = home.with_name("elsewhere")
    cli.ok("up")
    faults.sound(cli, {"mng-pg", "mng-redis", "mng-mongo"})
    assert faults.Data(cli).read() == [["moved"]] * 3
    assert not home.exists()


def test_a_version_that_pip_does_not_bring_is_told_how_to_be_had(cli: Cli) -> None:
    folder = cli.folder / "empty"
    folder.mkdir()
    for text, said in (
        ("redis: {version: 5}", "install Redis 5 and set its folder"),
        ("redis: {version: 8.99}", "install Redis 8.99 and set its folder"),
        ("redis: {}\nbinaries: {redis: empty}", "correct 'binaries: {redis: …}'"),
    ):
        cli.write(text + "\n")
        done = cli.run("plan")
        assert done.returncode == 2
        assert f"hint: {said}" in done.stderr
    assert str(folder) in done.stderr, "beside the file"
