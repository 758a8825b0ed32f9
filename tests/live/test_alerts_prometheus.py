"""The rendered files in a real Prometheus and a real Alertmanager, on a live stack: targets are
up, every rule and panel reads series that exist, and an alert goes all the way (A3, B18)."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import urllib.error
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from mngdb.alerts.catalogue import RULES
from mngdb.alerts.expr import Expr, Selector
from mngdb.alerts.rules import active
from mngdb.spec.alerts import Alerts
from tests import golang, trixie
from tests.conftest import Cli, free_port
from tests.live.scrapes import AGENT, fetch, pid_of, read, until
from tests.unit.receivers import Hook, hook

pytestmark = pytest.mark.live

FILE = (
    """
postgres: {port: PORT1, memory: 64mb, tls: true}
redis: {port: PORT2, memory: 64mb}
mongodb: {port: PORT3, memory: 256mb}
apps: {shop: {postgres: shop, redis: "shop:*", mongodb: shop}}
alerts:
  group: 0s
  rules: {RedisDown: {for: 0s}}
  channels: {hook: webhook}
"""
    + AGENT
)
#: Metrics that come when backups, checks and errors do.
LATER = {
    "mngdb_archive_age_seconds",
    "mngdb_backup_age_seconds",
    "mngdb_backup_key_age_seconds",
    "mngdb_backup_secret_fits",
    "mngdb_commits_late_seconds",
    "mngdb_commits_wait",
    "mngdb_drill_age_seconds",
    "mngdb_drill_passed",
    "mngdb_drill_seconds",
    "mngdb_drill_usual_seconds",
    "mngdb_findings",
    "mngdb_store_bytes",
    "mngdb_store_full_seconds",
    "mngdb_store_week_ago_bytes",
    "redis_errors_total",
}
#: Series that this stack does not have: its MongoDB has one member.
NOT_HERE = {'mongodb_rs_members_optimeDate{member_state="SECONDARY"}'}


def program(name: str, folder: Path) -> Path:
    """Debian's Alertmanager looks for its templates where an installed package has them; a copy
    looks in its working folder, by a path of the same length."""
    found = trixie.program(name)
    if name != "prometheus-alertmanager":
        return found
    share = Path("/usr/share/prometheus/alertmanager")
    for template in (found.parents[2] / share.relative_to("/")).glob("*.tmpl"):
        (folder / template.name).write_bytes(template.read_bytes())
    installed = bytes(share)
    content = found.read_bytes()
    assert installed in content
    here = b"." + b"/" * (len(installed) - 2) + b"."
    copy = folder / name
    copy.write_bytes(content.replace(installed, here))
    copy.chmod(0o755)
    return copy


@contextmanager
def running(name: str, folder: Path, port: int, *arguments: str) -> Iterator[None]:
    """One of Prometheus' programs, until it is no longer needed."""
    log = folder / f"{name}.log"
    argv = [str(program(name, folder)), f"--web.listen-address=127.0.0.1:{port}", *arguments]
    with log.open("wb") as sink:
        process = subprocess.Popen(argv, cwd=folder, stdout=sink, stderr=sink)
    try:

        def ready() -> bool:
            assert process.poll() is None, log.read_text()
            try:
                fetch(f"http://127.0.0.1:{port}/-/ready")
            except (urllib.error.URLError, ConnectionError):
                return False
            return True

        until(ready)
        yield
    finally:
        process.terminate()
        process.wait(60)


@dataclass
class Monitored:
    """The stack, Prometheus that scrapes it, and who Alertmanager tells."""

    cli: Cli
    port: int
    hook: Hook

    def ask(self, path: str, **query: str) -> Any:
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        found = json.loads(fetch(url))
        assert found["status"] == "success"
        return found["data"]

    def series(self, promql: str) -> list[Any]:
        found: list[Any] = self.ask("query", query=promql)["result"]
        return found


@pytest.fixture(scope="module")
def monitored(module_cli: Cli) -> Iterator[Monitored]:
    cli, port, alerting = module_cli, free_port(), free_port()
    cli.write(FILE)
    out = cli.folder / "prometheus"
    with hook() as found:
        cli.ok("secret", "set", "alerts_hook", stdin=found.url)
        cli.ok("up")
        at = f"127.0.0.1:{alerting}"
        cli.ok("render", "prometheus", "--output", str(out), "--alertmanager", at)
        cli.ok("render", "alertmanager", "--output", str(out))
        # a test has no quarter of a minute; a page may take 80 % of the limit
        path = out / "prometheus.yml"
        text = re.sub(r"(scrape_interval|scrape_timeout): \d+s", r"\1: 3s", path.read_text())
        path.write_text(re.sub(r"(evaluation_interval): \d+s", r"\1: 1s", text))
        with (
            running(
                "prometheus-alertmanager",
                out,
                alerting,
                "--config.file=alertmanager.yml",
                "--storage.path=alerts",
                "--cluster.listen-address=",
            ),
            running(
                "prometheus", out, port, "--config.file=prometheus.yml", "--storage.tsdb.path=data"
            ),
        ):
            yield Monitored(cli, port, found)


def test_every_target_is_up_under_its_own_name(monitored: Monitored) -> None:
    def targets() -> set[tuple[str, str, str]]:
        return {
            (one["labels"]["job"], one["labels"]["instance"], one["health"])
            for one in monitored.ask("targets")["activeTargets"]
        }

    wanted = {(name, name, "up") for name in ("postgres", "redis", "mongodb")}
    until(lambda: targets() == wanted | {("mngdb", "mng", "up")})


def rules_of(monitored: Monitored) -> dict[str, Any]:
    groups = monitored.ask("rules")["groups"]
    return {rule["name"]: rule for group in groups for rule in group["rules"]}


def test_prometheus_judges_every_rule_and_none_fires_on_a_sound_stack(
    monitored: Monitored,
) -> None:
    until(lambda: {r["health"] for r in rules_of(monitored).values()} == {"ok"})
    assert set(rules_of(monitored)) == {rule.name for rule in RULES}

    def firing() -> set[str]:
        found = {name for name, r in rules_of(monitored).items() if r["state"] == "firing"}
        # the disk and the processors are the test machine's own
        return {name for name in found if not name.startswith("Host")}

    # a machine that was busy for a moment had a server that did not answer in time
    until(lambda: firing() == set())


def selectors() -> list[Selector]:
    asked = {"postgres": ["postgres"], "redis": ["redis"], "mongodb": ["mongodb"]}
    parts: list[Expr] = [
        part for rule in active(RULES, asked, Alerts()) for part in rule.expr.walk()
    ]
    found = {part.promql(): part for part in parts if isinstance(part, Selector)}
    return [found[text] for text in sorted(found) if text not in NOT_HERE]


def test_every_rule_reads_series_that_the_agent_serves(monitored: Monitored) -> None:
    until(lambda: monitored.series("mngdb_host_cpu_ratio"))
    with psycopg.connect(monitored.cli.env_of("shop")["POSTGRES_URL"]) as held:
        held.execute("select 1")  # and the transaction is open
        until(lambda: monitored.series('pg_stat_activity_max_tx_duration{usename="shop"}'))
        wanted = LATER | {"mngdb_docker_up"}  # here are no containers

        def missing() -> set[str]:
            return {one.name for one in selectors() if not monitored.series(one.promql())}

        until(lambda: missing() <= wanted)
        assert missing() >= wanted


def test_every_panel_shows_something(monitored: Monitored) -> None:
    files = monitored.cli.json("render", "grafana")["files"]
    plotted = [
        target["expr"].replace("$instance", ".+")
        for content in files.values()
        for panel in json.loads(content)["panels"]
        for target in panel.get("targets", ())
    ]
    assert len(plotted) > 40

    def empty() -> set[str]:
        return {one for one in plotted if not monitored.series(one)}

    until(lambda: empty() == set())


def test_the_real_mongodb_exporter_serves_what_the_rules_read(monitored: Monitored) -> None:
    port = free_port()
    argv = [str(golang.program("mongodb_exporter")), f"--web.listen-address=127.0.0.1:{port}"]
    argv += ["--compatible-mode", "--collector.diagnosticdata", "--collector.replicasetstatus"]
    env = {**os.environ, "MONGODB_URI": monitored.cli.ok("url", "mongodb", "monitor").strip()}
    log = monitored.cli.folder / "exporter.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(argv, env=env, stdout=sink, stderr=sink)
    try:

        def served() -> set[str]:
            assert process.poll() is None, log.read_text()
            try:
                return read(fetch(f"http://127.0.0.1:{port}/metrics")).names
            except (urllib.error.URLError, ConnectionError):
                return set()

        wanted = {one.name for one in selectors() if one.name.startswith("mongodb_")}
        assert len(wanted) > 8
        until(lambda: wanted <= served())
    finally:
        process.terminate()
        process.wait(60)


def test_an_alert_goes_all_the_way_through_prometheus_and_alertmanager(
    monitored: Monitored,
) -> None:
    server = pid_of(monitored.cli, "mng-redis")

    def told() -> list[tuple[str, str]]:
        return [
            (alert["status"], alert["labels"]["alertname"])
            for body in monitored.hook.bodies
            if "groupKey" in body  # Alertmanager's, not our own agent's
            for alert in body["alerts"]
        ]

    os.kill(server, signal.SIGSTOP)
    try:
        until(lambda: ("firing", "RedisDown") in told())
    finally:
        os.kill(server, signal.SIGCONT)
    until(lambda: ("resolved", "RedisDown") in told())
