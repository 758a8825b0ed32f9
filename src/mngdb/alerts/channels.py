"""Sends a message to a channel, through apprise; webhooks in the form of Alertmanager's own.

Neither a secret nor an address that holds one gets into an error: libraries like to quote them.
Imported only where a message is sent: apprise takes its time and memory.
"""

from __future__ import annotations

import logging
import re
import threading
from datetime import UTC, datetime
from typing import Any

import requests
from apprise import AppriseAsset, NotifyFormat, NotifyType
from apprise.exception import AppriseException
from apprise.plugins.base import NotifyBase
from apprise.plugins.email import NotifyEmail
from apprise.plugins.pagerduty import NotifyPagerDuty
from apprise.plugins.slack import NotifySlack

from mngdb.alerts.evaluator import Alert
from mngdb.alerts.notify import Message
from mngdb.errors import MngdbError, UsageError
from mngdb.secret import Secret
from mngdb.spec.alerts import Channel, secret_of

#: Seconds that a server has for an answer.
_TIMEOUT = 10
_MODES = {None: "starttls", "starttls": "starttls", "tls": "ssl", "none": "insecure"}
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


def send(name: str, channel: Channel, secret: Secret | None, message: Message) -> None:
    """Tell the channel. Raises MngdbError with the reason; what it took, it took."""
    if channel.needs_secret and secret is None:
        raise UsageError(
            f"the secret {secret_of(name)} is missing", f"mngdb secret set {secret_of(name)}"
        )
    value = secret.reveal() if secret else ""
    try:
        if channel.kind == "email":
            _mail(channel, value or None, message)
        elif channel.kind == "slack":
            _slack(name, value, message)
        elif channel.kind == "pagerduty":
            _pagerduty(value, message)
        else:
            _webhook(name, value, message)
    except AppriseException:
        # its text quotes what it was given
        raise UsageError(
            f"the channel {name} does not accept these addresses or this secret",
            f"mngdb secret set {secret_of(name)}",
        ) from None


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
    told = [_one(alert) for alert in (*message.firing, *message.resolved)]
    return "\n\n".join(told)


def _one(alert: Alert) -> str:
    head = "RESOLVED" if alert.state == "resolved" else alert.severity.upper()
    lines = [f"{head} {alert.name}: {alert.summary}", f"  since {_time(alert.since)}"]
    if alert.state != "resolved":
        lines[1] += f", value {alert.value:.6g}"
        lines += [f"  {alert.description}", f"  {alert.runbook}"]
    return "\n".join(lines)


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _mail(channel: Channel, password: str | None, message: Message) -> None:
    plugin = NotifyEmail(  # type: ignore[no-untyped-call]
        host=channel.host,
        smtp_host=channel.host,
        port=channel.smtp_port,
        user=channel.user,
        password=password,
        from_addr=channel.from_,
        targets=list(dict.fromkeys(channel.to or ())),
        secure_mode=_MODES[channel.encryption],
        format=NotifyFormat.TEXT,
        asset=_asset(),
    )
    if len(plugin.targets) != len(set(channel.to or ())):
        raise MngdbError(f"some of the addresses {', '.join(channel.to or ())} cannot be used")
    _tell(plugin, title(message), text(message), _kind(message), f"{channel.host}")


def _slack(name: str, url: str, message: Message) -> None:
    found = NotifySlack.parse_native_url(url)  # type: ignore[no-untyped-call]
    if found is None:
        raise UsageError(
            f"the secret {secret_of(name)} is not a Slack webhook URL "
            "(https://hooks.slack.com/services/…)",
            f"mngdb secret set {secret_of(name)}",
        )
    plugin = NotifySlack(**found, asset=_asset())  # type: ignore[no-untyped-call]
    _tell(plugin, title(message), text(message), _kind(message), "Slack")


def _pagerduty(key: str, message: Message) -> None:
    """An incident for each alert; it is resolved by the key that it was made with."""
    for alert in (*(a for a in message.firing if a.key in message.fresh), *message.resolved):
        over = alert.state == "resolved"
        labels = ",".join(f"{name}={value}" for name, value in alert.labels)
        plugin = NotifyPagerDuty(
            apikey=key,
            integrationkey=key,
            source=f"{message.stack}/{alert.instance or 'mngdb'}",
            component=alert.name,
            severity=alert.severity,
            action="resolve" if over else "trigger",
            dedup=f"{message.stack}/{alert.name}/{labels}"[:255],
            include_image=False,
            asset=_asset(),
        )
        kind = NotifyType.SUCCESS if over else NotifyType.FAILURE
        _tell(plugin, "", f"{alert.summary} ({alert.runbook})", kind, "PagerDuty")


def _webhook(name: str, url: str, message: Message) -> None:
    """https://prometheus.io/docs/alerting/latest/configuration/#webhook_config"""
    if not re.match(r"https?://[^/]", url):
        raise UsageError(
            f"the secret {secret_of(name)} is not an HTTP URL",
            f"mngdb secret set {secret_of(name)}",
        )
    document = {
        "version": "4",
        "receiver": name,
        "status": "firing" if message.firing else "resolved",
        "groupLabels": {"stack": message.stack},
        "alerts": [_json(message.stack, alert) for alert in (*message.firing, *message.resolved)],
    }
    try:
        answer = requests.post(url, json=document, timeout=_TIMEOUT, allow_redirects=False)
    except requests.RequestException as error:
        raise MngdbError(f"the webhook cannot be reached: {_reason(str(error))}") from None
    if not 200 <= answer.status_code < 300:
        raise MngdbError(f"the webhook returned HTTP status {answer.status_code}")


def _json(stack: str, alert: Alert) -> dict[str, Any]:
    over = alert.state == "resolved"
    return {
        "status": "resolved" if over else "firing",
        "labels": {
            **dict(alert.labels),
            "stack": stack,
            "alertname": alert.name,
            "severity": alert.severity,
        },
        "annotations": {
            "summary": alert.summary,
            "description": alert.description,
            "runbook_url": alert.runbook,
        },
        "startsAt": _time(alert.since),
        **({"endsAt": _time(datetime.now(UTC).timestamp())} if over else {}),
    }


def _kind(message: Message) -> NotifyType:
    return NotifyType.FAILURE if message.firing else NotifyType.SUCCESS


def _asset() -> AppriseAsset:
    return AppriseAsset(app_id="mngdb", app_desc="mngdb", async_mode=False)


def _tell(plugin: NotifyBase, title: str, body: str, kind: NotifyType, whom: str) -> None:
    """Send through a plugin; what it says in its log is the reason when it fails."""
    with _Listener() as heard:
        done = plugin.notify(body=body, title=title, notify_type=kind)
    if not done:
        raise MngdbError(f"could not notify {whom}: {heard.reason()}")


class _Listener(logging.Handler):
    """What apprise says on this thread, kept from every other log: it quotes what it sends."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self._thread = threading.get_ident()
        self._said: list[str] = []

    def __enter__(self) -> _Listener:
        logger = logging.getLogger("apprise")
        logger.propagate = False
        logger.setLevel(logging.DEBUG)
        logger.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("apprise").removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self._said.append(record.getMessage())

    def reason(self) -> str:
        """The cause in a few words."""
        for said in reversed(self._said):
            if said.startswith("Socket Exception"):
                return _reason(said)
            code = re.search(r"error=(\d{3})", said)
            if code:
                return f"HTTP status {code[1]}"
        return "no reason given"


def _reason(said: str) -> str:
    for pattern, words in _REASONS:
        if re.search(pattern, said, re.IGNORECASE):
            return words
    smtp = re.search(r"\((\d{3}), b?['\"]", said)
    if smtp:
        return f"SMTP status {smtp[1]}" + (", the login is wrong" if smtp[1] == "535" else "")
    return "the connection failed"
