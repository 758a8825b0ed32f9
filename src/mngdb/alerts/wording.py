"""How a message reads: one line, a text, and why one could not be sent."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from mngdb.alerts.evaluator import Alert
from mngdb.alerts.notify import Message

#: What a library's words mean, where its own sentence would quote an address.
_REASONS = (
    (r"certificate verify failed|CERTIFICATE_VERIFY_FAILED", "its certificate is not trusted"),
    (r"timed out|Read timeout", "it timed out"),
    (
        r"Name or service not known|name resolution|getaddrinfo|No address",
        "its name cannot be resolved",
    ),
    (r"Connection refused", "the connection was refused"),
    (r"No route to host|Network is unreachable", "it is unreachable"),
)


def title(message: Message) -> str:
    """One line: what it is about."""
    counts = []
    if message.firing:
        counts.append(f"{len(message.firing)} firing")
    if message.resolved:
        counts.append(f"{len(message.resolved)} resolved")
    names = dict.fromkeys(alert.name for alert in (*message.firing, *message.resolved))
    return f"[{message.stack}] {', '.join(counts)}: {', '.join(names)}"


def text(message: Message) -> str:
    """Everything a person needs at three in the morning."""
    told = [_one(alert, message.timezone) for alert in (*message.firing, *message.resolved)]
    return "\n\n".join(told)


def _one(alert: Alert, zone: str) -> str:
    head = "RESOLVED" if alert.state == "resolved" else alert.severity.upper()
    lines = [f"{head} {alert.name}: {alert.summary}", f"  since {_local(alert.since, zone)}"]
    if alert.state != "resolved":
        lines[1] += f", value {alert.value:.6g}"
        lines += [f"  {alert.description}", f"  {alert.runbook}"]
    return "\n".join(lines)


def utc(at: float) -> str:
    """A moment as RFC 3339 has it, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _local(at: float, zone: str) -> str:
    if zone == "UTC":
        return utc(at)
    return f"{datetime.fromtimestamp(at, ZoneInfo(zone)):%Y-%m-%d %H:%M:%S %Z}"


def reason(said: str) -> str:
    """What a library says of a failure, without its words, which may quote an address."""
    for pattern, words in _REASONS:
        if re.search(pattern, said, re.IGNORECASE):
            return words
    smtp = re.search(r"\((\d{3}), b?['\"]", said)
    if smtp:
        return f"SMTP status {smtp[1]}" + (", the login is wrong" if smtp[1] == "535" else "")
    return "the connection failed"
