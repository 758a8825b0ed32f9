"""Every check of PostgreSQL on real servers: one that makes it pass, one that makes it fail."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from mngdb.checks import registry
from mngdb.engines.postgres import PostgresEngine, inspect, inspect_queries, render
from mngdb.findings import Finding
from mngdb.ops.check import Report, check
from tests.checks import postgres_wreck as wreck
from tests.checks.judge import BROUGHT, findings, opened
from tests.checks.postgres_expected import FAILS, PASSES, STOCK
from tests.checks.postgres_server import PASSWORD, Server, stock
from tests.conftest import Cli
from tests.live.clients import set_secret
from tests.live.faults import freeze, pid
from tests.live.postgres import pg, sql, value

pytestmark = pytest.mark.live

HARDENED = """
postgres: {port: PORT1, tls: true}
apps:
  shop: {postgres: shop}
  report: {postgres: {database: shop, access: readonly}}
"""
THEIRS = """
instances:
  legacy:
    engine: postgres
    version: VERSION
    target: {external: {url: "postgresql://LOGIN@127.0.0.1:PORT1/postgres"}}
SETTINGS
APPS
"""
APPS = """\
apps:
  reader: {legacy: {database: shop, access: readonly}}
  writer: {legacy: {database: shop, access: readwrite}}
"""
Found = Mapping[str, Finding]


def judged(cli: Cli) -> Report:
    """`mngdb check --only 'postgres.*'`, without a process for it."""
    return check(opened(cli), ["postgres.*"])


def external(
    folder: Path, server: Server, login: str = "postgres", version: str = "17", apps: str = ""
) -> Cli:
    """A stack whose only server is that one."""
    folder.mkdir(exist_ok=True)
    cli = Cli(folder, _ports={1: server.port})
    text = THEIRS.replace("LOGIN", login).replace("VERSION", f'"{version}"').replace("APPS", apps)
    cli.write(text.replace("SETTINGS", "    settings: {work_mem: 8MB}" if apps else ""))
    if not cli.state.exists():
        set_secret(cli, "legacy_admin", PASSWORD)
    return cli


@pytest.fixture(scope="module")
def hardened(module_cli: Cli) -> Cli:
    module_cli.write(HARDENED)
    module_cli.ok("up")
    sql(module_cli, "CREATE TABLE item (id int PRIMARY KEY)", app="shop")
    return module_cli


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Found]:
    """What is found on one server as its package has it, wrecked, worse, and half mended."""
    folder = tmp_path_factory.mktemp("external")
    reports: dict[str, Found] = {}
    with stock() as server:
        reports["stock"] = findings(external(folder, server))
        server.sql("CREATE ROLE poor LOGIN")
        reports["poor"] = findings(external(folder, server, "poor"))
        server.sql("DROP ROLE poor")
        wreck.content(server)
        server.stop()
        wreck.age(server, 1200 << 20)
        server.data.chmod(0o750)
        server.start()
        cli = external(folder, server, version="16", apps=APPS)
        reports["wrecked"] = findings(cli)
        with _worse(server):
            reports["worse"] = findings(cli)
        with _mended(server):
            reports["mended"] = findings(cli)
        (server.data / "pg_hba.conf").write_text(wreck.SHADOWED)
        reports["shadowed"] = findings(cli)
        wreck.subtle(server)
        apps = "apps: {auditor: {legacy: {database: subtle, access: readonly}}}"
        reports["subtle"] = findings(external(folder, server, apps=apps))
        _follow(server, reports["subtle"])
        reports["followed"] = findings(external(folder, server))
    return reports


@contextmanager
def _worse(server: Server) -> Iterator[None]:
    """Old, full, waiting, with files that it cannot take."""
    server.sql("BEGIN", "SELECT pg_current_xact_id()", "PREPARE TRANSACTION 'forgotten'")
    server.sql(
        "ALTER SYSTEM SET wal_level = replica",
        "ALTER SYSTEM SET max_wal_senders = 3",
        "ALTER SYSTEM SET archive_mode = on",
        "ALTER SYSTEM SET archive_command = 'test -z %p'",
    )
    server.stop()
    wreck.age(server, 1220 << 20)
    server.start()
    server.sql(
        *["CHECKPOINT"] * 12,
        "SELECT pg_create_physical_replication_slot('keeper', true)",
        "SELECT pg_current_xact_id()",
        "SELECT pg_switch_wal()",
    )
    server.until("SELECT failed_count > 0 FROM pg_stat_archiver")
    server.sql("ALTER SYSTEM SET max_connections = 30", "SELECT pg_reload_conf()")
    server.until("SELECT pending_restart FROM pg_settings WHERE name = 'max_connections'")
    server.sql("ALTER SYSTEM SET synchronous_standby_names = 'keeper'", "SELECT pg_reload_conf()")
    server.until("SELECT current_setting('synchronous_standby_names') = 'keeper'")
    good, conf = (server.data / "pg_hba.conf"), server.data / "postgresql.conf"
    kept = good.read_text(), conf.read_text()
    good.write_text(wreck.HBA)
    conf.write_text(kept[1] + "work_mem = banana\n")
    _later(good)
    with ExitStack() as sessions:
        for _ in range(20):
            one = sessions.enter_context(server.connect(options="-c track_activities=on"))
            one.execute("BEGIN")
        yield
    good.write_text(kept[0])
    conf.write_text(kept[1])


#: A statement in a remedy, up to the words that go on.
STATEMENT = re.compile(r"ALTER SYSTEM .+?(?=;|, then| or a |$)")


def _follow(server: Server, found: Found) -> None:
    """What remedies say to do on servers of others, to the letter."""
    remedies = [one.remedy for one in found.values() if one.verdict == "fail"]
    server.sql(*(text for one in remedies for text in STATEMENT.findall(one)))
    server.write("pg_hba.conf", "host all all 127.0.0.1/32 trust\n")
    server.stop()
    server.start()


def _later(path: Path) -> None:
    """Files' times are looked at by the second."""
    os.utime(path, (time.time() + 5, time.time() + 5))


@contextmanager
def _mended(server: Server) -> Iterator[None]:
    """The standby is there, the archive takes files, nobody comes in without TLS."""
    server.write("pg_hba.conf", "hostssl all,replication all samenet scram-sha-256\n")
    (server.folder / "wal").mkdir()
    server.own(server.folder / "wal", 0o700)
    server.sql(
        "ALTER SYSTEM SET archive_command = 'test -n %p'",
        "ALTER SYSTEM SET log_file_mode = '0600'",
        "SELECT pg_reload_conf()",
    )
    where = f"host=127.0.0.1 port={server.port} user=postgres application_name=keeper"
    receiver = subprocess.Popen(
        [
            str(server.bin / "pg_receivewal"),
            *("--synchronous", "--slot=keeper", f"--directory={server.folder / 'wal'}"),
            f"--dbname={where}",
        ],
        env={**os.environ, "PGPASSWORD": PASSWORD, "HOME": str(server.folder)},
        cwd=server.folder,
        **server.user,
    )
    try:
        server.until("SELECT count(*) > 0 FROM pg_stat_replication WHERE sync_state = 'sync'")
        server.until("SELECT last_archived_time > last_failed_time FROM pg_stat_archiver")
        yield
    finally:
        receiver.send_signal(signal.SIGINT)
        receiver.wait(120)


@pytest.fixture(scope="module")
def tampered(hardened: Cli) -> Found:
    """The hardened server, with what only a server of ours can show."""
    clean = findings(hardened)
    sql(hardened, "CREATE DATABASE rotten", "CREATE ROLE visitor LOGIN")
    try:
        with pg(hardened, database="rotten") as connection:
            connection.execute("CREATE EXTENSION pg_buffercache")
            connection.execute("CREATE TABLE page AS SELECT 1 AS id")
            connection.execute("CHECKPOINT")
            ((path,),) = connection.execute("SELECT pg_relation_filepath('page')").fetchall()
            data = hardened.state / "servers" / "mng-pg" / "data"
            with (data / path).open("r+b") as file:
                file.seek(4000)
                file.write(b"rot" * 20)
            connection.execute(
                "SELECT pg_buffercache_evict(bufferid) FROM pg_buffercache "
                "WHERE relfilenode = pg_relation_filenode('page')"
            )
            with pytest.raises(Exception, match="invalid page"):
                connection.execute("SELECT * FROM page")
        sql(hardened, "ALTER SYSTEM SET work_mem = '1TB'", "SELECT pg_reload_conf()")
        while value(hardened, "SHOW work_mem") != "1TB":
            time.sleep(0.02)
        return {**clean, **{k: v for k, v in findings(hardened).items() if v.verdict == "fail"}}
    finally:
        sql(hardened, "DROP ROLE visitor")
        sql(hardened, "DROP DATABASE rotten", "ALTER SYSTEM RESET ALL", "SELECT pg_reload_conf()")
        while value(hardened, "SHOW work_mem") == "1TB":
            time.sleep(0.02)


IDS = [one.id for one in registry.of("postgres") if not one.on_request]
WORDS = {id_: (stage, words) for stage, rows in FAILS.items() for id_, words in rows.items()}
#: Nothing can pass it before there are backups; the reason stands in its evidence.
NEVER_YET = "postgres.backup-proved"


@pytest.fixture(scope="module")
def reports(stages: dict[str, Found], hardened: Cli, tampered: Found) -> dict[str, Found]:
    return {**stages, "hardened": findings(hardened), "tampered": tampered}


def test_every_check_has_both_tests() -> None:
    assert set(WORDS) == set(IDS)
    assert len(IDS) == len(set(IDS)) >= 50


@pytest.mark.parametrize("id_", [one for one in IDS if one not in {NEVER_YET, *BROUGHT}])
def test_passes(reports: dict[str, Found], id_: str) -> None:
    one = reports[PASSES.get(id_, "hardened")][id_]
    assert one.verdict == "pass", one


@pytest.mark.parametrize("id_", IDS)
def test_fails(reports: dict[str, Found], id_: str) -> None:
    stage, words = WORDS[id_]
    one = reports[stage][id_]
    assert one.verdict == "fail", one
    assert words in one.evidence


def test_a_hardened_stack_fails_only_where_backups_would_be(hardened: Cli) -> None:
    report = judged(hardened)
    assert report.exit_code == 1
    failed = {one.id for one in report.findings if one.verdict == "fail"}
    assert failed - BROUGHT == {NEVER_YET}
    assert [one for one in report.findings if one.verdict == "unknown"] == []
    not_here = {one.id for one in report.findings if one.verdict == "not_applicable"}
    assert not_here == set(PASSES)


def test_a_stock_server_shows_what_an_expert_would_list(stages: dict[str, Found]) -> None:
    failed = {one.id for one in stages["stock"].values() if one.verdict == "fail"}
    # initdb takes over the machine's time zone
    assert failed - {"postgres.log-timezone"} - BROUGHT == STOCK
    assert {one.verdict for one in stages["stock"].values()} == {"pass", "fail", "not_applicable"}


def test_a_line_of_pg_hba_that_nobody_reaches_counts_for_nothing(stages: dict[str, Found]) -> None:
    for one in stages["shadowed"].values():
        if one.id.startswith("postgres.hba-"):
            assert one.verdict == "pass", one


SUBTLE = {
    "hba-trust": "line 1: local all all peer map=any",
    "hba-superuser": "line 3: host all second 10.0.0.0/8 scram-sha-256, line 4: host all second",
    "hba-everywhere": "line 4: host all all 0.0.0.0/1 scram-sha-256",
    "hba-everybody": "line 4: host all all 0.0.0.0/1 scram-sha-256, line 5: host all all localhost",
    "hba-errors": "line 1 of other.conf: ",
    "encryption": "line 3: host all +dba 10.0.0.0/8 scram-sha-256, line 4: host all all 0.0.0.0/1",
    "role-superuser": "second, climber",
    "role-files": "maker: pg_read_server_files",
    "setting-overrides": "reader: row_security no",
    "archive-healthy": "no %p",
    "public-tables": "subtle: public.part.hint",
    "app-excess": "auditor in schema yard, subtle: auditor on public.kept by SET ROLE keepers, "
    "subtle: auditor on public.part",
    "definer-path": "subtle: public.bare(), subtle: public.mine(), subtle: public.yard(integer)",
}


@pytest.mark.parametrize("name", SUBTLE)
def test_what_looks_sound_and_is_not(stages: dict[str, Found], name: str) -> None:
    found = stages["subtle"][f"postgres.{name}"]
    assert (found.verdict, SUBTLE[name] in found.evidence) == ("fail", True), found
    for sound in ("harmless", "map=some", "hostssl", "sound"):
        assert sound not in found.evidence


def test_a_remedy_that_is_followed_turns_the_box(stages: dict[str, Found]) -> None:
    before, after = stages["subtle"], stages["followed"]
    told = {id_ for id_, one in before.items() if "ALTER SYSTEM" in one.remedy}
    failed = {id_ for id_ in told if before[id_].verdict == "fail"}
    assert len(failed) > 20
    left = {id_: after[id_].evidence for id_ in failed if after[id_].verdict == "fail"}
    assert left == {}


def test_a_login_without_rights_leaves_reasons(stages: dict[str, Found]) -> None:
    poor = stages["poor"]
    unknown = {one.id: one.evidence for one in poor.values() if one.verdict == "unknown"}
    assert set(unknown) == {
        *(one for one in IDS if one.startswith("postgres.hba-")),
        *(f"postgres.password-{one}" for one in POOR_PASSWORDS),
        *("postgres.files-loaded", "postgres.files-valid", "postgres.socket"),
        *("postgres.statements", "postgres.vacuum-horizon", "postgres.connections"),
        "postgres.idle-transactions",
    }
    assert "permission denied for table pg_authid" in unknown["postgres.password-known"]
    assert "GRANT pg_read_all_settings" in unknown["postgres.statements"]
    assert "GRANT pg_monitor" in unknown["postgres.connections"]
    assert poor["postgres.public-connect"].verdict == "fail"


POOR_PASSWORDS = ("set", "hash", "iterations", "known", "expiry")


def test_in_a_network_only_apps_come_from_other_machines(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.write("postgres: {bind: [10.1.2.3], tls: true}\napps: {shop: {postgres: shop}}\n")
    context = opened(cli)
    asked = context.asked(context.stack.instances["postgres"], invent=True, find=False)
    lines = [line.split() for line in render.hba(asked).splitlines() if line.startswith("host")]
    assert {one[0] for one in lines} == {"hostssl"}
    shop = '"shop","shop.2"'  # both of its logins
    sources = {who: {one[3] for one in lines if one[2] == who} for who in ('"postgres"', shop)}
    assert sources['"postgres"'] == {"127.0.0.1/32", "::1/128", "samehost"}
    assert sources[shop] == {"127.0.0.1/32", "::1/128", "samenet"}


def test_no_secret_and_no_verifier_is_in_a_report(reports: dict[str, Found]) -> None:
    text = " ".join(f"{one.evidence}" for report in reports.values() for one in report.values())
    for secret in (
        "changeme",
        "hidden-in-the-catalog",
        "a-password-that",
        "SCRAM-SHA-256$",
        "md5a",
    ):
        assert secret not in text


def test_a_server_that_hangs_after_the_handshake(
    hardened: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = psutil.Process(pid(hardened, "mng-pg"))
    look, connect = PostgresEngine.inspect, PostgresEngine.connect
    stopped: list[psutil.Process] = []

    def hanging(self: PostgresEngine, session: Any, asked: Any, health: bool) -> Any:
        freeze(server, stopped)
        return look(self, session, asked, health)

    monkeypatch.setattr(PostgresEngine, "connect", lambda self, at: connect(self, at, 1.0))
    monkeypatch.setattr(PostgresEngine, "inspect", hanging)
    begun = time.monotonic()
    try:
        report = judged(hardened)
    finally:
        for one in stopped:
            one.resume()
    assert time.monotonic() - begun < 60
    assert {one.verdict for one in report.findings if one.id != NEVER_YET} == {"unknown"}
    assert "does not answer in time" in report.findings[0].evidence


@pytest.mark.parametrize(
    ("last", "reason"),
    [
        ("SELECT pg_terminate_backend(pg_backend_pid())", "PostgreSQL closed the connection"),
        ("SELECT pg_sleep(30)", "does not answer in time"),
    ],
)
def test_a_session_that_ends_in_the_middle_leaves_the_rest_judged(
    hardened: Cli, monkeypatch: pytest.MonkeyPatch, last: str, reason: str
) -> None:
    connect, queries = PostgresEngine.connect, inspect_queries.queries

    def cut(version: int) -> dict[str, str]:
        found = queries(version)
        names = list(found)
        half = names[: names.index("hba")]
        return {**{name: found[name] for name in half}, "": last, **found}

    if "sleep" in last:  # as long as it takes a busy machine to answer what comes before
        monkeypatch.setattr(PostgresEngine, "connect", lambda self, at: connect(self, at, 4.0))
    monkeypatch.setattr(inspect, "queries", cut)
    report = {one.id: one for one in judged(hardened).findings}
    assert report["postgres.fsync"].verdict == "pass"
    assert report["postgres.hba-trust"].verdict == "unknown"
    assert reason in report["postgres.hba-trust"].evidence
    assert "pass" not in {v.verdict for k, v in report.items() if k.startswith("postgres.role")}


@pytest.mark.parametrize("nonsense", [None, b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_no_server_or_one_that_answers_nonsense(tmp_path: Path, nonsense: bytes | None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        cli = Cli(tmp_path, _ports={1: listener.getsockname()[1]})
        cli.write(
            re.sub("SETTINGS|APPS", "", THEIRS).replace("LOGIN", "boss").replace("VER", "'17' #")
        )
        set_secret(cli, "legacy_admin", PASSWORD)
        if nonsense is None:
            listener.close()
        else:
            threading.Thread(target=_answer, args=(listener, nonsense), daemon=True).start()
        report = judged(cli)
    assert report.exit_code == 1  # that no drill has passed is known without the server
    verdicts = {one.id: one.verdict for one in report.findings}
    assert verdicts.pop(NEVER_YET) == "fail"
    assert set(verdicts.values()) == {"unknown"}
    assert {one.id for one in report.findings} == set(IDS)


def _answer(listener: socket.socket, words: bytes) -> None:
    with suppress(OSError):
        while True:
            client, _ = listener.accept()
            with client:
                client.recv(100)
                client.sendall(words)
