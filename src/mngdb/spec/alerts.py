"""The keys under `alerts`: which rules, and who is told."""

from __future__ import annotations

import re
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import ConfigDict, Field, model_validator

from mngdb.data import texts, values
from mngdb.spec.base import Model, Port, located
from mngdb.spec.names import PlainName
from mngdb.spec.problems import near
from mngdb.spec.units import Duration, Seconds

Severity = Literal["critical", "warning", "info"]
Kind = Literal["email", "slack", "pagerduty", "webhook"]
KINDS = list(get_args(Kind))

#: Has a file of rules for each subject, by name.
_CATALOGUE = Path(__file__).parents[1] / "alerts" / "catalogue"
#: Has the bodies of webhooks by service.
_TEMPLATES = Path(__file__).parents[1] / "alerts" / "templates.yaml"
#: What a template is filled with (`mngdb.alerts.webhook`).
FILLED = ("title", "text", "stack", "status", "severity", "color")
_EMAIL_ONLY = ("host", "port", "from_", "to", "user", "encryption")
#: What apprise sends to; it leaves out any other receiver and says so in its log alone.
_ADDRESS = (
    r"[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*(\+[A-Za-z0-9_-]+)?"
    r"@(localhost|[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*"
    r"\.[A-Za-z]{2,18})"
)
#: Where people put a channel's secret at first.
_SECRET_KEYS = {"url", "webhook", "api_url", "routing_key", "integration_key", "key", "service_key"}
#: What rules were called before they got the names of the guide.
_FORMER = {
    "RedisMemoryHigh": "RedisHighMemory",
    "RedisConnectionsHigh": "RedisHighConnections",
    "RedisEvicting": "RedisEvictedKeys",
}
_VAULT = "it belongs in the vault: mngdb secret set alerts_NAME (NAME is the channel's)"


@cache
def rule_names() -> list[str]:
    """Every rule there is; `mngdb.alerts.catalogue` says what they are."""
    return [name for file in sorted(_CATALOGUE.glob("*.yaml")) for name in texts(str(file))]


@cache
def templates() -> dict[str, Any]:
    """The bodies of webhooks by service, as templates.yaml describes them."""
    found: dict[str, Any] = values(str(_TEMPLATES))
    return found


class AlertRule(Model):
    """Changes to a rule; `false` disables it."""

    model_config = ConfigDict(populate_by_name=True)

    enabled: bool = True
    """Whether the rule is evaluated."""
    threshold: float | None = Field(default=None, allow_inf_nan=False)
    """Threshold of the condition, in the unit of its metric."""
    for_: Seconds | None = Field(default=None, alias="for")
    """How long the condition has to be true before the alert fires."""
    severity: Severity | None = None
    """Severity of the alert."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"enabled": value} if isinstance(value, bool) else value


class Channel(Model):
    """A notification channel: `slack`, or `{kind: email, host: …}`. Its secret (the password of
    `user`, Slack's address, PagerDuty's routing key, the webhook's address) is `alerts_NAME` in the
    vault."""

    model_config = ConfigDict(populate_by_name=True)

    kind: Kind
    """Kind of the channel."""
    severity: Severity | None = None
    """Lowest severity that is sent to the channel. Default: `warning`; PagerDuty: always
    `critical`."""
    host: str | None = Field(default=None, pattern=r"^[A-Za-z0-9:][A-Za-z0-9.:-]{0,252}$")
    """Mail: the SMTP server."""
    port: Port | None = None
    """Mail: the server's port. Default: 587, with `encryption: tls` 465."""
    from_: str | None = Field(default=None, alias="from", max_length=254, pattern=f"^{_ADDRESS}$")
    """Mail: the sender's address."""
    to: list[str] | None = Field(default=None, min_length=1, max_length=50)
    """Mail: the recipients' addresses."""
    user: str | None = None
    """Mail: the login. Default: no authentication, and no secret is needed."""
    encryption: Literal["starttls", "tls", "none"] | None = None
    """Mail: encryption of the connection. Default: `starttls`. Required for a login."""
    template: str | dict[str, Any] | None = None
    """Webhook: the body of the request. `jandi`, `naverworks`, `dooray`, `teams`, or a mapping
    whose texts have `{title}`, `{text}`, `{stack}`, `{status}`, `{severity}`, `{color}`. Default:
    as Alertmanager sends it."""
    address: str | None = Field(default=None, pattern=r"^https?://[^\s/@?#]+(/[^\s@?#]*)?$")
    """Webhook: its URL, if the secret is a bearer token that it requires (NAVER WORKS). Default:
    the secret is the URL."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        kind = value.get("kind") if isinstance(value, dict) else value
        if isinstance(kind, str) and "://" in kind:
            # said without the text itself: it may be the secret
            raise ValueError(f"a channel's address is a secret; set only its kind here, {_VAULT}")
        if isinstance(value, str):
            return {"kind": value}
        for key in value if isinstance(value, dict) else ():
            if key in _SECRET_KEYS:
                raise located(f"a secret does not belong in the file (key {key!r}); {_VAULT}", key)
        return value

    @model_validator(mode="after")
    def _of_a_webhook(self) -> Channel:
        for name in ("template", "address"):
            if self.kind != "webhook" and getattr(self, name) is not None:
                raise ValueError(f"the key {name!r} is for 'kind: webhook' only")
        if isinstance(self.template, str) and self.template not in templates():
            every = list(templates())
            said = f"{near(self.template, every)}; one of {', '.join(every)}, or a mapping"
            raise located(f"unknown template {self.template[:60]!r}{said}", "template")
        for name in _placeholders(self.template):
            if name not in FILLED:
                known = ", ".join(f"{{{one}}}" for one in FILLED)
                raise located(f"unknown placeholder {{{name}}}; known: {known}", "template")
        if self.address and self.address.startswith("http://"):
            host = self.address.removeprefix("http://").partition("/")[0].partition(":")[0]
            if host not in {"localhost", "127.0.0.1"}:
                raise located("a bearer token requires https://", "address")
        return self

    @model_validator(mode="after")
    def _keys_of_its_kind(self) -> Channel:
        if self.kind != "email":
            for name in _EMAIL_ONLY:
                if getattr(self, name) is not None:
                    raise ValueError(f"the key {name.rstrip('_')!r} is for 'kind: email' only")
            if self.kind == "pagerduty" and self.severity not in (None, "critical"):
                raise located("PagerDuty receives critical alerts only", "severity")
            return self
        for name in ("host", "from_", "to"):
            if getattr(self, name) is None:
                raise ValueError(f"'kind: email' needs the key {name.rstrip('_')!r}")
        for index, one in enumerate(self.to or ()):
            if len(one) > 254 or not re.fullmatch(_ADDRESS, one):
                raise located("is not a mail address", "to", index)
        if self.user is not None and self.encryption == "none":
            raise located("a login without TLS exposes the password", "encryption")
        return self

    @property
    def least(self) -> Severity:
        """The least severity that is told there."""
        return self.severity or ("critical" if self.kind == "pagerduty" else "warning")

    @property
    def smtp_port(self) -> int:
        """The mail server's port."""
        return self.port or (465 if self.encryption == "tls" else 587)

    @property
    def needs_secret(self) -> bool:
        """Whether the vault has to have something for it."""
        return self.kind != "email" or self.user is not None


class Alerts(Model):
    """Alerts, evaluated by the agent, or by Prometheus (`mngdb render prometheus`)."""

    rules: dict[str, AlertRule] = Field(default_factory=dict)
    """Changes by rule; `mngdb alerts rules` lists all rules."""
    channels: dict[PlainName, Channel] = Field(default_factory=dict)
    """Notification channels by name."""
    every: Seconds = timedelta(seconds=15)
    """Evaluation interval of the rules."""
    group: Duration = timedelta(seconds=30)
    """How long alerts are collected, so that one message contains them all."""
    repeat: Duration = timedelta(hours=4)
    """Interval of repeated notifications while an alert is firing."""
    runbook: str = Field(default="RECOVERY_PLAYBOOK.md", pattern=r"^[!-~]{1,500}$")
    """Playbook that each alert links to, a path or a URL; `#rule` is appended."""

    @model_validator(mode="after")
    def _rules_exist(self) -> Alerts:
        for name in self.rules:
            if name not in (known := rule_names()):
                now = _FORMER.get(name)
                said = f"; it is called {now!r} now" if now else near(name, known)
                raise located(f"unknown rule {name[:60]!r}{said}", "rules", name)
        if self.every < timedelta(seconds=1):
            raise located("the shortest interval is 1s", "every")
        return self

    @property
    def secrets(self) -> list[str]:
        """The vault's names of the channels' secrets."""
        return [secret_of(name) for name, one in self.channels.items() if one.needs_secret]


def _placeholders(template: Any) -> list[str]:
    """The names in braces of a template of one's own."""
    if isinstance(template, dict):
        return [name for one in template.values() for name in _placeholders(one)]
    if isinstance(template, list):
        return [name for one in template for name in _placeholders(one)]
    return re.findall(r"\{([A-Za-z_]+)\}", template) if isinstance(template, str) else []


def secret_of(channel: str) -> str:
    """The vault's name of a channel's secret."""
    return f"alerts_{channel}"
