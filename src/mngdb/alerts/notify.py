"""Who is told of what, and when: level by level, so that nothing is forgotten or said twice.

A channel's memory is what it was told last. Each round compares it with what fires now; what
differs is gathered for a while, then told in one message. Only a message that went out changes the
memory, so a failure, a restart or a crash in between leads to another try.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from mngdb.alerts.evaluator import Alert, Key, restored
from mngdb.alerts.rules import SAME, SEVERITIES, Active
from mngdb.errors import MngdbError
from mngdb.samples import Family, Sample
from mngdb.spec.alerts import Alerts, Channel

#: Seconds until a message that did not go out is tried again: the first time, and at most.
_RETRY, _RETRY_MOST = 10.0, 600.0


class Message(Struct, frozen=True):
    """What a channel is told at once."""

    stack: str
    firing: tuple[Alert, ...]
    resolved: tuple[Alert, ...] = ()
    fresh: frozenset[Key] = frozenset()
    """Which of the firing ones were not told before, or long ago."""
    timezone: str = "UTC"
    """Of the times that people read."""


#: Tells a channel. Raises MngdbError with the reason, without a secret.
Send = Callable[[str, Channel, Message], None]


class _Memory(Struct):
    """What a channel was told, and how that went."""

    told: dict[Key, tuple[Alert, float]] = field(default_factory=dict)
    """Alert and when it was told, in seconds since the epoch."""
    differs_since: float | None = None
    failures: int = 0
    """In a row."""
    not_before: float = 0.0
    sent: int = 0
    failed: int = 0
    error: str = ""
    sending: tuple[Message, Future[None], float] | None = None


class Notifier:
    """Tells the channels. `tick` never waits: messages go out on threads of their own."""

    def __init__(
        self,
        stack: str,
        asked: Alerts,
        rules: Iterable[Active],
        send: Send,
        known: Mapping[str, Any] | None = None,
    ) -> None:
        """`known` is what `as_json` gave an earlier process. Raises KeyError, TypeError."""
        self._stack = stack
        self._channels = asked.channels
        self._group = asked.group.total_seconds()
        self._repeat = asked.repeat.total_seconds()
        self._rules = {one.name: one.rule for one in rules}
        self._send = send
        self._memory = {name: _Memory() for name in asked.channels}
        self._now = math.inf
        self._pool = ThreadPoolExecutor(max(1, len(asked.channels)), "mngdb-notify")
        for name, found in (known or {}).items():
            if name in self._memory:
                self._memory[name].told = {
                    alert.key: (alert, float(one["told"]))
                    for one in found
                    for alert in (restored(one["alert"]),)
                }

    def tick(self, now: float, alerts: Iterable[Alert]) -> list[str]:
        """Compare, and tell what is due. Returns what went wrong since the last time, a sentence
        each."""
        if now < self._now:
            self._set_back(now)
        self._now = now
        firing = [alert for alert in alerts if alert.state == "firing"]
        shown = [alert for alert in firing if not self._hidden(alert, firing)]
        errors = []
        for name, channel in self._channels.items():
            memory = self._memory[name]
            if memory.sending is not None and memory.sending[1].done():
                error = self._sent(memory, now)
                errors += [f"channel {name}: {error}"] if error else []
            if memory.sending is None:
                self._due(name, channel, now, firing, shown)
        return errors

    def _set_back(self, now: float) -> None:
        """The clock was: nothing is waited for until it is again as late as it was."""
        for memory in self._memory.values():
            memory.not_before = min(memory.not_before, now + _RETRY_MOST)
            memory.told = {k: (alert, min(at, now)) for k, (alert, at) in memory.told.items()}
            if memory.differs_since is not None:
                memory.differs_since = min(memory.differs_since, now)

    def _due(
        self, name: str, channel: Channel, now: float, firing: list[Alert], shown: list[Alert]
    ) -> None:
        memory = self._memory[name]
        least = SEVERITIES.index(channel.least)
        wanted = [a for a in shown if SEVERITIES.index(a.severity) >= least]
        there = {alert.key for alert in firing}
        fresh = {
            alert.key
            for alert in wanted
            if alert.key not in memory.told or now - memory.told[alert.key][1] >= self._repeat
        }
        over = [alert for key, (alert, _) in memory.told.items() if key not in there]
        if not fresh and not over:
            memory.differs_since = None
            return
        if memory.differs_since is None:
            memory.differs_since = now
        if now - memory.differs_since < self._group or now < memory.not_before:
            return
        message = Message(
            self._stack,
            tuple(wanted),
            tuple(replace(alert, state="resolved") for alert in over),
            frozenset(fresh),
        )
        memory.sending = (message, self._pool.submit(self._send, name, channel, message), now)

    def _sent(self, memory: _Memory, now: float) -> str:
        """Take note of how a message went; returns the error, if there was one."""
        if memory.sending is None:
            return ""
        message, future, begun = memory.sending
        memory.sending = None
        try:
            future.result()
        except MngdbError as error:
            memory.failures += 1
            memory.failed += 1
            pause = min(_RETRY * 2 ** min(memory.failures - 1, 16), _RETRY_MOST)
            memory.not_before = now + pause
            memory.error = error.message
            return f"{error.message}; retrying in {pause:.0f} s"
        memory.failures, memory.sent, memory.error = 0, memory.sent + 1, ""
        memory.differs_since = None
        for alert in message.resolved:
            memory.told.pop(alert.key, None)
        for alert in message.firing:
            memory.told[alert.key] = (alert, begun)
        return ""

    def _hidden(self, alert: Alert, firing: list[Alert]) -> bool:
        """Whether something worse says it already."""
        for other in firing:
            rule = self._rules.get(other.name)
            if rule is None or other is alert:
                continue
            if rule.down and alert.severity != "critical" and alert.instance == other.instance:
                return True
            if rule.covers == alert.name and _same(alert) == _same(other):
                return True
        return False

    def close(self, now: float, timeout: float) -> None:
        """Wait for what is being sent, `timeout` seconds at most, and take note of it."""
        busy = [memory for memory in self._memory.values() if memory.sending is not None]
        wait([memory.sending[1] for memory in busy if memory.sending], timeout)
        for memory in busy:
            if memory.sending is not None and memory.sending[1].done():
                self._sent(memory, now)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def families(self) -> list[Family]:
        """How many messages went out, and how many did not."""
        return [
            Family(
                name,
                "counter",
                text,
                [
                    Sample(name, (("channel", channel),), float(getattr(memory, attribute)))
                    for channel, memory in self._memory.items()
                ],
            )
            for name, attribute, text in (
                ("mngdb_notifications_total", "sent", "Messages that a channel took"),
                ("mngdb_notifications_failed_total", "failed", "Messages that it did not take"),
            )
        ]

    def as_json(self) -> dict[str, Any]:
        """What each channel was told, for the next process."""
        return {
            name: [{"alert": alert.as_json(), "told": told} for alert, told in memory.told.values()]
            for name, memory in self._memory.items()
        }


def _same(alert: Alert) -> Sequence[str]:
    labels = dict(alert.labels)
    return [labels.get(name, "") for name in SAME]
