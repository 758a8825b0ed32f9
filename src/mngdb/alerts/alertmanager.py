"""Who is told, as Alertmanager reads it. Secrets stay in files of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

from mngdb.alerts.prometheus import STACK, dump
from mngdb.alerts.rules import SAME, SEVERITIES, Active
from mngdb.errors import UsageError
from mngdb.spec.alerts import Alerts, Channel
from mngdb.spec.units import format_duration

#: What its own templates leave out, or show only where all alerts of a message share it.
_TITLE = (
    "[{{ .CommonLabels.stack }}] {{ .Status | toUpper }}: "
    "{{ range $i, $_ := .Alerts }}{{ if $i }}, {{ end }}{{ .Labels.alertname }}{{ end }}"
)
_TEXT = """\
{{ range .Alerts }}*{{ if eq .Status "firing" }}{{ .Labels.severity | toUpper }}{{ else }}RESOLVED\
{{ end }} {{ .Labels.alertname }}*: {{ .Annotations.summary }}
{{ if eq .Status "firing" }}{{ .Annotations.description }}
{{ .Annotations.runbook_url }}
{{ end }}{{ end }}"""
_INCIDENT = (
    "[{{ .CommonLabels.stack }}] {{ range $i, $_ := .Alerts.Firing }}{{ if $i }}; {{ end }}"
    "{{ .Annotations.summary }}{{ end }}"
)


def configuration(
    asked: Alerts, active: Iterable[Active], stack: str, secret: Callable[[str], str]
) -> str:
    """alertmanager.yml for a stack's alerts. `secret` gives the path of a channel's secret file.
    Raises UsageError for a channel that Alertmanager cannot have."""
    active = list(active)
    document: dict[str, Any] = {
        "route": {
            "receiver": "nobody",
            "group_by": [STACK, "instance"],
            "group_wait": format_duration(asked.group),
            # Alertmanager refuses 0 here
            "group_interval": format_duration(max(asked.group, timedelta(seconds=1))),
            "repeat_interval": format_duration(asked.repeat),
            "routes": [
                {
                    "receiver": name,
                    "matchers": [
                        f'{STACK}="{stack}"',
                        f'severity=~"{"|".join(_from(channel))}"',
                    ],
                    "continue": True,
                }
                for name, channel in asked.channels.items()
            ],
        },
        "receivers": [
            {"name": "nobody"},
            *(
                {"name": name, **_receiver(name, channel, secret(name))}
                for name, channel in asked.channels.items()
            ),
        ],
        "inhibit_rules": _inhibitions(active),
    }
    return dump(document)


def _from(channel: Channel) -> tuple[str, ...]:
    return SEVERITIES[SEVERITIES.index(channel.least) :]


def _receiver(name: str, channel: Channel, secret: str) -> dict[str, Any]:
    if channel.kind == "slack":
        told = {"title": _TITLE, "text": _TEXT}
        return {"slack_configs": [{"api_url_file": secret, "send_resolved": True, **told}]}
    if channel.kind == "pagerduty":
        told = {"description": _INCIDENT, "severity": "critical"}
        return {"pagerduty_configs": [{"routing_key_file": secret, "send_resolved": True, **told}]}
    if channel.kind == "webhook":
        return {"webhook_configs": [_webhook(name, channel, secret) | {"send_resolved": True}]}
    host, port = channel.host or "", channel.smtp_port
    if channel.encryption == "tls" and port != 465:
        raise UsageError(
            f"the channel {name}: Alertmanager supports implicit TLS on port 465 only",
            "use port 465, or encryption: starttls",
        )
    mail: dict[str, Any] = {
        "to": ", ".join(channel.to or ()),
        "from": channel.from_,
        "smarthost": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        "require_tls": channel.encryption != "none" and port != 465,
        "headers": {"Subject": _TITLE},
        "send_resolved": True,
    }
    if channel.user is not None:
        mail |= {"auth_username": channel.user, "auth_password_file": secret}
    return {"email_configs": [mail]}


def _webhook(name: str, channel: Channel, secret: str) -> dict[str, Any]:
    if channel.template is not None:
        raise UsageError(
            f"the channel {name}: Alertmanager has a form of its own and no template",
            "leave this channel to the agent, and render the others from a file without it",
        )
    if channel.address is None:
        return {"url_file": secret}
    return {
        "url": channel.address,
        "http_config": {"authorization": {"credentials_file": secret}},
    }


def _inhibitions(active: list[Active]) -> list[dict[str, Any]]:
    """Nobody needs the small print of what is away, or that what is full is nearly full."""
    names = {one.name for one in active}
    down = [one.name for one in active if one.rule.down]
    found: list[dict[str, Any]] = []
    if down:
        found.append(
            {
                "source_matchers": [f'alertname=~"{"|".join(down)}"'],
                "target_matchers": ['severity=~"warning|info"'],
                "equal": [STACK, "instance"],
            }
        )
    found += [
        {
            "source_matchers": [f'alertname="{one.name}"'],
            "target_matchers": [f'alertname="{one.rule.covers}"'],
            "equal": [STACK, *SAME],
        }
        for one in active
        if one.rule.covers in names
    ]
    return found
