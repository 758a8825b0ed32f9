"""Each check around the servers on what makes it pass and on what makes it fail."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mngdb.checks import registry
from mngdb.findings import Finding
from tests import docker
from tests.checks.judge import findings, one
from tests.conftest import Cli
from tests.docker import Engine
from tests.live import faults
from tests.live.clients import brought_up, redis_as
from tests.unit.receivers import hook

pytestmark = pytest.mark.live

FILE = """
redis: {port: PORT1}
apps: {shop: {redis: "shop:*"}, other: {redis: "other:*"}}
agent: {ports: {redis: PORT2, mngdb: PORT3}}
alerts: {every: 1s, channels: {team: slack}}
"""
stack = brought_up(FILE)


@pytest.fixture(scope="module")
def good(stack: Cli) -> dict[str, Finding]:
    stack.ok("secret", "set", "alerts_team", stdin="https://127.0.0.1:1/hooks/x")
    try:
        return findings(stack, "stack.*")
    finally:
        (stack.state / "secrets/alerts_team").unlink()


IDS = [check.id for check in registry.of("stack") if not check.on_request]


@pytest.mark.parametrize("name", IDS)
def test_it_passes_on_a_stack_of_ours(good: dict[str, Finding], name: str) -> None:
    # of pages, of servers of others and of providers, and of backups that the file asks for
    elsewhere = {"stack.page-roles", "stack.server-verified", "stack.backup-kit"}
    elsewhere.add("stack.backup-moments")
    elsewhere |= {"stack.costly-servers", "stack.team"}
    expected = "not_applicable" if name in elsewhere else "pass"
    if name == "stack.backup-store":
        expected = "fail"
    assert good[name].verdict == expected, good[name]


@pytest.mark.parametrize(
    ("store", "evidence"),
    [
        ("./kept", "in the project"),
        ("{data}", "on the disk that has the data"),
        ("{open}", "other accounts"),
    ],
)
def test_a_store_that_goes_with_the_data_or_that_others_read(
    cli: Cli, tmp_path: Path, store: str, evidence: str
) -> None:
    readable = tmp_path / "readable"
    readable.mkdir(mode=0o755)
    path = store.format(data=cli.folder.parent / "beside", open=readable)
    cli.write(f"redis: {{port: PORT1}}\nbackup: {{store: {path}}}\nagent: false\n")
    cli.ok("up")
    if "data" in store:
        path = str(cli.state.parent / "beside")
        cli.write(f"redis: {{port: PORT1}}\nbackup: {{store: {path}}}\nagent: false\n")
    moments = one(cli, "stack.backup-moments")
    assert (moments.verdict, moments.evidence) == ("fail", "redis: no snapshot yet")
    found = one(cli, "stack.backup-store")
    assert (found.verdict, evidence in found.evidence) == ("fail", True), found
    assert evidence in cli.run("plan").stderr + cli.run("plan").stdout


def test_a_bucket_is_apart_from_the_data(cli: Cli) -> None:
    cli.write("redis: {port: PORT1}\nbackup: {store: 's3://bucket/x'}\nagent: false\n")
    cli.ok("up")
    assert one(cli, "stack.backup-store").verdict == "pass"


PAGE = """
target: compose
redis: {}
redisinsight: {url: "https://redisinsight.example", accept_terms: true}
sso: {issuer: "https://keycloak.example/realms/mng"ROLES}
agent: false
"""


@pytest.mark.parametrize(
    ("roles", "verdict", "evidence"),
    [
        ("", "fail", "sso has no roles"),
        (", roles: []", "fail", "sso has no roles"),
        (", roles: [admin, 'app:ops']", "pass", "admin, app:ops"),
    ],
)
def test_everybody_of_the_realm_is_no_administrator(
    cli: Cli, roles: str, verdict: str, evidence: str
) -> None:
    cli.write(PAGE.replace("ROLES", roles))
    found = one(cli, "stack.page-roles")
    assert (found.verdict, evidence in found.evidence) == (verdict, True)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """One of its own: an engine has room for one page, and other tests have theirs."""
    found = docker.new()
    yield found
    found.remove()


@pytest.mark.docker
@pytest.mark.parametrize(("roles", "told"), [("", True), (", roles: [admin]", False)])
def test_plan_warns_of_a_page_for_everybody(
    cli: Cli, engine: Engine, roles: str, told: bool
) -> None:
    cli.env |= engine.environ
    cli.write(PAGE.replace("ROLES", roles))
    said = cli.run("plan").stderr
    warned = "everybody who can log in to the realm" in said
    assert warned is told, said


def test_an_app_whose_secret_is_another_one(stack: Cli) -> None:
    with redis_as(stack) as admin:
        admin.execute_command("ACL", "SETUSER", "shop", "resetpass", ">" + "x" * 40)
    try:
        found = one(stack, "stack.logins")
        assert (found.verdict, found.instance) == ("fail", "redis")
        assert found.evidence.startswith("shop: ")
        assert "other" not in found.evidence
    finally:
        stack.ok("up")


def test_a_channel_without_its_secret(stack: Cli) -> None:
    found = one(stack, "stack.channels")
    assert found.verdict == "fail"
    assert found.evidence == "team: the secret alerts_team is missing"


def test_a_channel_that_was_told_and_the_guides_alerts(stack: Cli) -> None:
    path = stack.folder / "mngdb.yaml"
    text = path.read_text()
    path.write_text(
        text.replace("{team: slack}", "{hook: webhook}, rules: {RedisEvictedKeys: false}")
    )
    try:
        with hook() as found:
            stack.ok("secret", "set", "alerts_hook", stdin=found.url)
            assert one(stack, "stack.told").evidence == "hook: no message has arrived yet"
            found.status = 500
            assert stack.run("alerts", "test", "hook").returncode != 0
            assert one(stack, "stack.told").verdict == "fail"
            found.status = 200
            stack.ok("alerts", "test", "hook")
            assert one(stack, "stack.told").verdict == "pass"
            time.sleep(0.01)
            stack.ok("secret", "set", "alerts_hook", stdin=f"{found.url}/x")
            assert "secret has changed" in one(stack, "stack.told").evidence
        off = one(stack, "stack.alerts-cache")
        assert (off.verdict, off.evidence) == ("fail", "RedisEvictedKeys")
        assert one(stack, "stack.alerts-servers").verdict == "pass"
    finally:
        path.write_text(text)


def test_a_dead_agent_measures_judges_and_tells_nobody(stack: Cli) -> None:
    pid = int((stack.state / "agent/agent.pid").read_text().split()[0])
    faults.end_of(pid)
    try:
        found = findings(stack, "stack.*")
        for name in ("stack.measured", "stack.alerts"):
            assert found[name].verdict == "fail"
            assert found[name].evidence == "the agent: not running"
    finally:
        stack.ok("up")


def test_no_agent_and_no_channel_is_the_files_own_choice(stack: Cli) -> None:
    text = (stack.folder / "mngdb.yaml").read_text()
    without = text.split("agent:")[0] + "agent: false\n"
    (stack.folder / "mngdb.yaml").write_text(without)
    try:
        found = findings(stack, "stack.*")
        verdicts = {name: finding.verdict for name, finding in found.items()}
        assert verdicts.pop("stack.logins") == "pass"
        assert verdicts.pop("stack.backup-store") == "fail"  # nobody else takes them
        assert set(verdicts.values()) == {"not_applicable"}
    finally:
        (stack.folder / "mngdb.yaml").write_text(text)
