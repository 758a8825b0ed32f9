"""The issue's hardening list, read back from the live server, value by value (A9-A11)."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from pathlib import Path

import psycopg
import pytest

from tests.conftest import Cli
from tests.live.postgres import pg, sql, value
from tests.live.scrapes import until

pytestmark = pytest.mark.live

FILE = """
name: mng
postgres: {port: PORT1, memory: 256mb, max_connections: 50, slow: 250ms}
apps:
  grafana: {postgres: grafana}
  report: {postgres: {database: grafana, access: readonly}}
"""

SETTINGS = {
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "data_checksums": "on",
    "wal_level": "replica",
    "wal_compression": "lz4",
    "summarize_wal": "on",
    "max_wal_senders": "10",
    "max_replication_slots": "10",
    "max_slot_wal_keep_size": "10GB",
    "checkpoint_timeout": "15min",
    "max_wal_size": "4GB",
    "autovacuum": "on",
    "track_io_timing": "on",
    "shared_preload_libraries": "pg_stat_statements",
    "pg_stat_statements.max": "10000",
    "password_encryption": "scram-sha-256",
    "log_lock_waits": "on",
    "deadlock_timeout": "1s",
    "log_min_duration_statement": "250ms",
    "log_checkpoints": "on",
    "log_connections": "on",
    "log_disconnections": "on",
    "log_temp_files": "10MB",
    "log_autovacuum_min_duration": "1min",
    "log_replication_commands": "on",
    "temp_file_limit": "10GB",
    "logging_collector": "off",
    "listen_addresses": "127.0.0.1",
    "unix_socket_permissions": "0700",
    "max_connections": "50",
    "superuser_reserved_connections": "3",
    "reserved_connections": "2",
    "authentication_timeout": "10s",
    "client_connection_check_interval": "10s",
    "ssl": "off",
    "TimeZone": "UTC",
    "log_timezone": "UTC",
    # 256 MB for the cache: the rest follows
    "shared_buffers": "256MB",
    "effective_cache_size": "768MB",
    "maintenance_work_mem": "64MB",
    "work_mem": "4MB",
    "wal_buffers": "16MB",
}


@pytest.fixture(scope="module")
def cli(module_cli: Cli) -> Cli:
    module_cli.write(FILE)
    module_cli.ok("up")
    return module_cli


@pytest.mark.parametrize("name", SETTINGS)
def test_setting_is_live(cli: Cli, name: str) -> None:
    with pg(cli) as connection:
        assert connection.execute(f"SHOW {name}").fetchone() == (SETTINGS[name],)


def test_every_setting_of_config_is_the_servers_own_and_none_else_is_set(cli: Cli) -> None:
    text = cli.ok("config")
    shown = dict(re.findall(r"^#   ([\w.]+): (.*)$", text, re.MULTILINE))
    shown = {name: said for name, said in shown.items() if not name.endswith(".conf")}
    rows = sql(cli, "SELECT name, applied FROM pg_file_settings")
    assert {name.lower() for name, _ in rows} == {name.lower() for name in shown}
    assert all(applied for _, applied in rows)
    assert set(SETTINGS) - {"data_checksums"} <= {*shown, "TimeZone"}
    assert shown["shared_buffers"] == "256MB"


def test_pg_hba_has_one_scram_line_for_each_right_and_peer_for_the_owner(cli: Cli) -> None:
    rows = sql(
        cli,
        "SELECT type, database, user_name, address, auth_method, options, error "
        "FROM pg_hba_file_rules ORDER BY rule_number",
    )
    assert all(error is None for *_, error in rows)
    assert {(kind, *d, *u, address, method) for kind, d, u, address, method, _, _ in rows} == {
        *(
            (kind, database, "postgres", address, method)
            for database in ("all", "replication")
            for kind, address, method in (
                ("local", None, "peer"),
                ("host", "127.0.0.1", "scram-sha-256"),
                ("host", "::1", "scram-sha-256"),
            )
        ),
        *(
            (kind, "grafana", "postgres", app, f"{app}.2", address, "scram-sha-256")
            for app in ("grafana", "report")
            for kind, address in (("local", None), ("host", "127.0.0.1"), ("host", "::1"))
        ),
        *(  # there for as long as a restore of a part takes
            (kind, "all", "mngdb_restoring", address, "scram-sha-256")
            for kind, address in (("local", None), ("host", "127.0.0.1"), ("host", "::1"))
        ),
    }
    assert [o for kind, _, _, _, method, o, _ in rows if method == "peer"] == [["map=mngdb"]] * 2


def test_every_secret_on_the_server_is_a_scram_verifier(cli: Cli) -> None:
    rows = sql(cli, "SELECT rolname, rolpassword FROM pg_authid WHERE rolcanlogin")
    assert {name for name, _ in rows} == {"postgres", "grafana", "report"}
    assert all(stored.startswith("SCRAM-SHA-256$4096:") for _, stored in rows)


def test_a_login_without_a_password_over_tcp_is_refused(cli: Cli) -> None:
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        psycopg.connect(
            host="127.0.0.1", port=cli.port(1), user="postgres", dbname="postgres", password=""
        )


def test_everybody_may_connect_to_the_maintenance_database_alone(cli: Cli) -> None:
    rows = sql(
        cli,
        "SELECT d.datname, a.privilege_type FROM pg_database d, "
        "aclexplode(coalesce(datacl, acldefault('d', datdba))) a "
        "WHERE a.grantee = 0 AND d.datallowconn",
    )
    assert rows == [("postgres", "CONNECT")]
    for database in ("postgres", "grafana"):
        assert not value(
            cli, "SELECT has_schema_privilege('report', 'public', 'CREATE')", database=database
        )


def test_only_loopback_listens(cli: Cli) -> None:
    table = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
    port = f":{cli.port(1):04X}"
    local = {line.split()[1] for line in table.splitlines() if line.split()[3] == "0A"}
    assert {one for one in local if one.endswith(port)} == {f"0100007F{port}"}


def test_pg_stat_statements_counts_statements(cli: Cli) -> None:
    with pg(cli) as connection:
        connection.execute("SELECT 4711 AS counted")
        rows = connection.execute(
            "SELECT calls FROM pg_stat_statements WHERE query LIKE %s", ["%AS counted"]
        ).fetchall()
    assert len(rows) == 1


def test_wal_summaries_can_be_asked_for(cli: Cli) -> None:
    until(lambda: value(cli, "SELECT summarizer_pid FROM pg_get_wal_summarizer_state()"))


def test_connections_and_slow_statements_stand_in_the_log_without_secrets(cli: Cli) -> None:
    with pg(cli) as connection:
        connection.execute("SELECT pg_sleep(0.3) /* slowly */")
    log = "\n".join(cli.json("logs", "postgres", "-n", "500")["lines"])
    assert "connection authorized: user=postgres" in log
    assert "/* slowly */" in log
    for app in (None, "grafana", "report"):
        secret = psycopg.conninfo.conninfo_to_dict(
            cli.ok("url", "postgres", *([app] if app else [])).strip()
        )["password"]
        assert str(secret) not in log


def _socket(cli: Cli) -> str:
    return str((cli.state / "servers" / "mng-pg" / "run").resolve())


def test_the_owner_administers_over_the_socket_without_a_password(cli: Cli) -> None:
    with psycopg.connect(
        host=_socket(cli), port=cli.port(1), user="postgres", dbname="postgres"
    ) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("postgres",)


@pytest.mark.root
def test_another_account_does_not_get_in_over_the_socket(cli: Cli) -> None:
    path = f"{_socket(cli)}/.s.PGSQL.{cli.port(1)}"
    code = (
        "import socket, sys; s = socket.socket(socket.AF_UNIX)\n"
        "try: s.connect(sys.argv[1])\n"
        "except PermissionError: sys.exit(42)"
    )
    done = subprocess.run(
        ["/usr/bin/python3", "-c", code, path], user=65534, group=65534, check=False, cwd="/"
    )
    assert done.returncode == 42


@pytest.mark.root
def test_the_servers_own_account_is_refused_by_peer(cli: Cli) -> None:
    """It may reach the socket's folder, yet it is not who administers."""
    account = os.stat(_socket(cli)).st_uid  # noqa: PTH116
    startup = b"\0\3\0\0user\0postgres\0database\0postgres\0\0"
    message = (len(startup) + 4).to_bytes(4, "big") + startup
    code = (
        "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
        f"s.sendall({message!r}); print(s.recv(4096))"
    )
    done = subprocess.run(
        ["/usr/bin/python3", "-c", code, f"{_socket(cli)}/.s.PGSQL.{cli.port(1)}"],
        user=account,
        group=account,
        check=True,
        cwd="/",
        capture_output=True,
        text=True,
    )
    assert "Peer authentication failed" in done.stdout


def test_the_port_answers_on_no_other_address(cli: Cli) -> None:
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.2", cli.port(1))) != 0
