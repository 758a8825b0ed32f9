"""What is rendered for Prometheus, Alertmanager and Grafana is what these tools take."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from mngdb.alerts import expr, grafana
from mngdb.alerts.catalogue import RULES
from mngdb.alerts.rules import active
from mngdb.spec.alerts import Alerts
from tests.conftest import ROOT, Cli
from tests.trixie import program

PORTS = "ports: {postgres: 9187, redis: 9121, mongodb: 9216, mngdb: 9321}"
ENGINES = (
    "redis: {}\npostgres: {}\nmongodb: {}\ninstances: {queue: {engine: redis, port: 6380}}\n"
    f"agent: {{{PORTS}}}\n"
)
CHANNELS = """
alerts:
  runbook: https://wiki.example/playbook
  repeat: 1d
  channels:
    team: slack
    duty: pagerduty
    hook: {kind: webhook, severity: info}
    ops: {kind: email, host: smtp.example, user: mngdb, from: a@b.example, to: [c@d.example]}
    open:
      {kind: email, host: "::1", port: 25, encryption: none, from: a@b.example, to: [c@d.example]}
"""


def ran(name: str, *arguments: str | Path) -> str:
    done = subprocess.run([program(name), *arguments], text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def rendered(tmp_path: Path) -> Cli:
    cli = Cli(tmp_path)
    (tmp_path / "mngdb.yaml").write_text(ENGINES + CHANNELS)
    return cli


def test_promtool_takes_the_configuration_and_its_rules(rendered: Cli) -> None:
    out = rendered.folder / "out"
    rendered.ok("render", "prometheus", "--output", str(out), "--alertmanager", "127.0.0.1:9093")
    said = ran("promtool", "check", "config", out / "prometheus.yml")
    assert "1 rule files found" in said
    assert f"{len(RULES)} rules found" in said
    jobs = {
        job["job_name"]: [(target["targets"], target["labels"]) for target in job["static_configs"]]
        for job in yaml.safe_load((out / "prometheus.yml").read_text())["scrape_configs"]
    }
    labels = {"stack": "mng", "job": "postgres", "instance": "postgres", "member": "mng-pg"}
    assert jobs["mng-postgres"] == [(["127.0.0.1:9187"], labels)]
    assert [labels["instance"] for _, labels in jobs["mng-redis"]] == ["redis", "queue"]
    assert [labels["member"] for _, labels in jobs["mng-redis"]] == ["mng-redis", "mng-queue"]
    assert jobs["mng-mngdb"] == [
        (["127.0.0.1:9321"], {"stack": "mng", "job": "mngdb", "instance": "mng"})
    ]


@pytest.mark.parametrize("place", ["alertmanager", "http://127.0.0.1:9093", "a b:1", "::1:9093"])
def test_where_no_alertmanager_can_be_is_refused(rendered: Cli, place: str) -> None:
    done = rendered.run("render", "prometheus", "--alertmanager", place)
    assert (done.returncode, done.stdout) == (2, "")
    assert "is not the HOST:PORT of an Alertmanager" in done.stderr


def test_one_prometheus_takes_two_stacks(rendered: Cli) -> None:
    files = {}
    for name in ("mng", "crm"):
        (rendered.folder / "mngdb.yaml").write_text(f"name: {name}\n{ENGINES}")
        files[name] = rendered.json("render", "prometheus")["files"]
    both = yaml.safe_load(files["mng"]["prometheus.yml"])
    both["scrape_configs"] += yaml.safe_load(files["crm"]["prometheus.yml"])["scrape_configs"]
    both["rule_files"] = ["mng.yml", "crm.yml"]
    for name, found in files.items():
        (rendered.folder / f"{name}.yml").write_text(found["rules/mngdb.yml"])
    path = rendered.folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(both))
    assert "2 rule files found" in ran("promtool", "check", "config", path)


def test_every_alert_links_to_its_part_of_the_playbook(rendered: Cli) -> None:
    found = rendered.json("render", "prometheus")["files"]["rules/mngdb.yml"]
    links = [
        rule["annotations"]["runbook_url"]
        for group in yaml.safe_load(found)["groups"]
        for rule in group["rules"]
    ]
    assert len(links) == len(set(links)) == len(RULES)
    assert all(re.fullmatch(r"https://wiki\.example/playbook#[a-z]+", link) for link in links)


def test_amtool_takes_alertmanagers_configuration(rendered: Cli) -> None:
    out = rendered.folder / "out"
    rendered.ok("render", "alertmanager", "--output", str(out), "--secrets", "/run/secrets")
    path = out / "alertmanager.yml"
    said = ran("amtool", "check-config", path)
    assert "6 receivers" in said
    config = yaml.safe_load(path.read_text())
    receivers = {one.pop("name"): one for one in config["receivers"]}
    assert receivers["team"]["slack_configs"][0]["api_url_file"] == "/run/secrets/alerts_team"
    duty = receivers["duty"]["pagerduty_configs"][0]
    assert duty["routing_key_file"] == "/run/secrets/alerts_duty"
    assert receivers["hook"]["webhook_configs"][0]["url_file"] == "/run/secrets/alerts_hook"
    (mail,) = receivers["ops"]["email_configs"]
    assert mail["auth_password_file"] == "/run/secrets/alerts_ops"
    assert mail["require_tls"] is True
    assert receivers["open"]["email_configs"][0]["smarthost"] == "[::1]:25"


@pytest.mark.parametrize(
    ("severity", "stack", "told"),
    [
        ("critical", "mng", {"team", "duty", "hook", "ops", "open"}),
        ("warning", "mng", {"team", "hook", "ops", "open"}),
        ("info", "mng", {"hook"}),
        ("critical", "crm", {"nobody"}),  # of this stack
    ],
)
def test_pagerduty_is_told_of_what_is_critical_alone(
    rendered: Cli, severity: str, stack: str, told: set[str]
) -> None:
    out = rendered.folder / "out"
    rendered.ok("render", "alertmanager", "--output", str(out))
    labels = (f"severity={severity}", f"stack={stack}")
    said = ran(
        "amtool", "config", "routes", "test", "--config.file", out / "alertmanager.yml", *labels
    )
    assert set(said.strip().split(",")) == told


def test_alertmanagers_messages_say_what_is_wrong(rendered: Cli) -> None:
    """Its own templates leave summaries out of Slack and PagerDuty."""

    def alert(status: str, name: str, severity: str) -> dict[str, object]:
        return {
            "status": status,
            "labels": {"alertname": name, "severity": severity, "stack": "mng"},
            "annotations": {"summary": f"{name} is so", "description": "Look.", "runbook_url": "R"},
        }

    data = rendered.folder / "data.json"
    alerts = [alert("firing", "A", "critical"), alert("resolved", "B", "warning")]
    data.write_text(
        json.dumps({"status": "firing", "commonLabels": {"stack": "mng"}, "alerts": alerts})
    )
    config = yaml.safe_load(rendered.ok("render", "alertmanager"))
    receivers = {one.pop("name"): one for one in config["receivers"]}
    (slack,), (duty,) = receivers["team"]["slack_configs"], receivers["duty"]["pagerduty_configs"]
    (mail,) = receivers["ops"]["email_configs"]

    def made(text: str) -> str:
        flags = ("--template.glob=none", f"--template.data={data}", f"--template.text={text}")
        return ran("amtool", "template", "render", *flags)

    assert made(slack["title"]) == made(mail["headers"]["Subject"]) == "[mng] FIRING: A, B"
    assert made(slack["text"]) == "*CRITICAL A*: A is so\nLook.\nR\n*RESOLVED B*: B is so\n"
    assert (made(duty["description"]), duty["severity"]) == ("[mng] A is so", "critical")


def test_a_channel_that_alertmanager_cannot_have_is_said(rendered: Cli) -> None:
    (rendered.folder / "mngdb.yaml").write_text(
        "redis: {}\nalerts: {channels: {ops: {kind: email, host: h, port: 1465, encryption: tls, "
        "from: a@b.example, to: [c@d.example]}}}\n"
    )
    done = rendered.run("render", "alertmanager", "--output", "out")
    assert (done.returncode, (rendered.folder / "out").exists()) == (2, False)
    assert "port 465" in done.stderr


def test_a_rule_that_is_off_is_not_rendered_and_hides_nothing(rendered: Cli) -> None:
    (rendered.folder / "mngdb.yaml").write_text(
        "redis: {}\nalerts: {rules: {RedisDown: false, RedisHighConnections: false}}\n"
    )
    assert "RedisDown" not in rendered.ok("render", "prometheus")
    said = rendered.ok("render", "alertmanager")
    assert "RedisDown" not in said
    assert "RedisConnections" not in said


def test_a_threshold_where_there_is_none_is_refused(rendered: Cli) -> None:
    (rendered.folder / "mngdb.yaml").write_text(
        "redis: {}\nalerts: {rules: {RedisDown: {threshold: 2}}}\n"
    )
    done = rendered.run("render", "prometheus")
    assert (done.returncode, done.stdout) == (2, "")
    assert "RedisDown has no threshold" in done.stderr


def test_thresholds_follow_what_the_file_agrees_on(rendered: Cli) -> None:
    (rendered.folder / "mngdb.yaml").write_text(
        "mongodb: {}\nbackup: {drill: {rto: 10m}, keep: {point_in_time: 12h}}\n"
    )
    found = {rule["name"]: rule for rule in rendered.json("alerts", "rules")["rules"]}
    assert found["DrillSlow"]["threshold"] == 600
    assert found["MongodbOplogShort"]["threshold"] == 43_200


def test_containers_have_exporters_and_servers_of_others_are_theirs(rendered: Cli) -> None:
    (rendered.folder / "mngdb.yaml").write_text(
        "target: compose\npostgres: {}\nredis: {}\nmongodb: {}\n"
        "instances: {legacy: {engine: redis, target: {external: {url: 'redis://a@b:1'}}}}\n"
    )
    files = rendered.json("render", "prometheus")["files"]
    assert "a container that joins the network mng-metrics.\n" in files["prometheus.yml"]
    targets = {
        job["job_name"]: [target["targets"] for target in job["static_configs"]]
        for job in yaml.safe_load(files["prometheus.yml"])["scrape_configs"]
    }
    assert targets == {
        "mng-postgres": [["mng-pg-exporter:9187"]],
        "mng-redis": [["mng-redis-exporter:9121"]],
        "mng-mongodb": [["mng-mongo-exporter:9216"]],
    }
    # a rule that nobody has series for is no comfort
    assert "legacy" not in files["rules/mngdb.yml"]
    assert "MongodbOplogShort" in files["rules/mngdb.yml"]


def test_one_prometheus_reaches_all_that_it_shall_scrape(rendered: Cli) -> None:
    """An exporter's name is known in the containers' network alone, loopback here alone."""
    text = (
        "target: compose\npostgres: {}\nredis: {}\n"
        "instances: {near: {engine: redis, target: local}}\n"
    )

    def asked(agent: str) -> tuple[str, list[tuple[str, str, str]]]:
        (rendered.folder / "mngdb.yaml").write_text(f"{text}agent: {agent}\n")
        written = rendered.json("render", "prometheus")["files"]["prometheus.yml"]
        found = [
            (target["labels"]["instance"], *target["targets"], path)
            for job in yaml.safe_load(written)["scrape_configs"]
            for target in job["static_configs"]
            for path in (target["labels"].get("__metrics_path__", "/metrics"),)
        ]
        return written.splitlines()[0], found

    head, found = asked(f"{{{PORTS}}}")
    assert head.endswith("on this machine: the agent listens on 127.0.0.1.")
    assert found == [
        ("postgres", "127.0.0.1:9187", "/metrics"),
        ("redis", "127.0.0.1:9121", "/metrics"),
        ("near", "127.0.0.1:9121", "/metrics/near"),
        ("mng", "127.0.0.1:9321", "/metrics"),
    ]
    head, found = asked(f"{{bind: 172.17.0.1, {PORTS}}}")
    assert head.endswith("joins the network mng-metrics and that reaches 172.17.0.1.")
    assert found == [
        ("postgres", "mng-pg-exporter:9187", "/metrics"),
        ("redis", "mng-redis-exporter:9121", "/metrics"),
        # the agent's first Redis is the container's
        ("near", "172.17.0.1:9121", "/metrics/near"),
        ("mng", "172.17.0.1:9321", "/metrics"),
    ]


def test_without_the_agent_nobody_waits_for_its_metrics(rendered: Cli) -> None:
    (rendered.folder / "mngdb.yaml").write_text("redis: {}\nagent: false\n")
    names = {rule["name"] for rule in rendered.json("alerts", "rules")["rules"]}
    assert names
    assert all(name.startswith("Redis") for name in names)


def test_the_files_are_printed_and_a_second_writing_changes_nothing(rendered: Cli) -> None:
    out = rendered.folder / "a" / "b"
    said = rendered.ok("render", "grafana", "--output", str(out))
    assert said.split() == [f"{out}/mngdb-overview.json", f"{out}/mngdb-engines.json"]
    assert rendered.json("render", "grafana", "--output", str(out))["changed"] == []
    assert rendered.json("render", "grafana")["files"] == {
        path.name: path.read_text() for path in out.iterdir()
    }
    (rendered.folder / "file").write_text("")
    done = rendered.run("render", "grafana", "--output", "file")
    assert done.returncode == 2
    assert "file is not a directory" in done.stderr


# --- dashboards


def dashboards(cli: Cli) -> dict[str, Any]:
    files = cli.json("render", "grafana")["files"]
    return {name: json.loads(content) for name, content in files.items()}


def plotted(dashboard: Any) -> list[str]:
    return [t["expr"] for panel in dashboard["panels"] for t in panel.get("targets", ())]


def test_prometheus_reads_every_expression_of_the_dashboards(rendered: Cli, tmp_path: Path) -> None:
    found = [one for dashboard in dashboards(rendered).values() for one in plotted(dashboard)]
    assert len(found) > 40
    rules = [{"record": f"plotted:{number}", "expr": one} for number, one in enumerate(found)]
    path = tmp_path / "plotted.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "plotted", "rules": rules}]}))
    assert f"{len(found)} rules found" in ran("promtool", "check", "rules", path)


def test_panels_lie_side_by_side_and_over_nothing(rendered: Cli) -> None:
    for dashboard in dashboards(rendered).values():
        taken: set[tuple[int, int]] = set()
        for panel in dashboard["panels"]:
            place = panel["gridPos"]
            cells = {
                (place["x"] + x, place["y"] + y)
                for x in range(place["w"])
                for y in range(place["h"])
            }
            assert not cells & taken, panel["title"]
            assert max(x for x, _ in cells) < 24
            taken |= cells


def test_dashboards_are_of_one_stack_also_where_names_are_long(rendered: Cli) -> None:
    name = f"a{'b' * 39}"
    (rendered.folder / "mngdb.yaml").write_text(f"name: {name}\n{ENGINES}")
    found = dashboards(rendered)
    assert len({one["uid"] for one in found.values()}) == len(found) == 2
    exprs = [expr for one in found.values() for expr in plotted(one)]
    assert all(f'stack="{name}"' in expr for expr in exprs)


def test_a_stat_is_of_now_and_of_a_colour_that_means_something(rendered: Cli) -> None:
    found = {
        panel["title"]: panel
        for dashboard in dashboards(rendered).values()
        for panel in dashboard["panels"]
        if panel["type"] == "stat"
    }
    assert all(target["instant"] for panel in found.values() for target in panel["targets"])

    def colour(title: str, value: float) -> str:
        steps = found.pop(title)["fieldConfig"]["defaults"]["thresholds"]["steps"]
        colours: list[str] = [
            s["color"] for s in steps if s["value"] is None or value >= s["value"]
        ]
        return colours[-1]

    up = [title for title in ("PostgreSQL", "Redis", "MongoDB") if colour(title, 0) == "red"]
    assert len(up) == 3
    assert (colour("Units", 1), colour("Restarts in a day", 0)) == ("green", "green")
    assert colour("Certificates expire in", 300 * 86_400) == "green"
    assert not found


def test_a_stack_has_the_panels_of_its_engines(rendered: Cli) -> None:
    (rendered.folder / "mngdb.yaml").write_text("redis: {}\n")
    text = json.dumps(dashboards(rendered))
    assert "redis_up" in text
    assert "pg_" not in text
    assert "mongodb_" not in text
    assert "mngdb_host_cpu_ratio" in text
    (rendered.folder / "mngdb.yaml").write_text("redis: {}\nagent: false\n")
    assert "mngdb_host_cpu_ratio" not in json.dumps(dashboards(rendered))


# --- only what exists


def used() -> set[str]:
    """Every metric that a rule or a panel reads."""
    asked = {"postgres": ["p"], "redis": ["r"], "mongodb": ["m"]}
    exprs = [rule.expr for rule in active(RULES, asked, Alerts())]
    read = {name for one in exprs for name in expr.metrics(one)}
    for panel in (panel for found in grafana.panels().values() for panel in found):
        for query in panel["queries"].values():
            assert query.count("{") == query.count('stack="$stack"}'), query
            read |= set(re.findall(r"(\w+)\{", query))
    return read


def test_the_real_exporters_serve_what_is_read_of_redis_and_postgres() -> None:
    """Names as scraped from redis_exporter 1.69 and postgres_exporter 0.17.1; what these serve on
    request, or after an error only is named here, and `test_metrics_…` compares it."""
    served = {
        line.split()[0]
        for name in ("redis", "postgres")
        for line in (ROOT / f"tests/data/metrics/{name}.txt").read_text().splitlines()
    }
    on_request = {"pg_database_wraparound_age_datfrozenxid_seconds", "redis_errors_total"}
    read = {name for name in used() if name.startswith(("redis_", "pg_"))}
    assert read - served == on_request
