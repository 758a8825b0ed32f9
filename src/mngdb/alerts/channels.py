"""Sends a message to a channel, through apprise; webhooks by `webhook`.

Neither a secret nor an address that holds one gets into an error: libraries like to quote them.
Imported only where a message is sent: apprise takes its time and memory.
"""

from __future__ import annotations

import logging
import re
import threading

from apprise import AppriseAsset, NotifyFormat, NotifyType
from apprise.exception import AppriseException
from apprise.plugins.base import NotifyBase
from apprise.plugins.email import NotifyEmail
from apprise.plugins.pagerduty import NotifyPagerDuty
from apprise.plugins.slack import NotifySlack

from mngdb.alerts import webhook
from mngdb.alerts.notify import Message
from mngdb.alerts.wording import reason, text, title
from mngdb.errors import MngdbError, UsageError
from mngdb.secret import Secret
from mngdb.spec.alerts import Channel, secret_of

_MODES = {None: "starttls", "starttls": "starttls", "tls": "ssl", "none": "insecure"}


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
            webhook.send(name, channel, value, message)
    except AppriseException:
        # its text quotes what it was given
        raise UsageError(
            f"the channel {name} does not accept these addresses or this secret",
            f"mngdb secret set {secret_of(name)}",
        ) from None


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
                return reason(said)
            code = re.search(r"error=(\d{3})", said)
            if code:
                return f"HTTP status {code[1]}"
        return "no reason given"
