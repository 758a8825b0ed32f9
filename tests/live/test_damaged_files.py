"""Files that mngdb or a server keeps, emptied or overwritten while the stack runs: no command ends
in a traceback, and what is damaged costs its own server alone."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest
import redis

from tests.conftest import Cli
from tests.live import faults

pytestmark = [pytest.mark.live]

GARBAGE = b"\xff\xfe\x80gar\x00bage\n"
#: Deeper than a parser goes.
DEEP = b"[" * 100_000
#: A secret that no shell and dotenv reader take alike.
UNPRINTABLE = b"ab12'cd34ef56\"gh78ij90kl12mn34op56"
AGENT = "agent: {ports: {mngdb: PORT4, postgres: PORT5, redis: PORT6, mongodb: PORT7}}\n"
COMMANDS = (("status",), ("doctor",), ("doctor", "--json"), ("check",), ("plan",))


def _servers(cli: Cli) -> Path:
    return cli.state.joinpath("servers").resolve()


@pytest.mark.parametrize(
    "name",
    ["conf/pg_hba.conf", "conf/postgresql.conf", "data/postgresql.auto.conf", "seen.json"],
)
def test_bytes_that_are_no_text_in_a_file_of_postgres_end_no_command_in_a_traceback(
    cli: Cli, name: str
) -> None:
    cli.write(faults.POSTGRES)
    cli.ok("up")
    path = _servers(cli) / "mng-pg" / name
    whole = path.read_bytes()
    path.write_bytes(whole + b"# " + GARBAGE + GARBAGE)
    for command in COMMANDS:
        done = cli.run(*command)
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode in {0, 1, 3}, done.stderr
    assert "Traceback" not in cli.run("up").stderr
    path.write_bytes(whole)
    cli.ok("up")
    faults.sound(cli, {"mng-pg"})


def test_bytes_that_are_no_text_in_pg_hba_are_told_by_doctor_and_mended_by_up(cli: Cli) -> None:
    cli.write(faults.POSTGRES)
    cli.ok("up")
    path = _servers(cli) / "mng-pg/conf/pg_hba.conf"
    with path.open("ab") as file:
        file.write(GARBAGE)
    found = json.loads(cli.run("check", "--json").stdout)["findings"]
    assert [one for one in found if one["verdict"] == "fail" and "hba" in str(one)]
    cli.ok("up")
    assert GARBAGE not in path.read_bytes()
    cli.ok("doctor")


def test_a_setting_that_is_no_text_is_taken_back_by_up(cli: Cli) -> None:
    cli.write(faults.POSTGRES)
    cli.ok("up")
    path = _servers(cli) / "mng-pg/conf/postgresql.conf"
    with path.open("ab") as file:
        file.write(b"search_path = '\xff'\n")
    with psycopg.connect(cli.ok("url", "postgres").strip(), autocommit=True) as admin:
        admin.execute("SELECT pg_reload_conf()")
    assert "Traceback" not in cli.run("doctor").stderr
    cli.ok("up")
    assert b"\xff" not in path.read_bytes()


@pytest.mark.parametrize("content", [b"", GARBAGE, DEEP])
def test_a_damaged_note_costs_its_own_row_of_status_alone(cli: Cli, content: bytes) -> None:
    cli.write(faults.STACK)
    cli.ok("up")
    note = cli.state / "units/mng-pg.json"
    note.write_bytes(content)
    done = cli.run("status")
    assert done.returncode == 1
    rows = {line.split()[0]: line.split()[1] for line in done.stdout.splitlines()[1:]}
    assert rows == {"mng-pg": "unhealthy", "mng-redis": "healthy", "mng-mongo": "healthy"}
    assert f"mng-pg: {note} is damaged" in done.stderr
    seen = cli.run("doctor").stdout
    assert seen.startswith(f"{note} is damaged")
    note.unlink()
    cli.ok("up")
    cli.ok("status")


def test_empty_secrets_of_mngdbs_own_cost_no_row_of_status(cli: Cli) -> None:
    cli.write(faults.STACK + AGENT)
    cli.ok("up")
    secret = cli.state / "secrets/redis_admin"
    whole = secret.read_bytes()
    secret.write_bytes(b"")
    done = cli.run("status", "--json")
    assert done.returncode == 1
    # apps log in by their own, and ask the server
    seen = json.loads(done.stdout)
    assert [one["secret"] for one in seen["secrets"]] == [secret.name]
    assert all(one["healthy"] for one in seen["units"])
    assert cli.run("status").stderr.count("is empty") == 1
    # what only the administrator sees is told as unknown
    unseen = f"redis: what it refused its clients is not visible: the secret {secret} is empty"
    everything, app = cli.run("doctor"), cli.run("doctor", "shop")
    assert "cannot use" not in everything.stdout
    assert unseen in everything.stderr
    assert (app.returncode, app.stdout.count(" ok"), unseen in app.stderr) == (3, 2, True)
    assert cli.env_of("shop")["REDIS_URL"].startswith("redis://shop:")
    cli.ok("backup", "postgres", "mongodb")
    keyfile = cli.state / "secrets/mongodb_keyfile"
    key = keyfile.read_bytes()
    keyfile.write_bytes(b"")
    for command in ("plan", "up"):
        refused = cli.run(command)
        assert refused.returncode == 2
        assert f"{secret} is empty; the secret {keyfile} is empty" in refused.stderr
    secret.write_bytes(whole)
    keyfile.write_bytes(key)
    # the monitor's is no app's trouble, and no server's
    monitor = cli.state / "secrets/postgres_monitor"
    monitor.write_bytes(b"")
    told = cli.run("status", "--json")
    seen = json.loads(told.stdout)
    assert (told.returncode, [one["secret"] for one in seen["secrets"]]) == (1, [monitor.name])
    assert all(one["healthy"] for one in seen["units"])
    cli.ok("backup", "postgres")
    doctor = cli.run("doctor").stdout
    assert f"the secret {monitor} is empty" in doctor
    assert "cannot use" not in doctor
    cli.ok("doctor", "shop")
    assert f"the secret {monitor} is empty" in cli.run("plan").stderr
    monitor.unlink()
    cli.ok("up")
    cli.ok("status")


def test_a_damaged_note_of_rotations_is_told_as_that(cli: Cli) -> None:
    cli.write(faults.POSTGRES)
    cli.ok("up")
    note = cli.state / "rotation.json"
    note.write_bytes(GARBAGE)
    done = cli.run("doctor")
    assert done.returncode == 1
    assert done.stdout.startswith(f"{note} is damaged")
    assert "cannot use" not in done.stdout
    note.unlink()
    cli.ok("doctor")


def test_an_apps_empty_secrets_cost_that_app_alone(cli: Cli) -> None:
    cli.write(faults.STACK)
    cli.ok("up")
    data = faults.Data(cli)
    data.write("kept")
    old = cli.env_of("shop")
    secrets = [cli.state / "secrets" / f"{name}_shop" for name in ("postgres", "redis", "mongodb")]
    kept = {path: path.read_bytes() for path in secrets}
    for path in secrets:
        path.write_bytes(b"")

    told = cli.run("status", "--json")
    assert told.returncode == 1
    seen = json.loads(told.stdout)
    assert all(one["healthy"] for one in seen["units"])
    assert {one["secret"] for one in seen["secrets"]} == {path.name for path in secrets}
    _told_of_shop(cli, secrets, "is empty")
    for path in secrets:
        path.write_bytes(UNPRINTABLE)
    _told_of_shop(cli, secrets, "cannot be printed by 'mngdb env'")
    for path in secrets:
        path.write_bytes(b"")
    some = cli.run("status", "redis")
    assert some.returncode == 1
    assert some.stderr.count("is empty") == 1

    # everybody else's changes are made, the app's own login stays as it is
    cli.write(faults.STACK + '  crm: {postgres: crm, redis: "crm:*", mongodb: crm}\n')
    for command in ("plan", "up"):
        done = cli.run(command)
        assert done.returncode == 2, done.stderr
        assert [done.stderr.count(f"{path} is empty") for path in secrets] == [1, 1, 1]
    cli.ok("doctor", "crm")
    left = cli.run("plan", "--json")
    assert left.returncode == 2
    assert json.loads(left.stdout)["steps"] == []
    assert [path.read_bytes() for path in secrets] == [b""] * 3
    with psycopg.connect(old["POSTGRES_URL"]) as pg:
        assert pg.execute("SELECT value FROM kept").fetchone() == ("kept",)
    with redis.Redis.from_url(old["REDIS_URL"], socket_timeout=60) as client:
        assert client.lrange("shop:kept", 0, -1) == [b"kept"]

    for path, content in kept.items():
        path.write_bytes(content)
    # what was left: the connections of PostgreSQL are for two apps now
    assert {step["object"] for step in cli.json("plan")["steps"]} == {"role shop"}
    cli.ok("up")
    faults.sound(cli, {"mng-pg", "mng-redis", "mng-mongo"})
    assert data.read() == [["kept"]] * 3


def _told_of_shop(cli: Cli, secrets: list[Path], why: str) -> None:
    """Nothing is printed or tried by a made-up password: every way to the app says what is
    wrong."""
    written = cli.folder / "shop.env"
    written.write_text("KEPT=1\n")
    engines = ("postgres", "redis", "mongodb")
    commands = [("env", "shop"), ("env", "shop", "--write", str(written))]
    commands += [("url", name, "shop") for name in engines]
    commands += [("shell", name, "--app", "shop") for name in engines]
    for command in commands:
        done = cli.run(*command)
        assert (done.returncode, done.stdout) == (2, ""), command
        assert why in done.stderr, command
    assert written.read_text() == "KEPT=1\n"
    seen = cli.run("doctor", "shop")
    assert (seen.returncode, seen.stdout.count(why)) == (1, 3), seen.stdout
    status = json.loads(cli.run("status", "--json").stdout)
    assert all(one["healthy"] for one in status["units"])
    assert all(why in one["text"] for one in status["secrets"])


@pytest.mark.parametrize("content", [b"", GARBAGE, DEEP])
def test_a_damaged_note_of_whose_data_it_is_is_written_anew_by_up(cli: Cli, content: bytes) -> None:
    cli.write(faults.STACK)
    cli.ok("up")
    note = _servers(cli) / "mng-pg/unit.json"
    note.write_bytes(content)
    for command in (("status",), ("plan",), ("up",)):
        cli.ok(*command)
    assert json.loads(note.read_text()) == {"instance": "postgres", "engine": "postgres"}
    note.write_bytes(content)
    assert "mng-pg" in cli.run("down").stderr


def test_the_remedy_for_a_damaged_note_of_a_server_that_left_the_file_works(cli: Cli) -> None:
    both = "postgres: {port: PORT1}\nredis: {port: PORT2}\n"
    cli.write(both)
    cli.ok("up")
    note = _servers(cli) / "mng-pg/unit.json"
    note.write_bytes(b"")
    cli.write("redis: {port: PORT2}\n")
    refused = cli.run("up")
    assert refused.returncode == 1
    assert "put the instance of mng-pg back into the file" in refused.stderr
    cli.write(both)
    cli.ok("up")
    cli.write("redis: {port: PORT2}\n")
    cli.ok("up")
