"""Each rule in a case that fires and in one that does not: judged by promtool and by us."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mngdb.alerts import prometheus
from mngdb.alerts.catalogue import RULES
from mngdb.alerts.evaluator import Alert, Evaluator
from mngdb.alerts.rules import Active, active
from mngdb.samples import Family, Sample
from mngdb.spec.alerts import Alerts
from tests.trixie import program
from tests.unit.alert_cases import CASES, Series

INSTANCES = {"postgres": ["postgres"], "redis": ["redis"], "mongodb": ["mongodb"]}
#: Seconds between rounds. No window is a multiple of it: Prometheus 2 and 3 differ in whether a
#: window has its first moment.
STEP = 70
ACTIVE = active(RULES, INSTANCES, Alerts())


def one(name: str) -> Active:
    return next(rule for rule in ACTIVE if rule.name == name)


def values(text: str) -> Iterator[float | None]:
    """promtool's notation, round by round; None is no sample."""
    for word in text.split():
        match = re.fullmatch(r"(-?[\d.]+)(?:([+-][\d.]+))?(?:x(\d+))?", word)
        if match is None:
            assert word in ("_", "stale"), word
            yield None
            continue
        for step in range(int(match[3] or 0) + 1):
            yield float(match[1]) + step * float(match[2] or 0)


def rounds(series: Series) -> list[list[Family]]:
    """The same series as our samples, one list of families a round."""
    told = {text: [*values(notation)] for text, notation in series.items()}
    # what ends with a mark is gone; the others are looked at as long as all of them last
    whole = [len(told[text]) for text, notation in series.items() if notation[-5:] != "stale"]
    found: list[list[Family]] = [[] for _ in range(min(whole, default=36))]
    for text in series:
        name, _, inside = text.partition("{")
        labels = tuple(re.findall(r'(\w+)="([^"]*)"', inside))
        for number, value in enumerate(told[text]):
            if value is not None and number < len(found):
                found[number].append(Family(name, "untyped", "", [Sample(name, labels, value)]))
    return found


def ours(rule: Active, series: Series) -> list[list[Alert]]:
    """What fires in each round, as we judge it."""
    evaluator = Evaluator([rule])
    found = []
    for number, families in enumerate(rounds(series)):
        evaluator.feed(float(number * STEP), families)
        found.append([alert for alert in evaluator.alerts if alert.state == "firing"])
    return found


def promtool(*arguments: str | Path) -> str:
    done = subprocess.run(
        [program("promtool"), *arguments], text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def annotated(rule: Active, alert: Alert) -> dict[str, str]:
    return {
        "summary": alert.summary,
        "description": alert.description,
        "runbook_url": alert.runbook,
    }


def test_every_rule_has_its_cases() -> None:
    assert list(CASES) == [rule.name for rule in RULES]


@pytest.mark.parametrize("name", CASES)
def test_it_fires_in_one_case_and_not_in_the_other(name: str) -> None:
    rule, case = one(name), CASES[name]
    fired = ours(rule, case.fires)
    assert any(fired)
    assert all(len(alerts) <= 1 for alerts in fired)
    assert [alert for at in ours(rule, case.quiet) for alert in at] == []


def test_promtool_takes_the_rules(tmp_path: Path) -> None:
    path = tmp_path / "rules.yml"
    path.write_text(prometheus.rules(ACTIVE, "mng"))
    assert f"SUCCESS: {len(RULES)} rules found" in promtool("check", "rules", path)


def scraped(series: Series, stack: str) -> list[dict[str, str]]:
    """What Prometheus has of a stack."""
    return [
        {"series": text.replace("{", f'{{stack="{stack}",'), "values": notation}
        for text, notation in series.items()
    ]


def test_prometheus_judges_each_round_of_each_case_as_we_do(tmp_path: Path) -> None:
    """Also beside another stack, whose servers have the same names and are as these are not."""
    files = []
    for name, case in CASES.items():
        rule, tests = one(name), []
        for series, others in (case, case[::-1]):
            checks = [
                {
                    "eval_time": f"{number * STEP}s",
                    "alertname": name,
                    "exp_alerts": [
                        {
                            "exp_labels": {
                                **dict(alert.labels),
                                "severity": alert.severity,
                                "stack": "mng",
                            },
                            "exp_annotations": annotated(rule, alert),
                        }
                        for alert in alerts
                    ],
                }
                for number, alerts in enumerate(ours(rule, series))
            ]
            tests.append(
                {
                    "interval": f"{STEP}s",
                    "input_series": scraped(series, "mng") + scraped(others, "other"),
                    "alert_rule_test": checks,
                }
            )
        # a file for each rule: promtool judges all rules of a file in all of its tests
        (tmp_path / f"{name}.rules.yml").write_text(prometheus.rules([rule], "mng"))
        document = {
            "rule_files": [f"{name}.rules.yml"],
            "evaluation_interval": f"{STEP}s",
            "tests": tests,
        }
        files.append(tmp_path / f"{name}.yml")
        files[-1].write_text(json.dumps(document))  # which is YAML, and quick
    assert promtool("test", "rules", *files).count("SUCCESS") == len(RULES)


def test_a_threshold_of_the_file_reaches_both(tmp_path: Path) -> None:
    asked = Alerts.model_validate(
        {"rules": {"RedisHighMemory": {"threshold": 0.5, "for": "0s", "severity": "critical"}}}
    )
    (rule,) = [r for r in active(RULES, INSTANCES, asked) if r.name == "RedisHighMemory"]
    assert "> 0.5" in rule.expr.promql()
    assert "for:" not in prometheus.rules([rule], "mng")
    assert any(
        ours(rule, {"redis_memory_used_bytes{}": "51x3", "redis_memory_max_bytes{}": "100x3"})
    )


def test_only_the_engines_of_the_stack_have_rules() -> None:
    found = {rule.rule.subject for rule in active(RULES, {"redis": ["redis"]}, Alerts())}
    assert found == {"redis", "host", "backup", "secrets", "mngdb"}


def test_an_exporter_that_is_gone_is_noticed_for_each_instance() -> None:
    rules = active(RULES, {"redis": ["redis", "queue"]}, Alerts())
    (rule,) = [rule for rule in rules if rule.name == "RedisExporterGone"]
    fired = ours(rule, {'redis_up{instance="redis",job="redis"}': "1x20"})
    assert {alert.instance for alert in fired[10]} == {"queue"}
