"""The rules, judged round by round: what is pending, what fires, what is over."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from mngdb.alerts import expr
from mngdb.alerts.judge import History, Labels, judge
from mngdb.alerts.rules import SEVERITIES, Active, filled
from mngdb.samples import Family
from mngdb.spec.alerts import Severity

State = Literal["pending", "firing", "resolved"]
#: What the alert's own name and severity are kept by.
Key = tuple[str, Labels]
#: Seconds without a round after which a condition that was pending begins anew.
_FORGET_PENDING = 300.0


class Alert(Struct, frozen=True):
    """One thing that is wrong: a rule, and the series that it fires for."""

    name: str
    severity: Severity
    state: State
    labels: Labels
    since: float
    """When the condition began to hold, in seconds since the epoch."""
    value: float
    summary: str
    description: str
    runbook: str
    seen: float = 0.0
    """The last round that found it so, in seconds since the epoch: for a while after a restart, an
    alert is kept that no round finds."""

    @property
    def key(self) -> Key:
        """What makes it the same alert in the next round."""
        return self.name, self.labels

    @property
    def instance(self) -> str | None:
        """The instance that it is about, if any."""
        return dict(self.labels).get("instance")

    def as_json(self) -> dict[str, Any]:
        """The alert as `alerts --json` shows it; `restored` reads it."""
        return {
            "name": self.name,
            "severity": self.severity,
            "state": self.state,
            "instance": self.instance,
            "labels": dict(self.labels),
            "since": self.since,
            "seen": self.seen,
            # JSON has no infinity
            "value": self.value if abs(self.value) < float("inf") else None,
            "summary": self.summary,
            "description": self.description,
            "runbook": self.runbook,
        }


def restored(found: Mapping[str, Any]) -> Alert:
    """The alert that `as_json` wrote. Raises KeyError, TypeError."""
    return Alert(
        name=found["name"],
        severity=found["severity"],
        state=found["state"],
        labels=tuple(sorted(found["labels"].items())),
        since=float(found["since"]),
        value=float("nan") if found["value"] is None else float(found["value"]),
        summary=found["summary"],
        description=found["description"],
        runbook=found["runbook"],
        seen=float(found.get("seen", found["since"])),
    )


class Evaluator:
    """Judges `rules` on one round of samples after the other, as Prometheus would.

    Samples carry the labels `job` (the engine, or `mngdb`), `instance` and, of a server, `member`,
    as a scrape adds them.
    """

    def __init__(self, rules: Sequence[Active], known: Iterable[Alert] = (), at: float = 0) -> None:
        """`known` are the alerts of an earlier process, whose last round was `at`."""
        self.rules = rules
        self._known: dict[Key, Alert] = {alert.key: alert for alert in known}
        self._inherited: dict[Key, float] = {}
        self._last = at
        self._begun: float | None = None
        self._history = History()
        #: The names of all metrics that the rules read.
        self.metrics = {name for rule in rules for name in expr.metrics(rule.expr)}
        self._windows: dict[str, int] = {}
        for part in (part for rule in rules for part in rule.expr.walk()):
            if isinstance(part, expr.Change):
                longest = max(part.window, self._windows.get(part.of.name, 0))
                self._windows[part.of.name] = longest

    @property
    def alerts(self) -> list[Alert]:
        """What is pending or fires now; the worst and the oldest first."""
        return sorted(
            self._known.values(),
            key=lambda a: (a.state != "firing", -SEVERITIES.index(a.severity), a.since, a.key),
        )

    def feed(self, now: float, families: Iterable[Family]) -> list[Alert]:
        """Take a round and judge it. Returns what changed: alerts that are pending, that fire, or
        that are over, since this very round."""
        if self._begun is None:
            self._begin(now)
        self._history.take(now, families, self.metrics, self._windows)
        found: dict[Key, Alert] = {}
        for rule in self.rules:
            for labels, value in judge(rule.expr, self._history).items():
                alert = self._alert(rule, labels, value, now)
                found[alert.key] = alert
            # after a restart the past is missing: what was known stays until it is there again
            window = expr.window(rule.expr)
            for key, start in self._inherited.items():
                if key[0] == rule.name and key in self._known and now - start < window:
                    found.setdefault(key, self._known[key])
        events = [
            alert
            for key, alert in found.items()
            if key not in self._known or self._known[key].state != alert.state
        ]
        over = [a for key, a in self._known.items() if key not in found and a.state == "firing"]
        self._known = found
        self._last = now
        return events + [replace(alert, state="resolved") for alert in over]

    def anew(self) -> None:
        """What was measured before the next round is not of its time: what is pending waits anew,
        what fires goes on."""
        self._begun, self._last = None, -math.inf
        self._history = History()

    def _begin(self, now: float) -> None:
        if not 0 <= now - self._last <= _FORGET_PENDING:
            self._known = {
                key: replace(alert, since=min(alert.since, now))
                for key, alert in self._known.items()
                if alert.state == "firing"
            }
        # what the last process had kept itself is no truer by another restart
        self._inherited = {
            key: alert.seen if alert.seen < self._last else now
            for key, alert in self._known.items()
        }
        self._begun = now

    def _alert(self, rule: Active, labels: Labels, value: float, now: float) -> Alert:
        before = self._known.get((rule.name, labels))
        since = before.since if before else now
        firing = (before is not None and before.state == "firing") or now - since >= rule.wait
        return Alert(
            name=rule.name,
            severity=rule.severity,
            state="firing" if firing else "pending",
            labels=labels,
            since=since,
            value=value,
            summary=filled(rule.rule.summary, dict(labels)),
            description=filled(rule.rule.description, dict(labels)),
            runbook=rule.runbook,
            seen=now,
        )
