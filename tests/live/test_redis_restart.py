"""Redis across restarts: cold settings, the log switched on and off, another port. No data goes."""

from __future__ import annotations

import os
import socket
import subprocess

import pytest

from tests.conftest import Cli, each_server
from tests.live import faults
from tests.live.clients import converge, redis_as, said
from tests.live.faults import written
from tests.live.scrapes import until

pytestmark = pytest.mark.live
server = each_server()

FILE = """
redis: {port: PORT1}
apps: {shop: {redis: "shop:*"}}
"""
NO_LOG = FILE.replace("PORT1}", "PORT1, appendonly: false}")
NOTHING = FILE.replace("PORT1}", "PORT1, appendonly: false, save: []}")


def put(cli: Cli, *keys: str) -> None:
    with redis_as(cli, "shop") as shop:
        for key in keys:
            shop.set(f"shop:{key}", key)
    with redis_as(cli) as admin:
        written(admin)


def kept(cli: Cli) -> list[str]:
    with redis_as(cli, "shop") as shop:
        return sorted(key.removeprefix("shop:") for key in shop.scan_iter("shop:*"))


def kill(cli: Cli) -> None:
    faults.kill(cli, "mng-redis")


def switched_off(cli: Cli) -> None:
    """A log with the key `old`, switched off by `up` while the server ran."""
    cli.write(FILE)
    cli.ok("up")
    put(cli, "old")
    cli.write(NO_LOG)
    cli.ok("up")


def test_a_cold_setting_restarts_the_server_and_keeps_the_data(cli: Cli) -> None:
    cli.write(FILE)
    cli.ok("up")
    put(cli, "a")
    cli.write(FILE.replace("PORT1}", "PORT1, settings: {databases: 4}}"))
    steps = converge(cli)
    assert [(s["action"], s["restart"]) for s in steps] == [("restart", True)]
    assert "databases 16 → 4" in steps[0]["detail"]
    with redis_as(cli) as admin:
        assert admin.config_get("databases") == {"databases": "4"}
    assert kept(cli) == ["a"]


def test_another_port_is_a_restart_and_keeps_the_data(cli: Cli) -> None:
    cli.write(FILE)
    cli.ok("up")
    put(cli, "a")
    cli.write(FILE.replace("PORT1", "PORT2"))
    steps = converge(cli)
    assert [(s["action"], s["restart"]) for s in steps] == [("restart", True)]
    assert kept(cli) == ["a"]


def test_a_port_that_somebody_else_holds_is_named_and_the_server_runs_on(cli: Cli) -> None:
    cli.write(FILE)
    cli.ok("up")
    put(cli, "a")
    with socket.create_server(("127.0.0.1", cli.port(2))):
        cli.write(FILE.replace("PORT1", "PORT2"))
        for command in ("plan", "up"):
            done = cli.run(command)
            assert done.returncode == 1, done.stderr
            assert f"port {cli.port(2)} of 127.0.0.1 is taken by" in done.stderr
            assert f"(pid {os.getpid()})" in done.stderr
    cli.write(FILE)
    assert cli.json("plan")["steps"] == []
    assert kept(cli) == ["a"]


def test_the_log_switched_on_and_off_while_it_runs_loses_nothing(cli: Cli) -> None:
    cli.write(NOTHING)
    cli.ok("up")
    put(cli, "a", "b")
    for text, action in ((FILE, "reload"), (NO_LOG, "restart")):
        cli.write(text)
        assert said(converge(cli)) == [(action, "mng-redis")]
        cli.ok("down")
        cli.ok("up")
        assert kept(cli) == ["a", "b"]


def test_the_log_switched_on_while_it_is_stopped_begins_with_the_snapshot(cli: Cli) -> None:
    cli.write(NO_LOG)
    cli.ok("up")
    put(cli, "a", "b")
    cli.ok("down")
    cli.write(FILE)
    assert said(converge(cli)) == [("start", "mng-redis")]
    assert kept(cli) == ["a", "b"]
    kill(cli)
    cli.ok("up")
    assert kept(cli) == ["a", "b"]


def test_the_log_switched_on_survives_a_kill_at_once(cli: Cli) -> None:
    cli.write(NO_LOG)
    cli.ok("up")
    put(cli, "a")
    cli.write(FILE)
    cli.ok("up")
    kill(cli)
    cli.ok("up")
    assert kept(cli) == ["a"]


def test_a_log_from_before_never_brings_the_past_back(cli: Cli) -> None:
    cli.write(FILE)
    cli.ok("up")
    put(cli, "old")
    for text in (NO_LOG, FILE):
        cli.ok("down")
        cli.write(text)
        cli.ok("up")
        if text is NO_LOG:
            with redis_as(cli, "shop") as shop:
                shop.delete("shop:old")
            put(cli, "new")
    assert kept(cli) == ["new"]


def test_a_log_that_was_read_to_be_switched_off_never_comes_back(cli: Cli) -> None:
    cli.write(FILE)
    cli.ok("up")
    put(cli, "old")
    kill(cli)  # without a snapshot, so that the log is what counts
    cli.write(NO_LOG)
    cli.ok("up")
    assert kept(cli) == ["old"]
    with redis_as(cli, "shop") as shop:
        shop.delete("shop:old")
    put(cli, "new")
    cli.ok("down")
    cli.write(FILE)
    cli.ok("up")
    assert kept(cli) == ["new"]


@pytest.mark.parametrize("how", ["down", "restart", "kill", "up"])
def test_a_log_that_was_switched_off_while_it_ran_never_comes_back(cli: Cli, how: str) -> None:
    switched_off(cli)
    with redis_as(cli, "shop") as shop:
        shop.delete("shop:old")
    put(cli, "new")
    with redis_as(cli) as admin:
        admin.save()
    if how == "kill":
        kill(cli)
    elif how == "down":
        cli.ok("down")
    cli.write(FILE)
    cli.ok("restart" if how == "restart" else "up")
    assert kept(cli) == ["new"]
    put(cli, "newer")
    kill(cli)
    cli.ok("up")
    assert kept(cli) == ["new", "newer"]


def test_a_log_that_was_off_once_counts_when_it_is_on_again(cli: Cli) -> None:
    cli.write(FILE)
    cli.ok("up")
    for text in (NO_LOG, FILE):
        cli.write(text)
        cli.ok("up")
    put(cli, "early")
    with redis_as(cli) as admin:
        admin.save()
    put(cli, "late")
    kill(cli)
    cli.ok("up")
    assert kept(cli) == ["early", "late"]


def test_a_kill_while_the_log_is_switched_on_keeps_what_the_snapshot_has(cli: Cli) -> None:
    switched_off(cli)
    put(cli, "new")
    with redis_as(cli) as admin:
        admin.save()
        admin.config_set("rdb-key-save-delay", 10_000_000)  # microseconds a key: it takes seconds
    cli.write(FILE)
    command = subprocess.Popen(cli.argv("up"), cwd=cli.folder, env=cli.environ())
    with redis_as(cli) as admin:
        until(lambda: admin.info("persistence")["aof_rewrite_in_progress"] == 1)
    kill(cli)
    command.wait(120)
    cli.ok("up")
    assert kept(cli) == ["new", "old"]


def test_a_kill_without_warning_keeps_what_the_log_has(cli: Cli) -> None:
    cli.write(FILE.replace("PORT1}", "PORT1, appendfsync: always}"))
    cli.ok("up")
    put(cli, "a")
    kill(cli)
    assert said(cli.json("plan")["steps"]) == [("start", "mng-redis")]
    cli.ok("up")
    assert kept(cli) == ["a"]


@pytest.mark.parametrize("how", ["restart", "kill"])
def test_transactions_and_scripts_are_there_after_a_restart(cli: Cli, how: str) -> None:
    cli.write(FILE)
    cli.ok("up")
    put(cli, "one")
    with redis_as(cli, "shop") as shop:
        shop.pipeline().set("shop:two", "2").set("shop:three", "3").execute()
        script = "for i = 1, 5 do redis.call('set', KEYS[1] .. i, i) end"
        shop.eval(script, 1, "shop:lua")
    with redis_as(cli) as admin:
        written(admin)
    before = kept(cli)
    assert len(before) == 8
    if how == "restart":
        cli.ok("restart", "redis")
    else:
        kill(cli)
        cli.ok("up")
    assert kept(cli) == before
    assert "NOPERM" not in cli.ok("logs", "redis", "-n", "9999")


def test_a_server_of_before_is_given_the_rights_that_its_log_is_loaded_by(cli: Cli) -> None:
    cli.write(FILE)
    cli.ok("up")
    with redis_as(cli) as admin:
        # as the version before had it
        admin.execute_command("ACL", "SETUSER", "default", "reset")
    assert [s["object"] for s in cli.json("plan")["steps"]] == ["default"]
    cli.ok("up")
    with redis_as(cli, "shop") as shop:
        shop.pipeline().set("shop:two", "2").set("shop:three", "3").execute()
    cli.ok("restart", "redis")
    assert kept(cli) == ["three", "two"]
