"""The rules and the scrape configuration as Prometheus reads them.

Instances of two stacks may have the same names. The label `stack` tells them apart, in what is
scraped, in what a rule looks at and in what fires: one Prometheus may have any number of stacks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import yaml
from msgspec import Struct

from mngdb.alerts.expr import duration, narrowed
from mngdb.alerts.rules import Active

#: How often everything is measured and judged, in seconds.
INTERVAL = 15
#: The label that names a stack.
STACK = "stack"


class Scrape(Struct, frozen=True):
    """An exporter: whom it measures and where it is."""

    job: str
    """The engine, or `mngdb` for the agent's own metrics."""
    instance: str
    address: str
    """HOST:PORT as Prometheus reaches it."""
    path: str = "/metrics"
    member: str = ""
    """The server of the instance; empty: the agent."""


def rules(active: Iterable[Active], stack: str) -> str:
    """A file of rules on the series of a stack."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for one in active:
        rule: dict[str, Any] = {
            "alert": one.name,
            "expr": narrowed(one.expr, STACK, stack).promql(),
        }
        if one.wait:
            rule["for"] = duration(one.wait)
        rule["labels"] = {"severity": one.severity, STACK: stack}
        rule["annotations"] = {
            "summary": _template(one.rule.summary),
            "description": _template(one.rule.description),
            "runbook_url": one.runbook,
        }
        groups.setdefault(one.rule.subject, []).append(rule)
    return dump({"groups": [{"name": f"{stack}-{k}", "rules": v} for k, v in groups.items()]})


def configuration(
    scrapes: Sequence[Scrape], stack: str, alertmanager: str | None, rule_file: str
) -> str:
    """prometheus.yml. `alertmanager` is HOST:PORT."""
    jobs: dict[str, list[dict[str, Any]]] = {}
    for scrape in scrapes:
        labels = {STACK: stack, "job": scrape.job, "instance": scrape.instance}
        if scrape.member:
            labels["member"] = scrape.member
        if scrape.path != "/metrics":
            labels["__metrics_path__"] = scrape.path
        jobs.setdefault(scrape.job, []).append({"targets": [scrape.address], "labels": labels})
    document: dict[str, Any] = {
        "global": {
            "scrape_interval": f"{INTERVAL}s",
            "scrape_timeout": "10s",
            "evaluation_interval": f"{INTERVAL}s",
        },
        "rule_files": [rule_file],
    }
    if alertmanager:
        document["alerting"] = {
            "alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]
        }
    document["scrape_configs"] = [
        {
            # unique in a file that has several stacks; the label is the job alone
            "job_name": f"{stack}-{job}",
            # the agent says itself which instance a backup or a certificate is of
            **({"honor_labels": True} if job == "mngdb" else {}),
            "static_configs": targets,
        }
        for job, targets in jobs.items()
    ]
    return dump(document)


def dump(document: object) -> str:
    """YAML that Go's readers read as it is meant."""
    made: str = yaml.safe_dump(document, sort_keys=False, width=1000, allow_unicode=True)
    return made


def _template(text: str) -> str:
    return re.sub(r"\{(\w+)\}", r"{{ $labels.\1 }}", text)
