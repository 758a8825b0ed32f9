"""What a rule is, and which rules a stack has."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from mngdb.alerts.expr import Absent, Expr, duration, metric
from mngdb.data import values
from mngdb.errors import UsageError
from mngdb.spec.alerts import AlertRule, Alerts, Severity
from mngdb.spec.engine_info import ENGINE_INFO
from mngdb.spec.units import parse_duration
from mngdb.words import inert

#: What a rule is about: an engine, or host, backup, secrets, mngdb. Those of an engine belong to
#: stacks that have it.
Subject = str

#: From the least to the worst.
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "critical")
#: Labels that name the thing that a rule is about: what is worse there hides what is less bad.
SAME = ("instance", "datname", "path")
MINUTE = 60
#: Given the threshold; or a metric that has to be there for each instance.
Condition = Callable[[float], Expr] | str


class Rule(Struct, frozen=True):
    """One rule, before the file adjusts it.

    `{instance}` and other labels in `summary` are filled in from the series that fires.
    """

    name: str
    subject: Subject
    severity: Severity
    when: Condition
    threshold: float | None
    """What the file may change; None where there is nothing to change."""
    wait: int
    """Seconds that the condition has to hold before it is told (Prometheus: `for`)."""
    summary: str
    description: str
    """What it means and what to look at first."""
    source: str
    """The requirement or the manual that it comes from."""
    down: bool = False
    """Whether it says that a whole server is away: its instance's warnings are then not told."""
    agreed: str = ""
    """The promise of `backup:` that its threshold follows from: `rto`, `drill`, `point_in_time`."""
    covers: str = ""
    """The milder rule that need not be told while this one fires for the same thing."""
    commands: tuple[str, ...] = ()
    """What to run, in order; `{i}` is the instance. Empty: what its subject has in common."""

    @property
    def anchor(self) -> str:
        """Where the playbook tells of it."""
        return self.name.lower()


def described(module: str, conditions: Mapping[str, Condition]) -> tuple[Rule, ...]:
    """The rules of the YAML file beside `module`, a module's `__file__`, with their conditions by
    name. A rule is about the engine that the file is named after, unless it has a `subject`.

    Raises KeyError when one of both is missing."""
    texts: dict[str, dict[str, Any]] = values(module)
    if alone := texts.keys() ^ conditions.keys():
        raise KeyError(*alone)
    return tuple(
        Rule(
            name,
            text.get("subject", Path(module).stem),
            text["severity"],
            conditions[name],
            _number(text.get("threshold")),
            _seconds(text.get("for", 0)),
            text["summary"],
            text["description"],
            text["source"],
            text.get("down", False),
            text.get("agreed", ""),
            text.get("covers", ""),
            tuple(text.get("commands", ())),
        )
        for name, text in texts.items()
    )


def _number(threshold: float | str | None) -> float | None:
    return _seconds(threshold) if isinstance(threshold, str) else threshold


def _seconds(text: object) -> int:
    return int(parse_duration(text).total_seconds())


class Active(Struct, frozen=True):
    """A rule as a stack has it: threshold, `for` and severity may be the file's."""

    rule: Rule
    expr: Expr
    severity: Severity
    wait: int
    threshold: float | None
    runbook: str

    @property
    def name(self) -> str:
        """The rule's name."""
        return self.rule.name

    def as_json(self) -> dict[str, object]:
        """The rule as `alerts rules --json` shows it."""
        return {
            "name": self.name,
            "subject": self.rule.subject,
            "severity": self.severity,
            "expression": self.expr.promql(),
            "threshold": self.threshold,
            "for": duration(self.wait),
            "summary": self.rule.summary,
            "description": self.rule.description,
            "source": self.rule.source,
            "runbook": self.runbook,
        }


def filled(text: str, labels: Mapping[str, str]) -> str:
    """A summary with the labels of what fires, which apps may have chosen; as in Prometheus, one
    that is missing is empty."""
    return text.format_map(defaultdict(str, {name: inert(one) for name, one in labels.items()}))


def active(
    rules: Iterable[Rule],
    instances: Mapping[str, Sequence[str]],
    asked: Alerts,
    agreed: Mapping[str, float] | None = None,
) -> list[Active]:
    """The rules of a stack, as its file adjusts them. `instances` are the names by engine,
    `agreed` has what the file promises, by name (`Rule.agreed`).

    Raises UsageError when a threshold is set where there is none."""
    found = []
    for rule in rules:
        own = rule.subject not in ENGINE_INFO
        change = asked.rules.get(rule.name, AlertRule())
        if change.threshold is not None and rule.threshold is None:
            raise UsageError(
                f"the rule {rule.name} has no threshold", "set its 'for' or 'severity', or false"
            )
        if not change.enabled or not (own or instances.get(rule.subject)):
            continue
        threshold = change.threshold
        if threshold is None:
            threshold = (agreed or {}).get(rule.agreed, rule.threshold)
        wait = rule.wait if change.for_ is None else int(change.for_.total_seconds())
        names = instances.get(rule.subject, ())
        found.append(
            Active(
                rule,
                _expr(rule, threshold, names),
                change.severity or rule.severity,
                wait,
                threshold,
                f"{asked.runbook}#{rule.anchor}",
            )
        )
    return found


def _expr(rule: Rule, threshold: float | None, instances: Sequence[str]) -> Expr:
    if not isinstance(rule.when, str):
        return rule.when(threshold or 0.0)
    found: Expr | None = None
    for name in instances:
        gone = Absent(metric(rule.when, instance=name))
        found = gone if found is None else found.otherwise(gone)
    return found or Absent(metric(rule.when))
