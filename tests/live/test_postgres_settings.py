"""Settings change by reload where the server can and by restart where it must; bad ones are
refused before anything is touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.live.clients import converge, planned
from tests.live.postgres import pg, sql, value

pytestmark = pytest.mark.live

FILE = """
name: mng
postgres: {port: PORT1, memory: 128mb, max_connections: 60SETTINGS}
apps:
  shop: {postgres: shop}
"""


def write(cli: Cli, settings: str = "", text: str = FILE) -> None:
    """The file with other settings."""
    cli.write(text.replace("SETTINGS", f", settings: {{{settings}}}" if settings else ""))


@pytest.fixture(scope="module")
def cli(module_cli: Cli) -> Cli:
    write(module_cli)
    module_cli.ok("up")
    return module_cli


@pytest.fixture(autouse=True)
def _as_before(cli: Cli) -> None:
    write(cli)
    cli.ok("up")


def started(cli: Cli) -> object:
    """When the server started: the same as long as nobody restarts it."""
    return value(cli, "SELECT pg_postmaster_start_time()")


def conf(cli: Cli, name: str) -> Path:
    """One of the server's files."""
    return cli.state / "servers" / "mng-pg" / "conf" / name


def test_a_hot_setting_comes_and_goes_by_reload(cli: Cli) -> None:
    before = started(cli)
    write(cli, "work_mem: 11MB, statement_timeout: 7min, search_path: 'shop, public'")
    (step,) = converge(cli)
    assert (step["action"], step["restart"]) == ("reload", False)
    assert "work_mem" in step["detail"]
    assert value(cli, "SHOW work_mem", "shop") == "11MB"
    assert value(cli, "SHOW statement_timeout", "shop") == "7min"
    assert value(cli, "SHOW search_path", "shop") == "shop, public"
    write(cli)
    (step,) = converge(cli)
    assert value(cli, "SHOW statement_timeout", "shop") == "0"
    assert started(cli) == before


def test_a_cold_setting_comes_and_goes_by_restart(cli: Cli) -> None:
    write(cli, "max_locks_per_transaction: 96")
    (step,) = converge(cli)
    assert (step["action"], step["restart"]) == ("restart", True)
    assert value(cli, "SHOW max_locks_per_transaction") == "96"
    write(cli)
    (step,) = converge(cli)
    assert (step["action"], step["restart"]) == ("restart", True)
    assert "max_locks_per_transaction 96 → its default" in step["detail"]
    assert value(cli, "SHOW max_locks_per_transaction") == "64"


def test_memory_and_port_of_the_file_are_taken_by_restart(cli: Cli) -> None:
    text = FILE.replace("PORT1", "PORT2").replace("128mb", "160mb")
    write(cli, "", text)
    cli.ok("up")
    assert value(cli, "SHOW shared_buffers", "shop") == "160MB"
    assert value(cli, "SHOW port", "shop") == str(cli.port(2))
    assert planned(cli) == []
    write(cli)
    cli.ok("up")
    assert value(cli, "SHOW port", "shop") == str(cli.port(1))


@pytest.mark.parametrize(
    ("statement", "restart"),
    [
        ("ALTER SYSTEM SET work_mem = '1GB'", False),
        ("ALTER SYSTEM SET log_statement = 'all'", False),
        ("ALTER SYSTEM SET max_connections = 30", False),
    ],
)
def test_alter_system_is_undone(cli: Cli, statement: str, restart: bool) -> None:
    sql(cli, statement, "SELECT pg_reload_conf()")
    (step,) = converge(cli)
    assert step["restart"] is restart
    assert "ALTER SYSTEM" in step["detail"]
    assert sql(cli, "SELECT name FROM pg_settings WHERE pending_restart") == []
    assert value(cli, "SHOW log_statement") == "none"
    assert value(cli, "SHOW max_connections") == "60"


def test_alter_system_that_a_restart_made_live_is_undone_by_another(cli: Cli) -> None:
    sql(cli, "ALTER SYSTEM SET max_connections = 30", "ALTER SYSTEM SET fsync = off")
    cli.ok("down")
    pidfile = cli.state / "servers" / "mng-pg" / "run" / "server.pid"
    assert not pidfile.exists()
    cli.ok("up")
    assert value(cli, "SHOW max_connections") == "60"
    assert value(cli, "SHOW fsync") == "on"
    assert planned(cli) == []


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("pg_hba.conf", "host all all 0.0.0.0/0 trust\n"),
        ("pg_ident.conf", "mngdb nobody postgres\n"),
        ("postgresql.conf", "log_statement = 'all'\n"),
    ],
)
def test_a_file_edited_by_hand_is_written_anew(cli: Cli, name: str, line: str) -> None:
    good = conf(cli, name).read_text()
    conf(cli, name).write_text(good + line)
    sql(cli, "SELECT pg_reload_conf()")
    (step,) = converge(cli)
    assert (step["action"], step["restart"]) == ("reload", False)
    assert conf(cli, name).read_text() == good
    assert sql(cli, "SELECT 1 FROM pg_hba_file_rules WHERE auth_method = 'trust'") == []
    assert value(cli, "SHOW log_statement") == "none"


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("work_memm: 3MB", 'unrecognized configuration parameter "work_memm"'),
        ("work_mem: 3XB", 'invalid value for parameter "work_mem": "3XB"'),
        ("log_statement: everything", 'invalid value for parameter "log_statement"'),
        ("checkpoint_timeout: 1s", "is outside the valid range"),
    ],
)
def test_a_wrong_setting_is_refused_before_anything_is_touched(
    cli: Cli, setting: str, words: str
) -> None:
    files = {path: path.read_bytes() for path in conf(cli, "").iterdir()}
    before = started(cli)
    write(cli, setting)
    for command in ("plan", "up"):
        done = cli.run(command)
        assert done.returncode == 2
        assert words in done.stderr
        assert "Traceback" not in done.stderr
    assert {path: path.read_bytes() for path in conf(cli, "").iterdir()} == files
    assert started(cli) == before


def test_a_wrong_setting_of_a_new_stack_is_refused_before_a_folder_is_made(tmp_path: Path) -> None:
    fresh = Cli(tmp_path)
    write(fresh, "work_memm: 3MB")
    done = fresh.run("up")
    assert done.returncode == 2
    assert "unrecognized configuration parameter" in done.stderr
    assert not (Cli(tmp_path).state / "servers" / "mng-pg").exists()


@pytest.mark.parametrize(
    "setting", ["shared_preload_libraries: no_such_library", "shared_buffers: 8000GB"]
)
def test_settings_that_keep_the_server_from_starting_give_way_to_the_old_ones(
    cli: Cli, setting: str
) -> None:
    write(cli, setting)
    (step,) = cli.json("plan")["steps"]
    assert step["restart"]
    done = cli.run("up")
    assert done.returncode == 1
    assert "mng-pg failed to start with the new settings" in done.stderr
    assert "(exit code 1): FATAL:  " in done.stderr
    assert value(cli, "SHOW shared_preload_libraries") == "pg_stat_statements"
    assert cli.json("status")["units"][0]["healthy"]
    write(cli)
    cli.ok("up")
    assert planned(cli) == []


def test_settings_of_the_administrators_database_are_no_drift(cli: Cli) -> None:
    sql(cli, "ALTER DATABASE postgres SET work_mem = '99MB'")
    with pg(cli) as connection:
        try:
            assert planned(cli) == []
            cli.ok("up")
        finally:
            connection.execute("ALTER DATABASE postgres RESET ALL")
