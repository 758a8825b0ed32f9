"""As root, servers of different engines run as different accounts, and none reads the others'
files; stacks of before, which had one account for all, are handed over."""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path

import psutil
import pytest

from mngdb.run import Account
from mngdb.targets.local import ownership
from mngdb.targets.process import machine
from tests.conftest import Cli
from tests.live import faults
from tests.live.clients import redis_as
from tests.live.postgres import sql

pytestmark = [pytest.mark.live, pytest.mark.root]

TWO = """
postgres: {port: PORT1}
redis: {port: PORT2}
apps: {shop: {postgres: shop, redis: "shop:*"}}
"""
ALL = TWO.replace("apps:", "mongodb: {port: PORT3}\napps:")
#: As every stack was before: one account for all.
BEFORE = "target: {local: {account: mngdb}}\nagent: false\n"
UNITS = {"mng-pg": "mngdb-postgres", "mng-redis": "mngdb-redis", "mng-mongo": "mngdb-mongodb"}


def runs_as(cli: Cli, unit: str) -> str:
    return psutil.Process(faults.pid(cli, unit)).username()


def owners(folder: Path) -> set[str]:
    """Whose what is in a folder is, the folder included."""
    found = [folder, *folder.rglob("*")]
    return {pwd.getpwuid(path.lstat().st_uid).pw_name for path in found}


def read_as(account: str, path: Path) -> bool:
    """Whether an account gets at a file, or into a folder."""
    entry = pwd.getpwnam(account)
    argv = ["ls" if path.is_dir() else "cat", str(path)]
    done = subprocess.run(
        argv, user=entry.pw_uid, group=entry.pw_gid, extra_groups=[], capture_output=True
    )
    return done.returncode == 0


def test_each_engine_has_an_account_of_its_own_that_reads_nothing_of_the_others(cli: Cli) -> None:
    cli.write("agent: false\n" + ALL)
    cli.ok("up")
    assert {unit: runs_as(cli, unit) for unit in UNITS} == UNITS
    for unit, account in UNITS.items():
        folder = faults.servers(cli) / unit
        private = [folder / "data", folder / "run", *(folder / "conf").iterdir()]
        private += [path for path in (folder / "data").rglob("*") if path.is_file()][:50]
        # files come and go while a server works: these do not
        assert read_as(account, folder / "data")
        assert read_as(account, next((folder / "conf").iterdir()))
        for other in set(UNITS.values()) - {account}:
            assert [path for path in private if read_as(other, path)] == [], (unit, other)
    assert cli.json("plan")["steps"] == []


def test_the_account_that_the_file_names_is_everybodys(cli: Cli) -> None:
    cli.write(BEFORE + TWO)
    cli.ok("up")
    assert {runs_as(cli, unit) for unit in ("mng-pg", "mng-redis")} == {"mngdb"}
    assert cli.json("plan")["steps"] == []


@pytest.fixture
def before(cli: Cli) -> Cli:
    """A stack as it was before, with a row in each server."""
    cli.write(BEFORE + TWO)
    cli.ok("up")
    sql(cli, "CREATE TABLE item AS SELECT 7 AS id", app="shop")
    with redis_as(cli, "shop") as client:
        client.set("shop:1", "kept")
    return cli


def whole(cli: Cli) -> None:
    """Every row is there, everything belongs to whom it should, and nothing is left to do."""
    assert sql(cli, "SELECT id FROM item", app="shop") == [(7,)]
    with redis_as(cli, "shop") as client:
        assert client.get("shop:1") == "kept"
    for unit in ("mng-pg", "mng-redis"):
        assert runs_as(cli, unit) == UNITS[unit]
        folder = faults.servers(cli) / unit
        for name in ("data", "run"):
            assert owners(folder / name) == {UNITS[unit]}, (unit, name)
        files = list((folder / "conf").iterdir())
        assert {pwd.getpwuid(path.stat().st_uid).pw_name for path in files} == {UNITS[unit]}
    assert cli.json("plan")["steps"] == []


def test_servers_of_before_that_run_are_restarted_with_accounts_of_their_own(before: Cli) -> None:
    before.write("agent: false\n" + TWO)
    assert before.run("status").returncode == 0
    steps = before.json("plan")["steps"]
    assert [(step["action"], step["object"]) for step in steps] == [
        ("restart", "mng-pg"),
        ("restart", "mng-redis"),
    ]
    assert [step["detail"] for step in steps] == [
        "its account mngdb → mngdb-postgres",
        "its account mngdb → mngdb-redis",
    ]
    before.ok("up")
    whole(before)


def test_servers_of_before_that_do_not_run_are_handed_over_when_they_start(before: Cli) -> None:
    before.ok("down")
    before.write("agent: false\n" + TWO)
    details = [step["detail"] for step in before.json("plan")["steps"]]
    assert all("its account mngdb → mngdb-" in detail for detail in details)
    assert len(details) == 2
    before.ok("up")
    whole(before)
    # and back, where the file says so
    before.write(BEFORE + TWO)
    before.ok("up")
    assert {runs_as(before, unit) for unit in ("mng-pg", "mng-redis")} == {"mngdb"}


def test_a_command_that_was_killed_half_way_is_finished_by_the_next(before: Cli) -> None:
    before.ok("down")
    before.write("agent: false\n" + TWO)
    for unit in ("mng-pg", "mng-redis"):
        entry = made(UNITS[unit])
        paths = sorted((faults.servers(before) / unit / "data").rglob("*"))
        for path in paths[: len(paths) // 2]:
            os.lchown(path, entry.pw_uid, entry.pw_gid)
    before.ok("up")
    whole(before)


def made(account: str) -> pwd.struct_passwd:
    """An account as the killed command had made it."""
    found = machine.account(account)
    assert found is not None
    return pwd.getpwuid(found.uid)


def test_links_and_files_of_others_are_not_given_away(tmp_path: Path) -> None:
    old, new = Account("old", 40_001, 40_001), Account("new", 40_002, 40_002)
    root = tmp_path / "root-owned"
    root.write_text("secret")
    data = tmp_path / "data"
    (data / "below").mkdir(parents=True)
    (data / "below/file").write_text("x")
    (data / "link").symlink_to(root)
    (data / "folder").symlink_to(tmp_path)
    os.link(root, data / "hard")
    for path in (data, data / "below", data / "below/file", data / "link", data / "folder"):
        os.lchown(path, old.uid, old.gid)
    ownership.hand_over([data, tmp_path / "missing"], old, new)
    assert root.stat().st_uid == tmp_path.stat().st_uid == os.geteuid()
    moved = (data, data / "below", data / "below/file", data / "link", data / "folder")
    assert {path.lstat().st_uid for path in moved} == {new.uid}
    # tablespaces lie elsewhere, by links: such data keeps its account
    assert ownership.leads_out(data)
    (data / "link").unlink()
    (data / "folder").unlink()
    assert not ownership.leads_out(data)
    (data / "below/link").symlink_to(tmp_path)
    assert ownership.leads_out(data)
