"""The backup kit: made, opened without mngdb, missed by `check`; a stack restored from it alone."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest
import yaml

from mngdb.stores.sealing import make_key, recipient
from tests import buckets, debian
from tests.checks.judge import one
from tests.conftest import STATE_HOME, Cli, free_port
from tests.live import faults
from tests.live.clients import brought_up, redis_as
from tests.live.postgres import pg

pytestmark = [pytest.mark.live, pytest.mark.redis]

PASSPHRASE = "five random words of mine"
FILE = """
redis: {port: PORT1}
apps: {shop: {redis: "shop:*"}}
backup: {store: STORE}
agent: false
"""
EVERY = """
postgres: {port: PORT1, memory: 128mb}
redis: {port: PORT2}
mongodb: {port: PORT3}
apps: {shop: {redis: "shop:*", postgres: shop, mongodb: shop}}
backup: {store: STORE}
agent: false
"""
stack = brought_up(FILE.replace("STORE", "/tmp/nowhere-yet"))


@pytest.fixture
def store(stack: Cli, tmp_path: Path) -> Path:
    """A directory of its own for the backups of a test."""
    stack.write(FILE.replace("STORE", str(tmp_path / "store")))
    return tmp_path / "store"


def made(cli: Cli, file: Path) -> Path:
    cli.ok("backup", "kit", "--output", str(file), stdin=PASSPHRASE + "\n")
    return file


def content(cli: Cli, file: Path) -> Any:
    return cli.json("backup", "kit", "--open", str(file), stdin=PASSPHRASE + "\n")


def test_it_holds_what_the_store_does_not(stack: Cli, store: Path, tmp_path: Path) -> None:
    file = made(stack, tmp_path / "kit.age")
    found = content(stack, file)
    assert found["key"] == (stack.state / "secrets" / "backup_key").read_text().strip()
    assert found["secrets"]["redis_shop"] == stack.env_of("shop")["REDIS_PASSWORD"]
    assert {"redis_admin", "redis_shop"} <= set(found["secrets"])
    assert found["files"] == {"mngdb.yaml": (stack.folder / "mngdb.yaml").read_text()}
    identity = json.loads((stack.state / "stack.json").read_text())["id"]
    assert found["backups"][0]["stack"] == identity
    assert found["backups"][0]["url"] == str(store)


def test_age_opens_it(stack: Cli, store: Path, tmp_path: Path) -> None:
    file = made(stack, tmp_path / "kit.age")
    assert file.stat().st_size < 16_384
    age = pexpect.spawn(str(debian.program("age")), ["-d", str(file)], encoding="utf-8")
    age.expect("passphrase")
    age.sendline(PASSPHRASE)
    age.expect(pexpect.EOF, timeout=60)
    text = age.before.replace("\r\n", "\n").partition("#")[2]
    found = yaml.safe_load("#" + text)
    assert found["key"].startswith("AGE-SECRET-KEY-1")
    assert found == content(stack, file)


def test_the_terminal_asks_twice(stack: Cli, store: Path, tmp_path: Path) -> None:
    argv = stack.argv("backup", "kit", "--output", str(tmp_path / "kit.age"))
    said = pexpect.spawn(
        argv[0], argv[1:], cwd=stack.folder, env=stack.environ(), encoding="utf-8", timeout=60
    )
    for _ in range(2):
        said.expect("(?i)passphrase[^:]*:|repeat[^:]*:")
        said.sendline(PASSPHRASE)
    said.expect(pexpect.EOF)
    assert PASSPHRASE not in said.before
    assert content(stack, tmp_path / "kit.age")["name"] == "mng"


def test_it_goes_into_no_repository_that_would_take_it_in(
    stack: Cli, store: Path, tmp_path: Path
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    subprocess.run(["git", "init", "-q", str(project)], check=True)
    argv = ["backup", "kit", "--output", str(project / "kit.age")]
    done = stack.run(*argv, stdin=PASSPHRASE + "\n")
    assert (done.returncode, ".gitignore" in done.stderr) == (2, True), done.stderr
    assert not list(project.glob("kit*"))
    (project / ".gitignore").write_text("kit.age*\n")
    made(stack, project / "kit.age")
    again = stack.run(*argv, stdin=PASSPHRASE + "\n")
    assert (again.returncode, "exists" in again.stderr) == (2, True), again.stderr


def test_a_wrong_passphrase_and_none(stack: Cli, store: Path, tmp_path: Path) -> None:
    file = made(stack, tmp_path / "kit.age")
    for given, said in (("some other words\n", "does not open it"), ("", "no passphrase")):
        done = stack.run("backup", "kit", "--open", str(file), stdin=given)
        assert (done.returncode, said in done.stderr) == (2, True), done.stderr
        assert "AGE-SECRET-KEY" not in done.stdout + done.stderr


def test_check_misses_it_until_it_is_made_and_after_a_change(
    stack: Cli, store: Path, tmp_path: Path
) -> None:
    (stack.state / "backup-kit.json").unlink(missing_ok=True)
    assert one(stack, "stack.backup-kit").verdict == "fail"
    made(stack, tmp_path / "1.age")
    note = (stack.state / "backup-kit.json").read_text()
    key = stack.state / "secrets" / "backup_key"
    assert key.read_text().strip() not in note
    assert one(stack, "stack.backup-kit").verdict == "pass"
    stack.ok("secret", "set", "redis_shop", stdin="another-password-of-32-characters-or-more")
    found = one(stack, "stack.backup-kit")
    assert (found.verdict, "redis_shop" in found.evidence) == ("pass", True), found
    before = key.read_text()
    stack.ok("secret", "set", "backup_key", stdin=make_key().reveal())
    found = one(stack, "stack.backup-kit")
    assert (found.verdict, "the key was changed" in found.evidence) == ("fail", True), found
    stack.ok("secret", "set", "backup_key", stdin=before)
    stack.write(FILE.replace("STORE", str(tmp_path / "elsewhere")))
    found = one(stack, "stack.backup-kit")
    assert (found.verdict, "the store was changed" in found.evidence) == ("fail", True), found
    stack.ok("up")


def test_with_recipients_it_says_whose_keys_are_needed(
    stack: Cli, store: Path, tmp_path: Path
) -> None:
    public = recipient(make_key())
    text = f"{{store: {store}, recipients: [{public}]}}"
    stack.write(FILE.replace("{store: STORE}", text))
    key = stack.state / "secrets" / "backup_key"
    kept = key.read_text()
    key.unlink()
    try:
        done = stack.run(
            *("backup", "kit", "--output", str(tmp_path / "kit.age")), stdin=PASSPHRASE + "\n"
        )
        assert (done.returncode, public in done.stderr) == (0, True), done.stderr
        assert content(stack, tmp_path / "kit.age")["key"] is None
        assert one(stack, "stack.backup-kit").verdict == "pass"
    finally:
        stack.ok("secret", "set", "backup_key", stdin=kept)


# --- the machine is gone


@pytest.fixture
def lost(cli: Cli, tmp_path: Path) -> Path:
    """A folder with a kit and a store, whose stack is no more."""
    kept = tmp_path / "kept"
    kept.mkdir()
    cli.write(FILE.replace("STORE", str(kept / "store")))
    cli.ok("up")
    with redis_as(cli, "shop") as shop:
        shop.set("shop:cart", "\0seven\n")
    cli.ok("backup")
    with redis_as(cli, "shop") as shop:
        shop.set("shop:later", "not in it")
    made(cli, kept / "kit.age")
    cli.ok("destroy", "--yes", "mng")
    return kept


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Cli]:
    """Another machine: no state, no folder, the same programs."""
    home = STATE_HOME / "elsewhere"
    home.mkdir(mode=0o711)
    found = Cli(tmp_path / "other" / "project", {"MNGDB_STATE_HOME": str(home)})
    found.folder.parent.mkdir()
    yield found
    if found.folder.exists():
        found.ok("destroy", "--yes", "mng")
    assert not list(home.glob("remote/*/*"))
    shutil.rmtree(home)


def begin(other: Cli, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command beside the folder that is not there yet."""
    beside = Cli(other.folder.parent, other.env)
    return beside.run(*words, stdin=PASSPHRASE + "\n")


def set_up(other: Cli, kept: Path, *more: str) -> subprocess.CompletedProcess[str]:
    words = ("backup", "kit", "--open", str(kept / "kit.age"), "--into", str(other.folder))
    return begin(other, *words, *more)


def test_a_stack_comes_back_from_kit_and_store(lost: Path, other: Cli) -> None:
    done = set_up(other, lost)
    assert done.returncode == 0, done.stderr
    before = snapshots_of(lost / "store")
    other.ok("restore", "redis", "--latest")
    (drill,) = other.json("drill")["drills"]
    assert drill["verdict"] == "pass", drill["checks"]
    assert other.json("restore", "--forget", "redis")["removed"]
    commands = done.stdout.partition("next:")[2].split("\n")
    for line in commands:
        if line.strip().startswith("mngdb "):
            other.ok(*line.split()[1:])
    with redis_as(other, "shop") as shop:
        assert shop.get("shop:cart") == "\0seven\n"
        assert shop.get("shop:later") is None
    assert other.json("status")["units"][0]["healthy"]
    (taken,) = other.json("backup")["instances"]
    found = other.json("backups")["instances"][0]["snapshots"]
    assert [one["id"] for one in found][-1] == taken["id"]
    assert len(found) == 2
    assert before < snapshots_of(lost / "store"), "nothing of the old stack is changed"
    assert len({one.split("/")[1] for one in snapshots_of(lost / "store")}) == 2


def snapshots_of(store: Path) -> set[str]:
    """Where snapshots are."""
    return {str(one.relative_to(store)) for one in store.rglob("manifest.json")}


def test_an_empty_server_never_counts_as_the_newest_backup(lost: Path, other: Cli) -> None:
    assert set_up(other, lost).returncode == 0
    other.ok("up")
    done = other.run("backup")
    assert (done.returncode, "not restored yet" in done.stderr) == (2, True), done.stderr
    assert len(snapshots_of(lost / "store")) == 1
    other.ok("backup", "redis")
    found = other.json("backups")["instances"][0]["snapshots"]
    assert len(found) == 2, "who names it means it"


def test_a_store_that_was_moved_is_named_and_a_wrong_one_refused(
    lost: Path, other: Cli, tmp_path: Path
) -> None:
    (lost / "store").rename(tmp_path / "moved")
    done = set_up(other, lost)
    assert (done.returncode, "--store" in done.stderr) == (2, True), done.stderr
    assert not other.folder.exists()
    assert not list(Path(other.env["MNGDB_STATE_HOME"]).glob("stacks/*"))
    (lost / "store").write_text("somebody's")
    done = set_up(other, lost)
    assert (done.returncode, "--store" in done.stderr) == (2, True), done.stderr
    (lost / "store").unlink()
    done = set_up(other, lost, "--store", str(tmp_path / "moved"))
    assert done.returncode == 0, done.stderr
    assert f"go to {lost / 'store'}" in done.stdout, "the file still names it"
    assert len(other.json("backups")["instances"][0]["snapshots"]) == 1
    again = set_up(other, lost, "--store", str(tmp_path / "moved"))
    assert (again.returncode, "not empty" in again.stderr) == (2, True), again.stderr


def test_a_moved_store_is_restored_from_again_though_the_files_own_does_not_answer(
    lost: Path, other: Cli, tmp_path: Path
) -> None:
    (lost / "store").rename(tmp_path / "moved")
    assert set_up(other, lost, "--store", str(tmp_path / "moved")).returncode == 0
    gone = f"{{url: s3://gone/x, endpoint: 'http://127.0.0.1:{free_port()}'}}"
    other.write(FILE.replace("STORE", gone))
    for name in ("backup_access-key-id", "backup_secret-access-key"):
        other.ok("secret", "set", name, stdin="nobody")
    other.ok("up")
    other.ok("restore", "redis", "--latest", "--replace", "--yes")
    other.ok("restore", "--forget", "redis", "--replaced", "--yes")
    done = other.run("--json", "restore", "redis", "--latest")
    assert (done.returncode, "not read: " in done.stderr) == (0, True), done.stderr
    assert json.loads(done.stdout)["address"]
    other.ok("restore", "--forget", "redis")
    done = other.run("--json", "backups")
    found = json.loads(done.stdout)
    assert (done.returncode, len(found["unread"])) == (1, 1)
    assert len(found["instances"][0]["snapshots"]) == 1


def test_a_drill_by_kit_and_store_alone_leaves_nothing(lost: Path, other: Cli) -> None:
    done = begin(other, "--json", "drill", "--remote", "--kit", str(lost / "kit.age"))
    assert done.returncode == 0, done.stderr
    (drill,) = json.loads(done.stdout)["drills"]
    assert (drill["verdict"], drill["instance"]) == ("pass", "redis")
    home = other.env["MNGDB_STATE_HOME"]
    assert not subprocess.run(["pgrep", "-f", home], capture_output=True).stdout
    assert not list(Path(home).glob("stacks/*"))
    assert not list(Path(home).glob("remote/*/*"))


def test_what_a_killed_drill_left_is_removed_by_the_next(lost: Path, other: Cli) -> None:
    words = ("--json", "drill", "--remote", "--kit", str(lost / "kit.age"))
    home = Path(other.env["MNGDB_STATE_HOME"])
    argv, cwd, env = other.argv(*words), other.folder.parent, other.environ()
    with subprocess.Popen(argv, cwd=cwd, env=env, stdin=subprocess.PIPE, text=True) as command:
        assert command.stdin is not None
        command.stdin.write(PASSPHRASE + "\n")
        command.stdin.close()
        faults.halted_when(command, lambda: list(home.glob("remote/*/stacks/*/drills/*/**/*.pid")))
        command.kill()
    assert list(home.glob("remote/*/stacks/*"))
    done = begin(other, *words)
    assert done.returncode == 0, done.stderr
    assert not list(home.glob("remote/*/stacks"))
    assert not subprocess.run(["pgrep", "-f", str(home)], capture_output=True).stdout


def test_a_vault_elsewhere_gets_no_secret_of_a_drill(cli: Cli, other: Cli, tmp_path: Path) -> None:
    vault = tmp_path / "vault"
    cli.write(f"{FILE.replace('STORE', str(tmp_path / 'store'))}\nvault: {{path: {vault}}}\n")
    cli.ok("up")
    cli.ok("backup")
    made(cli, tmp_path / "kit.age")
    vault.rename(tmp_path / "gone")
    done = begin(other, "--json", "drill", "--remote", "--kit", str(tmp_path / "kit.age"))
    assert done.returncode == 0, done.stderr
    assert not vault.exists()
    (tmp_path / "gone").rename(vault)


def test_a_port_that_is_taken_keeps_the_stack_for_the_same_command(lost: Path, other: Cli) -> None:
    beside = Cli(other.folder.parent, other.env)
    port = yaml.safe_load(content(beside, lost / "kit.age")["files"]["mngdb.yaml"])["redis"]["port"]
    with socket.create_server(("127.0.0.1", port)):
        done = set_up(other, lost, "--restore")
        assert (done.returncode, str(port) in done.stderr) == (1, True), done.stderr
        assert "Traceback" not in done.stderr
    done = set_up(other, lost, "--restore")
    assert done.returncode == 0, done.stderr
    with redis_as(other, "shop") as shop:
        assert shop.get("shop:cart") == "\0seven\n"


def test_a_whole_stack_comes_back_from_a_bucket_by_one_command_though_it_was_killed(
    cli: Cli, other: Cli, tmp_path: Path
) -> None:
    kit = tmp_path / "kit.age"
    with buckets.rclone(tmp_path) as port:
        store = f"{{url: s3://bucket/team, endpoint: 'http://127.0.0.1:{port}', region: us-east-1}}"
        cli.write(EVERY.replace("STORE", store))
        cli.ok("up")
        with redis_as(cli, "shop") as shop, pg(cli, "shop") as sql:
            shop.set("shop:cart", "seven")
            sql.execute("CREATE TABLE cart AS SELECT 7 AS things")
        cli.ok("secret", "set", "backup_access-key-id", stdin=buckets.ID)
        cli.ok("secret", "set", "backup_secret-access-key", stdin=buckets.SECRET)
        cli.ok("backup")
        made(cli, kit)
        done = begin(other, "--json", "drill", "--remote", "--kit", str(kit))
        assert done.returncode == 0, done.stderr
        drills = json.loads(done.stdout)["drills"]
        assert {one["engine"]: one["verdict"] for one in drills} == {
            "postgres": "pass",
            "redis": "pass",
            "mongodb": "pass",
        }
        cli.ok("down")
        words = ("backup", "kit", "--open", str(kit), "--into", str(other.folder), "--restore")
        login = "MNGDB_SECRET_BACKUP_ACCESS_KEY_ID"  # newer than the kit's, where there is one
        refused = begin(Cli(other.folder, {**other.env, login: "nobody"}), *words)
        assert (refused.returncode != 0, login in refused.stderr) == (True, True), refused.stderr
        assert not other.folder.exists()
        killed_once_it_restores(other, *words)
        done = begin(other, *words)
        assert done.returncode == 0, done.stderr
        assert begin(other, *words).stdout == "nothing waits for its data\n"
    with redis_as(other, "shop") as shop, pg(other, "shop") as sql:
        assert shop.get("shop:cart") == "seven"
        assert sql.execute("SELECT things FROM cart").fetchall() == [(7,)]


def killed_once_it_restores(other: Cli, *words: str) -> None:
    """Begin a command in the folder above the stack's, and kill it half-way."""
    argv, env = other.argv(*words), other.environ()
    with subprocess.Popen(
        argv, cwd=other.folder.parent, env=env, stdin=subprocess.PIPE, text=True
    ) as command:
        assert command.stdin is not None
        command.stdin.write(PASSPHRASE + "\n")
        command.stdin.close()
        home = Path(other.env["MNGDB_STATE_HOME"])
        faults.halted_when(command, lambda: list(home.glob("stacks/*/restored/*/**/*.pid")))
        command.kill()
