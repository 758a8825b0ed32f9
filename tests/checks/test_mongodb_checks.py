"""Each check of MongoDB on a real server that makes it pass, and on one that makes it fail."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymongo
import pytest

from mngdb.checks import registry
from mngdb.engines.mongodb import probe, questions
from mngdb.findings import Finding
from tests.checks.judge import BROUGHT, findings, one
from tests.checks.mongods import Server, careless, external, held, nonsense, started, until
from tests.conftest import Cli
from tests.live.clients import mongo_as, set_secret
from tests.live.faults import servers

pytestmark = pytest.mark.live

IDS = [check.id for check in registry.of("mongodb") if not check.on_request]
FILE = """
mongodb:
  port: PORT1
  tls: true
  outdated: true
  databases:
    shop:
      indexes:
        users: [{keys: {email: 1}, unique: true}]
        tokens: [{keys: {at: 1}, ttl: 1h}]
apps:
  shop: {mongodb: shop}
  reader: {mongodb: {database: shop, access: readonly}}
"""
#: No backup of mngdb's own can be proved yet: on every server it fails, and says so.
NEVER = {"mongodb.backup-proved"}
#: What a server of the package's defaults gets wrong.
STOCK = {
    *("mongodb.login-required", "mongodb.localhost-exception", "mongodb.javascript"),
    *("mongodb.profiler", "mongodb.replica-set", "mongodb.version", "mongodb.zlib"),
}
#: What a careless set of three gets wrong.
CARELESS = {
    *("mongodb.admins", "mongodb.superuser", "mongodb.app-own-database", "mongodb.app-harmless"),
    *("mongodb.scram-sha-1", "mongodb.scram-rounds", "mongodb.password-known"),
    *("mongodb.password-strength", "mongodb.bind", "mongodb.encryption", "mongodb.tls-only"),
    *("mongodb.tls-version", "mongodb.tls-certificate", "mongodb.tls-verified"),
    *("mongodb.unix-socket", "mongodb.connections-limit", "mongodb.log-append"),
    *("mongodb.test-commands", "mongodb.ttl-monitor", "mongodb.diagnostics"),
    *("mongodb.flow-control", "mongodb.cursor-timeout", "mongodb.transaction-lifetime"),
    *("mongodb.profiler-cost", "mongodb.slow-threshold", "mongodb.log-verbosity"),
    *("mongodb.log-quiet", "mongodb.members-healthy", "mongodb.arbiters"),
    *("mongodb.write-concern", "mongodb.write-journaled", "mongodb.oplog-window"),
    *("mongodb.oplog-size", "mongodb.internal-login", "mongodb.checkpoints"),
    *("mongodb.journal-interval", "mongodb.cache-share"),
}
#: What somebody changes on a server of ours, and how it is undone.
CHANGED: dict[str, tuple[Callable[[Any], object], Callable[[Any], object]]] = {
    "mongodb.app-useful": (
        lambda db: db.command("revokeRolesFromUser", "shop", roles=["mngdb-shop"]),
        lambda db: db.command("grantRolesToUser", "shop", roles=["mngdb-shop"]),
    ),
    "mongodb.app-readonly": (
        lambda db: db.command("grantRolesToUser", "reader", roles=["mngdb-shop"]),
        lambda db: db.command("revokeRolesFromUser", "reader", roles=["mngdb-shop"]),
    ),
    "mongodb.logins-known": (
        lambda db: db.command("createUser", "intern", pwd="x" * 40, roles=["clusterMonitor"]),
        lambda db: db.command("dropUser", "intern"),
    ),
    "mongodb.indexes": (
        lambda db: db.client.shop.users.drop_index("email_1"),
        lambda db: db.client.shop.users.create_index("email", unique=True),
    ),
    "mongodb.index-options": (lambda db: _expire(db, 60), lambda db: _expire(db, 3600)),
}
#: Files and folders of ours, below the server's folder, and the mode that they should have.
FILES = {"mongodb.secret-files": ("conf/keyfile", 0o600), "mongodb.data-folder": ("data", 0o700)}
#: The tests below make these pass, or fail.
PASS_APART = {
    *("mongodb.encryption", "mongodb.log-append", "mongodb.members", "mongodb.replication-lag"),
    *("mongodb.query-targeting", "mongodb.version"),
}
FAIL_APART = {
    *("mongodb.members", "mongodb.replication-lag", "mongodb.query-targeting", "mongodb.cursors"),
    *("mongodb.connections-used", "mongodb.feature-version", "mongodb.index-unused"),
    *("mongodb.index-twice", "mongodb.index-count", "mongodb.cache-pressure", "mongodb.queue"),
    *("mongodb.fsync-lock", "mongodb.storage-engine", "mongodb.journal"),
    *("mongodb.startup-warnings", "mongodb.root", "mongodb.secrets-agree"),
}


@dataclass
class Stock:
    """A server of the package's defaults, and a stack that takes it as external."""

    cli: Cli
    server: Server


@dataclass
class Careless:
    """The careless set, what was found on it, and since when its secondary holds still."""

    cli: Cli
    primary: Server
    secondary: Server
    pem: Path
    found: dict[str, Finding]
    since: float


def _expire(db: Any, seconds: int) -> None:
    index = {"name": "at_1", "expireAfterSeconds": seconds}
    db.client.shop.command("collMod", "tokens", index=index)


@pytest.fixture(scope="module")
def hardened(module_cli: Cli) -> Cli:
    module_cli.write(FILE)
    module_cli.ok("up")
    return module_cli


@pytest.fixture(scope="module")
def good(hardened: Cli) -> dict[str, Finding]:
    return findings(hardened)


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stock]:
    """As Debian's package of MongoDB sets it up, with a database in it."""
    with started("--bind_ip", "127.0.0.1", "--logappend") as server:
        server.client.shop.things.insert_one({"a": 1})
        yield Stock(external(Cli(tmp_path_factory.mktemp("stock")), server.port), server)


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Careless]:
    cli = Cli(tmp_path_factory.mktemp("careless"))
    with careless() as (primary, secondary, pem):
        external(cli, primary.port, "boss@", ", max_connections: 500")
        set_secret(cli, "mongodb_admin", "Sh0rt-one")
        found = findings(cli)
        # from here on it falls behind; the test of that comes last
        secondary.run("fsync", lock=True)
        yield Careless(cli, primary, secondary, pem, found, time.monotonic())


def test_every_check_has_both_tests() -> None:
    assert len(IDS) == len(set(IDS)) >= 35
    failing = [*STOCK, *CARELESS, *CHANGED, *FILES, *FAIL_APART, *NEVER]
    assert sorted(failing) == sorted(IDS)
    assert set(IDS) >= PASS_APART


@pytest.mark.parametrize("name", [one for one in IDS if one not in PASS_APART | NEVER])
def test_it_passes_on_a_stack_of_ours(good: dict[str, Finding], name: str) -> None:
    assert good[name].verdict == "pass", good[name]


def test_only_the_proof_of_a_backup_is_still_to_come(good: dict[str, Finding]) -> None:
    wrong = {one.id for one in good.values() if one.verdict in {"fail", "unknown"}}
    assert wrong - BROUGHT == NEVER
    (never,) = NEVER
    assert good[never].evidence == "no backup was ever restored"


@pytest.mark.parametrize("name", sorted(STOCK))
def test_it_fails_on_the_packages_defaults(stock: Stock, name: str) -> None:
    found = one(stock.cli, name)
    assert found.verdict == "fail", found


@pytest.mark.parametrize("name", sorted(CARELESS))
def test_it_fails_on_a_careless_server(theirs: Careless, name: str) -> None:
    found = theirs.found[name]
    assert found.verdict == "fail", found
    assert found.evidence
    assert found.remedy


def test_a_stock_mongod_that_reads_zlib_is_told_by_effect(stock: Stock) -> None:
    zlib, version = one(stock.cli, "mongodb.zlib"), one(stock.cli, "mongodb.version")
    assert (zlib.verdict, zlib.severity) == ("fail", "high"), zlib
    assert "CVE-2025-14847" in zlib.evidence
    assert "CVE-2025-14847: anybody who reaches its port reads" in version.evidence
    assert "CVE-2026-11933" in version.evidence


def test_who_administers_by_another_way(theirs: Careless) -> None:
    assert theirs.found["mongodb.admins"].evidence == "archivist, boss@shop, deputy"
    assert "boss@shop" in theirs.found["mongodb.password-known"].evidence


@pytest.mark.parametrize("name", sorted(CHANGED))
def test_it_fails_where_somebody_changed_it(hardened: Cli, name: str) -> None:
    change, undo = CHANGED[name]
    with mongo_as(hardened) as client:
        change(client.admin)
        try:
            found = one(hardened, name)
        finally:
            undo(client.admin)
    assert found.verdict == "fail", found


@pytest.mark.parametrize("name", sorted(FILES))
def test_it_fails_where_others_may_read(hardened: Cli, name: str) -> None:
    path, mode = FILES[name]
    place = servers(hardened) / "mng-mongo" / path
    place.chmod(mode | 0o044)
    try:
        found = one(hardened, name)
    finally:
        place.chmod(mode)
    assert (found.verdict, f"{mode | 0o044:04o}" in found.evidence) == ("fail", True)


def test_another_secret_in_the_vault(hardened: Cli) -> None:
    file = hardened.state / "secrets" / "mongodb_reader"
    before = file.read_text()
    file.write_text("x" * 40)
    try:
        found = one(hardened, "mongodb.secrets-agree")
    finally:
        file.write_text(before)
    assert (found.verdict, found.evidence) == ("fail", "reader")


def test_what_was_changed_passes_again(hardened: Cli) -> None:
    failed = {f.id for f in findings(hardened).values() if f.verdict == "fail"}
    assert failed - BROUGHT == NEVER


@pytest.mark.root
def test_a_server_that_runs_as_root(stock: Stock) -> None:
    assert one(stock.cli, "mongodb.root").verdict == "fail"


def test_strangers_are_heard_over_a_socket_too(stock: Stock) -> None:
    at = (str(stock.server.folder / f"mongodb-{stock.server.port}.sock"), None)
    assert probe.answers_strangers(at, tls=False)
    assert probe.tls(at) is None


def test_who_asks_for_no_login_needs_no_secret(stock: Stock) -> None:
    assert "pinger" not in stock.cli.ok("sessions", "--all")
    slow = stock.cli.json("slow")
    assert slow["errors"] == {}
    # where nothing is recorded, that nothing was slow says nothing
    assert slow["notes"]["mongodb"].startswith(
        "the profiler is disabled in shop: nothing is recorded"
    )
    assert (
        "missing indexes are unknown: the profiler is disabled" in stock.cli.run("indexes").stderr
    )


def test_a_log_that_is_appended_to(stock: Stock) -> None:
    assert one(stock.cli, "mongodb.log-append").verdict == "pass"


def test_a_server_that_keeps_nothing(tmp_path: Path) -> None:
    with started("--storageEngine", "ephemeralForTest") as server:
        found = findings(external(Cli(tmp_path), server.port))
    for name in ("storage-engine", "journal", "startup-warnings"):
        assert found[f"mongodb.{name}"].verdict == "fail", found[f"mongodb.{name}"]
    assert "for testing only" in found["mongodb.startup-warnings"].evidence


def test_an_earlier_format_of_the_data(stock: Stock) -> None:
    stock.server.run("setFeatureCompatibilityVersion", "5.0")
    found = one(stock.cli, "mongodb.feature-version")
    stock.server.run("setFeatureCompatibilityVersion", "6.0")
    assert (found.verdict, found.evidence) == ("fail", "5.0 on MongoDB 6.0.5")


def test_indexes_that_serve_nothing(stock: Stock) -> None:
    things = stock.server.client.shop.busy
    things.insert_many({"a": n, "b": n} for n in range(100))
    for keys in ("a", "b", [("a", 1), ("c", 1)]):
        things.create_index(keys)
    assert one(stock.cli, "mongodb.index-unused").verdict == "pass"
    for _ in range(1000):
        things.find_one({"a": 1}, hint="a_1")
    found = findings(stock.cli, "mongodb.index-unused", "mongodb.index-twice")
    assert found["mongodb.index-unused"].verdict == "fail"
    assert "shop.busy.b_1" in found["mongodb.index-unused"].evidence
    assert "a_1," not in found["mongodb.index-unused"].evidence
    assert "shop.busy.a_1 " in found["mongodb.index-twice"].evidence
    things.drop()


def test_too_many_indexes(stock: Stock) -> None:
    many = stock.server.client.shop.many
    many.create_indexes([pymongo.IndexModel(f"f{n}") for n in range(51)])
    found = one(stock.cli, "mongodb.index-count")
    assert (found.verdict, found.evidence) == ("fail", "shop.many (52)")
    many.drop()
    assert one(stock.cli, "mongodb.index-count").verdict == "pass"


def test_queries_that_only_look_and_queries_that_find(stock: Stock) -> None:
    heap = stock.server.client.shop.heap
    heap.insert_many({"n": n} for n in range(40_000))
    for _ in range(60):
        assert heap.find_one({"n": -1}) is None
    assert one(stock.cli, "mongodb.query-targeting").verdict == "fail"
    assert len(list(heap.find({}, {"n": 1}))) == 40_000
    assert one(stock.cli, "mongodb.query-targeting").verdict == "pass"


def test_a_cache_that_is_too_small(stock: Stock) -> None:
    heap = stock.server.client.shop.pads
    resize = "wiredTigerEngineRuntimeConfig"
    for _ in range(5):  # the server makes room at once: now and then it is faster than the look
        heap.insert_many({"pad": "x" * 1000} for _ in range(10_000))
        stock.server.run("setParameter", **{resize: "cache_size=1MB"})
        found = one(stock.cli, "mongodb.cache-pressure")
        stock.server.run("setParameter", **{resize: "cache_size=256MB"})
        if found.verdict == "fail":
            return
    raise AssertionError(found)


def test_writes_that_wait_for_a_forgotten_lock(stock: Stock) -> None:
    stock.server.run("fsync", lock=True)
    writes = [
        threading.Thread(target=stock.server.client.shop.things.insert_one, args=({"n": n},))
        for n in range(12)
    ]
    try:
        for thread in writes:
            thread.start()
        until(lambda: _queue(stock.server) == 12)
        found = findings(stock.cli, "mongodb.queue", "mongodb.fsync-lock")
    finally:
        stock.server.run("fsyncUnlock")
        for thread in writes:
            thread.join()
    assert [f.verdict for f in found.values()] == ["fail", "fail"], found


def _queue(server: Server) -> int:
    return int(server.run("serverStatus")["globalLock"]["currentQueue"]["total"])


def test_a_cursor_without_end_and_too_many_connections(theirs: Careless) -> None:
    cursor = theirs.primary.client.shop.things.find(no_cursor_timeout=True, batch_size=2)
    next(cursor)
    with held(theirs.primary, 50 - theirs.primary.run("serverStatus")["connections"]["current"]):
        found = findings(theirs.cli, "mongodb.cursors", "mongodb.connections-used")
    cursor.close()
    assert [f.verdict for f in found.values()] == ["fail", "fail"], found


def test_a_login_without_rights_makes_it_unknown_and_says_why(
    hardened: Cli, tmp_path: Path
) -> None:
    guest = Cli(tmp_path)
    at = f"mongodb://reader@127.0.0.1:{hardened.port(1)}/?directConnection=true&tls=true"
    ca = hardened.state / "tls" / "ca.crt"
    guest.write(f'mongodb: {{target: {{external: {{url: "{at}&tlsCAFile={ca}"}}}}}}\n')
    set_secret(guest, "mongodb_admin", hardened.env_of("reader")["MONGO_PASSWORD"])
    done = guest.run("--json", "check")
    found = {f["id"]: f for f in json.loads(done.stdout)["findings"]}
    assert done.returncode == 1, "the backup is not proved"
    for name, command in (
        *(("mongodb.ttl-monitor", "getParameter"), ("mongodb.bind", "getCmdLineOpts")),
        *(("mongodb.queue", "serverStatus"), ("mongodb.admins", "usersInfo")),
        ("mongodb.replica-set", "replSetGetStatus"),
    ):
        assert (found[name]["verdict"], command in found[name]["evidence"]) == ("unknown", True)
    assert found["mongodb.login-required"]["verdict"] == "pass"
    assert found["mongodb.fsync-lock"]["verdict"] == "pass"


def test_a_secondary_that_falls_behind(theirs: Careless) -> None:
    assert theirs.found["mongodb.replication-lag"].verdict == "pass"
    while time.monotonic() < theirs.since + 12:
        time.sleep(0.1)
    theirs.primary.client.shop.things.insert_one({})
    found = one(theirs.cli, "mongodb.replication-lag")
    assert found.verdict == "fail", found
    assert theirs.secondary.name in found.evidence
    theirs.secondary.run("fsyncUnlock")


def test_three_members_and_two(theirs: Careless) -> None:
    assert theirs.found["mongodb.members"].verdict == "pass"
    config = theirs.primary.run("replSetGetConfig")["config"]
    config["members"] = config["members"][:2]
    config["version"] += 1
    theirs.primary.run("replSetReconfig", config, force=True)
    assert one(theirs.cli, "mongodb.members").verdict == "fail"


def test_encryption_and_nothing_else(theirs: Careless) -> None:
    for mode in ("preferTLS", "requireTLS"):
        theirs.primary.run("setParameter", tlsMode=mode)
    file = theirs.cli.folder / "mngdb.yaml"
    file.write_text(file.read_text().replace("=true", f"=true&tls=true&tlsCAFile={theirs.pem}"))
    found = findings(theirs.cli, "mongodb.encryption", "mongodb.tls-only")
    assert [f.verdict for f in found.values()] == ["pass", "pass"], found


def test_a_server_that_answers_nonsense_is_unknown(tmp_path: Path) -> None:
    with nonsense() as port:
        found = findings(external(Cli(tmp_path), port))
    others = {f.id for f in found.values() if f.verdict != "unknown"}
    # it does answer without a login and without encryption; who is in no set has no members
    assert "mongodb.login-required" in others
    assert found["mongodb.queue"].verdict == "unknown"
    assert found["mongodb.queue"].evidence == "the server does not report 'globalLock'"


def test_a_server_without_apps_and_with_a_monitor(cli: Cli) -> None:
    cli.write(
        "mongodb: {port: PORT1, outdated: true, version: 6}\n"
        "agent: {ports: {postgres: PORT2, redis: PORT3, mongodb: PORT4, mngdb: PORT5}}\n"
    )
    cli.ok("up")
    found = findings(cli)
    assert {f.id for f in found.values() if f.verdict in {"fail", "unknown"}} - BROUGHT == NEVER
    assert found["mongodb.tls-only"].verdict == "not_applicable"
    # 'outdated: true' accepts the age of its line, and no hole
    version = found["mongodb.version"]
    assert (version.verdict, version.severity) == ("fail", "high")
    assert version.evidence.startswith("MongoDB 6.0.5 lacks the security fixes of 6.0.30; ")
    # neither zlib nor JavaScript is on
    assert "CVE-2025-14847" not in version.evidence
    assert "CVE-2026-11933" not in version.evidence
    path = cli.folder / "mngdb.yaml"
    path.write_text(path.read_text().replace("version: 6", "version: 8"))
    assert "the file has 8" in one(cli, "mongodb.version").evidence


def test_a_server_that_hangs_or_is_down_is_unknown_in_bounded_time(
    stock: Stock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(questions, "EACH", 1.0)
    process = stock.server.process
    hang = questions.Questions.ask

    def ask(self: questions.Questions, name: str, *rest: Any, **more: Any) -> Any:
        if name == "serverStatus":  # the handshake is over, and some answers are there
            process.send_signal(signal.SIGSTOP)
        return hang(self, name, *rest, **more)

    monkeypatch.setattr(questions.Questions, "ask", ask)
    begun = time.monotonic()
    try:
        found = findings(stock.cli)
    finally:
        process.send_signal(signal.SIGCONT)
    assert time.monotonic() - begun < 60
    assert {f.verdict for f in found.values() if f.id not in NEVER} == {"unknown"}
    assert "does not answer in time" in found["mongodb.bind"].evidence
    stock.server.client.close()
    process.kill()
    process.wait()
    done = stock.cli.run("check", "--only", "mongodb.version")
    assert done.returncode == 3
    assert "MongoDB does not answer" in done.stdout
