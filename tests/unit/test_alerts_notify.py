"""Who is told what, and when: gathered, repeated, resolved, tried again; never twice."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from mngdb.alerts.catalogue import RULES
from mngdb.alerts.evaluator import Alert
from mngdb.alerts.notify import Message, Notifier
from mngdb.alerts.rules import active
from mngdb.errors import MngdbError
from mngdb.spec.alerts import Alerts, Channel, Severity

ACTIVE = active(RULES, {"redis": ["redis"], "postgres": ["postgres"]}, Alerts())


def alert(name: str, severity: Severity = "critical", **labels: str) -> Alert:
    kept = tuple(sorted(labels.items()))
    return Alert(name, severity, "firing", kept, 0.0, 1.0, f"{name}!", "look", "book#x")


class Desk:
    """Notifies a channel that keeps what it is told, in rounds whose time the test says."""

    def __init__(self, channels: dict[str, Any] | None = None, known: Any = None) -> None:
        asked = Alerts.model_validate(
            {
                "channels": channels or {"hook": "webhook"},
                "group": "30s",
                "repeat": "4h",
            }
        )
        self.told: list[tuple[str, Message]] = []
        self.fail = ""
        self.notifier = Notifier("mng", asked, ACTIVE, self._send, known)

    def _send(self, name: str, _: Channel, message: Message) -> None:
        if self.fail:
            raise MngdbError(self.fail)
        self.told.append((name, message))

    def round(self, now: float, *alerts: Alert) -> list[str]:
        """A round, and the one that takes note of what was sent in it."""
        errors = self.notifier.tick(now, alerts)
        self._settled()
        return errors + self.notifier.tick(now, alerts)

    def _settled(self) -> None:
        end = time.monotonic() + 60
        while any(
            memory.sending is not None and not memory.sending[1].done()
            for memory in self.notifier._memory.values()
        ):
            assert time.monotonic() < end
            time.sleep(0.001)

    def names(self) -> list[tuple[list[str], list[str]]]:
        """What each message told: firing and resolved."""
        return [([a.name for a in m.firing], [a.name for a in m.resolved]) for _, m in self.told]


DOWN = alert("RedisDown", instance="redis")
DISK = alert("HostDiskFull", path="/data")


def test_alerts_are_gathered_and_told_together_once() -> None:
    desk = Desk()
    desk.round(0, DOWN)
    desk.round(15, DOWN, DISK)
    assert desk.told == []
    for at in range(30, 600, 15):
        desk.round(at, DOWN, DISK)
    assert desk.names() == [(["RedisDown", "HostDiskFull"], [])]


def test_what_is_over_before_it_was_told_is_not_told() -> None:
    desk = Desk()
    desk.round(0, DOWN)
    for at in range(15, 600, 15):
        desk.round(at)
    assert desk.told == []


def test_the_end_is_told() -> None:
    desk = Desk()
    for at, alerts in ((0, [DOWN]), (30, [DOWN]), (60, []), (75, []), (90, []), (105, [])):
        desk.round(at, *alerts)
    assert desk.names() == [(["RedisDown"], []), ([], ["RedisDown"])]
    assert desk.told[1][1].resolved[0].state == "resolved"


def test_what_still_fires_is_told_again_after_a_while() -> None:
    desk = Desk()
    for at in range(0, 9 * 3600, 60):
        desk.round(at, DOWN)
    assert len(desk.told) == 3


def test_a_message_that_did_not_go_out_is_tried_again_ever_more_slowly() -> None:
    desk = Desk()
    desk.fail = "the server is away"
    tries = []
    for at in range(0, 900, 5):
        errors = desk.round(at, DOWN)
        tries += [at] if errors else []
        assert all("the server is away; " in error for error in errors)
    assert tries == [30, 40, 60, 100, 180, 340, 660]
    desk.fail = ""
    desk.round(1300, DOWN)
    desk.round(1320, DOWN)
    assert desk.names() == [(["RedisDown"], [])]
    values = {s.name: s.value for f in desk.notifier.families() for s in f.samples}
    assert values == {
        "mngdb_notifications_total": 1,
        "mngdb_notifications_failed_total": len(tries),
    }


def test_one_channel_that_fails_does_not_hold_up_the_others() -> None:
    desk = Desk({"a": "webhook", "b": "webhook"})
    whole: Callable[..., None] = desk._send

    def send(name: str, channel: Channel, message: Message) -> None:
        if name == "a":
            raise MngdbError("no")
        whole(name, channel, message)

    desk.notifier._send = send
    desk.round(0, DOWN)
    assert desk.round(30, DOWN) == ["channel a: no; retrying in 10 s"]
    assert [name for name, _ in desk.told] == ["b"]


def test_a_restart_neither_forgets_nor_repeats() -> None:
    first = Desk()
    first.round(0, DOWN)
    first.round(30, DOWN)
    kept = json.loads(json.dumps(first.notifier.as_json()))
    second = Desk(known=kept)
    for at in range(45, 300, 15):
        second.round(at, DOWN)
    assert second.told == []
    second.round(300)
    second.round(330)
    assert second.names() == [([], ["RedisDown"])]


def test_a_clock_that_is_set_back_holds_nothing_up() -> None:
    desk = Desk()
    desk.round(100_000, DOWN)
    desk.round(0, DOWN, DISK)
    desk.round(30, DOWN, DISK)
    assert desk.names() == [(["RedisDown", "HostDiskFull"], [])]
    later = Desk(known=json.loads(json.dumps(desk.notifier.as_json())))
    later.round(-100_000, DOWN, DISK)
    later.round(-100_000 + 4 * 3600, DOWN, DISK)  # `repeat`
    later.round(-100_000 + 4 * 3600 + 30, DOWN, DISK)
    assert len(later.told) == 1


def test_each_channel_is_told_from_its_severity_on() -> None:
    desk = Desk(
        {"duty": "pagerduty", "team": "slack", "all": {"kind": "webhook", "severity": "info"}}
    )
    alerts = [DOWN, alert("HostCpuHigh", "warning"), alert("SecretOld", "info", secret="x")]
    desk.round(0, *alerts)
    desk.round(30, *alerts)
    told = {name: [a.name for a in message.firing] for name, message in desk.told}
    assert told == {
        "duty": ["RedisDown"],
        "team": ["RedisDown", "HostCpuHigh"],
        "all": ["RedisDown", "HostCpuHigh", "SecretOld"],
    }


@pytest.mark.parametrize(
    ("hidden", "by"),
    [
        (alert("RedisHighMemory", "warning", instance="redis"), DOWN),
        (
            alert("HostDiskHigh", "warning", path="/data", instance="mng"),
            alert("HostDiskFull", path="/data", instance="mng"),
        ),
        (
            alert("PostgresConnectionsHigh", "warning", instance="postgres"),
            alert("PostgresConnectionsExhausted", instance="postgres"),
        ),
    ],
)
def test_what_something_worse_says_already_is_not_told(hidden: Alert, by: Alert) -> None:
    desk = Desk()
    desk.round(0, hidden, by)
    desk.round(30, hidden, by)
    assert desk.names() == [([by.name], [])]
    # when the worse one is over, the milder one is told with it
    desk.round(60, hidden)
    desk.round(90, hidden)
    assert desk.names()[1] == ([hidden.name], [by.name])


def test_what_is_about_something_else_is_told() -> None:
    desk = Desk()
    alerts = [DOWN, alert("RedisHighMemory", "warning", instance="queue"), DISK]
    alerts.append(alert("HostDiskHigh", "warning", path="/other"))
    desk.round(0, *alerts)
    desk.round(30, *alerts)
    assert len(desk.told[0][1].firing) == 4
