"""A MongoDB that answers and takes no writes: stepped down, or its replica set not made yet."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import pymongo
import pytest

from tests.conftest import Cli
from tests.live import faults
from tests.live.scrapes import until

pytestmark = pytest.mark.live

FILE = "mongodb: {port: PORT1}\napps: {shop: {mongodb: shop}}\n"
STEPPED_DOWN = "has no primary: it stepped down"


def test_one_that_stepped_down_is_told_as_such_and_waited_for_by_up(cli: Cli) -> None:
    cli.write(FILE)
    cli.ok("up")
    with pymongo.MongoClient[dict[str, object]](cli.ok("url", "mongodb").strip()) as admin:
        # until it is told to run for primary again
        admin.admin.command("replSetStepDown", 600, force=True)
        shown = cli.run("status")
        assert shown.returncode == 1
        assert STEPPED_DOWN in shown.stderr
        assert "another replica set" not in shown.stderr
        found = json.loads(cli.run("doctor", "--json").stdout)
        assert found["cause"]["cause"] == "check"
        assert [STEPPED_DOWN in one["text"] for one in found["cause"]["consequences"]] == [True]
        assert found["others"] == []
        with ThreadPoolExecutor(1) as pool:
            brought_up = pool.submit(cli.ok, "up")
            time.sleep(2)
            assert not brought_up.done()
            admin.admin.command("replSetFreeze", 0)
            brought_up.result()
    cli.ok("status")


def test_one_that_lacks_a_member_added_by_hand_is_told_what_removes_it(cli: Cli) -> None:
    cli.write(FILE)
    cli.ok("up")
    with pymongo.MongoClient[dict[str, Any]](cli.ok("url", "mongodb").strip()) as admin:
        config = admin.admin.command("replSetGetConfig")["config"]
        config["version"] += 1
        config["members"].append({"_id": 1, "host": "127.0.0.1:9"})
        admin.admin.command("replSetReconfig", config, force=True)
    lost = "no majority without 127.0.0.1:9, which is unreachable"
    until(lambda: lost in cli.run("plan").stderr)
    planned = cli.run("plan")
    assert planned.returncode == 3
    assert lost in planned.stderr
    assert "still starting" not in planned.stderr
    [told] = re.findall(r'mngdb shell mongodb "(.*)"', planned.stderr)
    cli.ok("shell", "mongodb", told)
    cli.ok("up")
    cli.ok("status")


def test_one_whose_first_up_was_interrupted_is_told_as_such_and_up_goes_on(cli: Cli) -> None:
    cli.write(FILE)
    cli.ok("up")
    data = faults.servers(cli) / "mng-mongo/data"
    server = psutil.Process(faults.pid(cli, "mng-mongo"))
    argv, folder, account = server.cmdline(), server.cwd(), data.stat()
    # as the first one left it that was killed before it made the set
    cli.ok("down")
    subprocess.run(["find", data, "-mindepth", "1", "-delete"], check=True)
    (cli.state / "units/mng-mongo.json").unlink()
    whose = {"user": account.st_uid, "group": account.st_gid} if os.geteuid() == 0 else {}
    process = subprocess.Popen(
        argv,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        **whose,  # type: ignore[call-overload]
    )
    said = "is not initiated yet"
    until(lambda: said in cli.run("status").stderr)
    shown = cli.run("status").stderr
    assert "'mngdb up' initiates it" in shown
    assert "another replica set" not in shown
    assert said in cli.run("doctor").stdout
    cli.ok("up")
    cli.ok("status")
    cli.ok("destroy", "--yes", "mng")
    process.wait(10)
