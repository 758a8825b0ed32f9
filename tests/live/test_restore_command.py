"""`restore` as people use it: what it asks, what it keeps, Ctrl-C, and names that have changed."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mngdb.ops.backup.pick import newest_of
from mngdb.ops.backup.reach import reachable
from mngdb.ops.backup.restore import beside
from tests.checks.judge import opened
from tests.conftest import Cli
from tests.live.one_redis import client, get, one_redis, put

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """A server with a snapshot of `first`, and `second` since."""
    with one_redis(tmp_path_factory) as found:
        yield found


@pytest.fixture(autouse=True)
def _clean(cli: Cli) -> Iterator[None]:
    yield
    cli.ok("restore", "--forget")
    cli.ok("restore", "--forget", "--replaced", "--yes")


def test_data_from_before_goes_only_when_it_is_asked_for(cli: Cli) -> None:
    done = cli.run("restore", "redis", "--latest", "--replace", "--yes")
    assert "--forget redis --replaced" in done.stderr
    put(cli, "third")
    assert cli.json("restore", "--forget")["removed"] == []
    refused = cli.run("restore", "--forget", "--replaced", stdin="")
    assert (refused.returncode, "--yes" in refused.stderr) == (2, True), refused.stderr
    undone = cli.json("restore", "redis", "--undo", "--yes")
    assert (undone["instance"], undone["errors"]) == ("redis", {})
    assert get(cli) == "second"
    # what was written in the meantime was live, too
    assert cli.json("restore", "--forget", "redis")["removed"] == []
    cli.ok("restore", "redis", "--undo", "--yes")
    assert get(cli) == "third"
    cli.ok("restore", "redis", "--undo", "--yes")
    # the same moment, beside and in place, as often as one likes
    cli.ok("restore", "redis", "--latest")
    again = cli.run("restore", "redis", "--latest")
    assert (again.returncode, "restored already" in again.stderr) == (2, True), again.stderr
    done = cli.run("restore", "redis", "--latest", "--replace", "--yes")
    assert "afresh" in done.stderr, done.stderr
    assert get(cli) == "first"
    cli.ok("restore", "redis", "--undo", "--yes")
    assert get(cli) == "second"
    kept = cli.run("restore", "--forget", "redis").stderr.splitlines()
    assert (len(kept), len(set(kept))) == (2, 2), kept
    assert cli.json("restore", "--forget", "redis", "--replaced", "--yes")["removed"]
    assert get(cli) == "second"
    refused = cli.run("restore", "redis", "--undo", stdin="")
    assert (refused.returncode, "no restore" in refused.stderr) == (2, True), refused.stderr


@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
def test_a_restored_server_serves_who_asks_for_it_again(cli: Cli) -> None:
    context = opened(cli)
    aim = newest_of(reachable(context, "redis"), "redis").to_newest()
    first = beside(context, aim, lambda _: None)
    assert beside(context, aim, lambda _: None, again=True) == first


def test_data_that_is_gone_is_brought_back_and_never_taken_back(cli: Cli) -> None:
    os.kill(_server(cli), signal.SIGKILL)
    shutil.rmtree(cli.state / "servers/mng-redis/data")
    assert "restore redis --latest --replace" in cli.run("doctor").stdout
    cli.ok("restore", "redis", "--latest", "--replace", "--yes")
    assert get(cli) == "first"
    refused = cli.run("restore", "redis", "--undo", "--yes")
    assert (refused.returncode, "no restore" in refused.stderr) == (2, True), refused.stderr
    assert get(cli) == "first"
    put(cli, "second")


def test_ctrl_c_while_the_live_server_is_stopped_waits_until_it_runs(cli: Cli) -> None:
    pid = _server(cli)
    command = _begun(cli, "restore", "redis", "--latest", "--replace", "--yes")
    _soon(lambda: not _alive(pid))
    os.killpg(command.pid, signal.SIGINT)  # as a terminal does
    _, said = command.communicate(timeout=60)
    assert command.returncode == 0, said
    assert "is stopped" in said
    assert "--undo" in said
    assert get(cli) == "first"
    cli.ok("restore", "redis", "--undo", "--yes")
    assert get(cli) == "second"


def test_a_second_ctrl_c_tells_what_is_there(cli: Cli) -> None:
    pid = _server(cli)
    command = _begun(cli, "restore", "redis", "--latest", "--replace", "--yes")
    _soon(lambda: not _alive(pid))
    for _ in range(2):
        os.killpg(command.pid, signal.SIGINT)  # as a terminal does
        time.sleep(0.05)
    _, said = command.communicate(timeout=60)
    assert command.returncode in {0, 130}, said
    if command.returncode:
        assert "mng-redis" in said.splitlines()[-2], said
    cli.ok("up")
    assert get(cli) in {"first", "second"}
    if get(cli) == "first":
        cli.ok("restore", "redis", "--undo", "--yes")


def test_ctrl_c_before_that_says_that_nothing_was_changed(cli: Cli) -> None:
    pid = _server(cli)
    command = _begun(cli, "restore", "redis", "--latest", "--replace", "--yes")
    _soon(lambda: bool(list((cli.state / "restored").glob("*/restored.json"))))
    os.killpg(command.pid, signal.SIGINT)  # as a terminal does
    _, said = command.communicate(timeout=60)
    assert (command.returncode, "as it was" in said) == (130, True), said
    assert _alive(pid)
    assert not list((cli.state / "restored").glob("*/"))


def _soon(happens: Callable[[], object]) -> None:
    """Wait for a state that is over in a moment."""
    deadline = time.monotonic() + 30
    while not happens():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.002)


def _begun(cli: Cli, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        cli.argv(*words), cwd=cli.folder, env=cli.environ(), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def _server(cli: Cli) -> int:
    with client(cli) as redis:
        port = redis.connection_pool.connection_kwargs["port"]
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes().decode(errors="replace")
            if f":{port}" in words and (path / "cwd").readlink().is_relative_to(cli.state):
                return int(path.name)
        except OSError:
            continue
    raise AssertionError("it does not run")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False


@pytest.mark.parametrize(
    "words",
    [
        ("redis", "--latest", "--replace"),
        ("redis", "--latest", "--keys", "shop:*", "--overwrite"),
    ],
)
def test_a_question_that_nobody_answers_is_told_as_such(cli: Cli, words: tuple[str, ...]) -> None:
    done = cli.run("restore", *words, stdin="")
    assert (done.returncode, "--yes" in done.stderr) == (2, True), done.stderr
    assert "interrupted" not in done.stderr
    done = cli.run("restore", *words, stdin="n\n")
    assert (done.returncode, "not confirmed" in done.stderr) == (1, True), done.stderr
    assert get(cli) == "second"


def test_options_that_exclude_each_other_are_told_as_such(cli: Cli) -> None:
    done = cli.run("restore", "redis", "--latest", "--to", "10m ago")
    assert (done.returncode, "only one of" in done.stderr) == (2, True), done.stderr
    for words, said in (
        (("restore", "redis", "--forget", "--replace"), "--forget goes without"),
        (("restore", "redis", "--forget", "--latest"), "--forget goes without"),
        (("restore", "redis", "--latest", "--undo"), "--undo goes without"),
        (("drill", "--history", "--report", "x.html"), "--history goes without"),
        (("backup", "prune", "--dry-run", "--yes"), "only one of"),
    ):
        done = cli.run(*words)
        assert (done.returncode, said in done.stderr) == (2, True), done.stderr


def test_keys_that_are_all_there_are_no_bytes(cli: Cli) -> None:
    done = cli.ok("restore", "redis", "--latest", "--keys", "shop:*")
    assert "1 existing" in done
    assert "0 B" not in done


def test_an_instance_that_was_renamed_keeps_its_snapshots(cli: Cli) -> None:
    text = (cli.folder / "mngdb.yaml").read_text()
    port = f"{cli.port(2)}"
    renamed = text.replace("redis: {port", "instances: {queue: {engine: redis, port").replace(
        "64 MB}", "64 MB}}"
    )
    renamed = renamed.replace('{redis: "shop:*"}', '{queue: "shop:*"}')
    (taken,) = cli.json("backups")["instances"][0]["snapshots"]
    cli.ok("down")
    try:
        (cli.folder / "mngdb.yaml").write_text(renamed.replace(_port(text), port))
        cli.ok("up")
        found = cli.json("backups")
        assert [one["snapshots"] for one in found["instances"]] == [[]]
        (gone,) = found["not_in_file"]
        assert (gone["instance"], gone["engine"]) == ("redis", "redis")
        assert [one["id"] for one in gone["snapshots"]] == [taken["id"]]
        listed = cli.run("backups")
        assert "not in the file" in listed.stderr, listed.stderr
        assert "--from redis" in listed.stderr
        assert cli.json("verify")["snapshots"] == 1
        cli.ok("backup", "prune", "--yes")
        (kept,) = cli.json("backups")["not_in_file"]
        assert kept["snapshots"] == gone["snapshots"]
        cli.ok("restore", "queue", "--latest", "--from", "redis", "--keys", "shop:*")
        done = cli.json("restore", "queue", "--latest", "--from", "redis", "--replace", "--yes")
        assert (done["instance"], done["snapshot"]) == ("queue", taken["id"])
        with client(cli, "queue") as redis:
            assert redis.get("shop:value") == "first"
        cli.ok("restore", "queue", "--undo", "--yes")
        for wrong in ("nobody", "../redis"):
            done = cli.run("restore", "queue", "--latest", "--from", wrong)
            assert (done.returncode, "no backups" in done.stderr) == (2, True), done.stderr
        cli.ok("restore", "queue", "--latest", "--from", "redis", "--replace", "--yes")
        cli.ok("restore", "queue", "--snapshot", _taken(cli, "queue"))
    finally:
        (cli.folder / "mngdb.yaml").write_text(text)
        cli.run("up", "--prune")
        cli.ok("up")
    # what was restored for an instance that has left the file can be removed
    assert len(cli.json("restore", "--forget", "queue")["removed"]) == 1
    assert len(cli.json("restore", "--forget", "queue", "--replaced", "--yes")["removed"]) == 2
    assert get(cli) == "second"


def _taken(cli: Cli, instance: str) -> str:
    return str(cli.json("backup", instance)["instances"][0]["id"])


def test_each_instance_has_its_own_servers_of_the_same_backup(cli: Cli) -> None:
    """Another instance's restored server is neither taken for one's own, nor removed."""
    text = (cli.folder / "mngdb.yaml").read_text()
    cli.write(f"instances: {{second: {{engine: redis, port: PORT3, memory: 64 MB}}}}\n{text}")
    try:
        cli.ok("up")
        snapshot = cli.json("backups")["instances"][0]["snapshots"][0]["id"]
        words = ("--snapshot", snapshot, "--replace", "--yes")
        cli.ok("restore", "redis", *words)
        cli.ok("restore", "redis", "--undo", "--yes")
        cli.ok("restore", "second", "--from", "redis", *words)
        assert get(cli) == "second"
        assert len(cli.json("restore", "--forget", "--replaced", "--yes")["removed"]) == 2
    finally:
        (cli.folder / "mngdb.yaml").write_text(text)
        cli.ok("up", "--prune")


def test_an_exchange_that_fails_leaves_the_live_server_running(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import mngdb.disk\n"
        "def exchange(one, other): raise OSError(18, 'Invalid cross-device link', str(one))\n"
        "mngdb.disk.exchange = exchange\n"
    )
    other = Cli(cli.folder, {"PYTHONPATH": str(tmp_path)})
    done = subprocess.run(
        other.argv("restore", "redis", "--latest", "--replace", "--yes"), cwd=cli.folder,
        env=other.environ(), text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert (done.returncode, "runs again" in done.stderr) == (1, True), done.stderr
    assert "cross-device" in done.stderr
    assert get(cli) == "second"


def _port(text: str) -> str:
    return text.split("port: ")[1].split(",")[0]


#: The command, on a disk that fails to take what was written.
_FAILING = """
import errno, os
from mngdb import disk
from mngdb.cli.main import run
def fail(path):
    raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
disk.sync_tree = fail
run()
"""


def test_a_disk_that_fails_behind_the_server_is_told_and_nothing_is_left(cli: Cli) -> None:
    """What is restored is on its way to the disk while the server loads it from memory."""
    done = subprocess.run(
        [sys.executable, "-c", _FAILING, "restore", "redis", "--latest"],
        cwd=cli.folder, env=cli.environ(), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, os.strerror(errno.EIO) in done.stderr) == (1, True), done.stderr
    assert not list((cli.state / "restored").glob("*/"))
