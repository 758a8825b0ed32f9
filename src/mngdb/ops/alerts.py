"""The alerts of a stack: its rules, and the rounds that the agent judges."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable

from msgspec.structs import replace

from mngdb.alerts import memory
from mngdb.alerts.catalogue import RULES
from mngdb.alerts.evaluator import Alert, Evaluator
from mngdb.alerts.notify import Message, Notifier
from mngdb.alerts.rules import Active, active
from mngdb.errors import UsageError
from mngdb.ops import told
from mngdb.ops.agent import AgentUnit
from mngdb.ops.context import Context
from mngdb.samples import Family
from mngdb.spec.alerts import Alerts as AlertsSpec
from mngdb.spec.alerts import Channel, secret_of
from mngdb.spec.engine_info import ENGINE_INFO
from mngdb.spec.stack import Instance

_FILE = "alerts.json"
#: A round is fresh for so many intervals, and some seconds for a machine that is busy.
_FRESH_ROUNDS, _FRESH_SECONDS = 3, 10.0
#: So many seconds that the clock makes by itself, between two rounds, are no drift: it was set, or
#: the machine slept.
_JUMP = 120.0


def measured(context: Context) -> list[Instance]:
    """The instances that somebody measures round by round: the agent, exporters beside containers,
    or exporters that people have themselves. Servers that somebody else runs are measured by them
    where the agent is not asked to."""
    return [
        instance
        for instance in context.stack.instances.values()
        if instance.monitored or instance.managed
    ]


def rules(context: Context, instances: Iterable[Instance] | None = None) -> list[Active]:
    """The rules for `instances` (default: those that are measured) and of the stack, as its file
    adjusts them. Raises UsageError."""
    found = every_rule(context, measured(context) if instances is None else instances)
    if context.stack.agent is not None:
        return found
    # nobody measures the machine, the units and the secrets: a rule that cannot fire is no comfort
    return [rule for rule in found if rule.rule.subject in ENGINE_INFO]


def every_rule(context: Context, instances: Iterable[Instance]) -> list[Active]:
    """The same with those of the stack that only an agent's measurements can fire."""
    names: dict[str, list[str]] = {}
    for instance in instances:
        names.setdefault(instance.engine, []).append(instance.name)
    backup = context.stack.backup
    agreed = {}
    if backup is not None:
        agreed = {
            "rto": backup.drill.rto.total_seconds(),
            "drill": 2 * backup.drill.every.total_seconds(),
            "point_in_time": backup.keep.point_in_time.total_seconds(),
        }
    return active(RULES, names, context.stack.source.alerts, agreed)


def thresholds(context: Context, names: Iterable[str]) -> dict[str, float]:
    """Rule to its threshold, as the file has it, also where nobody judges the rule."""
    asked = context.stack.source.alerts.rules
    found = {}
    for rule in RULES:
        if rule.name in names and rule.threshold is not None:
            change = asked.get(rule.name)
            given = change.threshold if change else None
            found[rule.name] = rule.threshold if given is None else given
    return found


class Alerts:
    """The agent's job: judges each round and tells the channels."""

    def __init__(self, context: Context) -> None:
        """Goes on from what an earlier process left. Raises UsageError, OSError."""
        self._context = context
        self._path = context.stack.state / _FILE
        found = memory.load(self._path)
        asked = context.stack.source.alerts
        chosen = rules(context)
        self.every = asked.every.total_seconds()
        self._damaged = found.damaged
        self._unkept = False
        self._clocks: tuple[float, float] | None = None
        self._evaluator = Evaluator(chosen, found.alerts, found.at)
        self._notifier = Notifier(context.stack.name, asked, chosen, self._send, found.told)

    @property
    def metrics(self) -> set[str]:
        """The names of all metrics that the rules read."""
        return self._evaluator.metrics

    def round(self, now: float, families: Iterable[Family]) -> list[str]:
        """Judge a round; `now` in seconds since the epoch. Samples have the labels `job`,
        `instance` and, of a server, `member`. Returns what is worth a line in the log."""
        jump = self._jump(now)
        if jump:
            self._evaluator.anew()
        events = self._evaluator.feed(now, families)
        alerts = self._evaluator.alerts
        errors = self._notifier.tick(now, alerts)
        errors += self._kept(now, alerts)
        said = [_line(event) for event in events if event.state != "pending"] + errors
        if self._damaged:
            self._damaged = False
            said.insert(
                0,
                f"{self._path} was damaged: the state of the alerts is reset, and "
                "notifications may repeat",
            )
        if jump:
            said.insert(0, f"the clock jumped by {jump:+.0f} s: pending alerts are reset")
        return said

    def _jump(self, now: float) -> float:
        """Seconds that the clock was set since the last round, if it was."""
        steady = time.monotonic()
        before, self._clocks = self._clocks, (now, steady)
        drift = (now - before[0]) - (steady - before[1]) if before else 0.0
        return drift if abs(drift) > _JUMP else 0.0

    def _kept(self, now: float, alerts: list[Alert]) -> list[str]:
        """Keep the round. Returns a sentence the first time that it cannot be kept: a full disk is
        what alerts are for, and judging and telling go on."""
        try:
            memory.save(self._path, now, alerts, self._notifier.as_json(), running=True)
        except OSError as error:
            told, self._unkept = self._unkept, True
            said = f"{self._path}: {error.strerror}; after a restart, notifications may repeat"
            return [] if told else [said]
        self._unkept = False
        return []

    def families(self) -> list[Family]:
        """How the telling goes, as metrics."""
        return self._notifier.families()

    def close(self, now: float) -> None:
        """Let messages that are under way arrive, for some seconds. Raises OSError."""
        self._notifier.close(now, 3.0)
        alerts = self._evaluator.alerts
        memory.save(self._path, now, alerts, self._notifier.as_json(), running=False)

    def _send(self, name: str, channel: Channel, message: Message) -> None:
        from mngdb.alerts.tell import tell

        context = self._context
        message = replace(message, timezone=context.stack.source.timezone)
        tell(name, channel, context.vault.get(secret_of(name)), message, context.environ)
        _noted(context, name)


def _line(alert: Alert) -> str:
    return f"{alert.state} {alert.severity} {alert.name}: {alert.summary}"


def judged(context: Context, at: float | None = None) -> tuple[Alert, ...] | None:
    """What was pending or fired in the agent's last round; None: nobody judges. Raises OSError."""
    unit = AgentUnit(context)
    process = unit.process()
    killed = process is None and unit.pidfile.exists()
    if killed or (process is not None and process.state() == "T"):
        return None
    at = time.time() if at is None else at
    found = memory.load(context.stack.state / _FILE)
    # one of a time to come was before the clock was set
    if found.running and abs(at - found.at) < fresh(context.stack.source.alerts):
        return found.alerts
    return None


def fresh(asked: AlertsSpec) -> float:
    """Seconds in which a round, or the first one of an agent that begins, has to be judged."""
    return _FRESH_ROUNDS * asked.every.total_seconds() + _FRESH_SECONDS


def test(context: Context, name: str) -> None:
    """Tell a channel that this is a test. Raises MngdbError with what failed."""
    from mngdb.alerts.channels import send

    channels = context.stack.source.alerts.channels
    if name not in channels:
        known = ", ".join(channels) or "none"
        raise UsageError(f"no channel named {name!r}", f"channels in the file: {known}")
    channel = channels[name]
    alert = Alert(
        name="Test",
        severity="critical",
        state="firing",
        labels=(),
        since=time.time(),
        value=1.0,
        summary="this is a test of the channel; no alert is firing",
        description="Sent by 'mngdb alerts test'.",
        runbook=context.stack.source.alerts.runbook,
    )
    message = Message(context.stack.name, (alert,), fresh=frozenset({alert.key}))
    message = replace(message, timezone=context.stack.source.timezone)
    send(name, channel, context.vault.get(secret_of(name)), message)
    _noted(context, name)


def _noted(context: Context, name: str) -> None:
    """A full disk keeps no alert from being told."""
    with contextlib.suppress(OSError):
        told.note(context, name)


def disabled(context: Context) -> tuple[str, ...]:
    """Rules that the file switches off, of those that the stack would have: `B18 RedisDown`."""
    asked = context.stack.source.alerts.rules
    off = {name for name, rule in asked.items() if not rule.enabled}
    subjects = {one.engine for one in measured(context)}
    return tuple(
        f"{rule.source} {rule.name}"
        for rule in RULES
        if rule.name in off and (rule.subject in subjects or rule.subject not in ENGINE_INFO)
    )
