"""Webhooks: a body in the form of Alertmanager's own, or after a template (templates.yaml)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import requests

from mngdb.alerts import wording
from mngdb.alerts.evaluator import Alert
from mngdb.alerts.notify import Message
from mngdb.errors import MngdbError, UsageError
from mngdb.spec.alerts import FILLED, Channel, secret_of, templates
from mngdb.words import inert

#: Seconds that a server has for an answer.
_TIMEOUT = 10
_COLORS = {"critical": "#D93025", "warning": "#F9AB00", "info": "#1A73E8", "resolved": "#188038"}


def send(name: str, channel: Channel, secret: str, message: Message) -> None:
    """Post a message. Raises MngdbError without the secret."""
    headers, document = _request(channel.template, name, message)
    url = secret
    if channel.address is not None:
        url, headers["Authorization"] = channel.address, f"Bearer {secret}"
    if not re.match(r"https?://[^/]", url):
        raise UsageError(
            f"the secret {secret_of(name)} is not an HTTP URL",
            f"mngdb secret set {secret_of(name)}",
        )
    if not (secret.isascii() and secret.isprintable()):
        raise UsageError(
            f"the secret {secret_of(name)} cannot be sent: it is not one line of ASCII",
            f"mngdb secret set {secret_of(name)}",
        )
    try:
        answer = requests.post(
            url,
            data=json.dumps(document, ensure_ascii=False).encode(),
            headers={"Content-Type": "application/json"} | headers,
            timeout=_TIMEOUT,
            allow_redirects=False,
        )
    except requests.RequestException as error:
        why = wording.reason(str(error))
        raise MngdbError(f"the webhook cannot be reached: {why}") from None
    if answer.status_code == 401 and channel.address is not None:
        raise MngdbError(
            "the webhook refuses the token (HTTP status 401); it may have expired",
            f"mngdb secret set {secret_of(name)}",
        )
    if not 200 <= answer.status_code < 300:
        raise MngdbError(f"the webhook returned HTTP status {answer.status_code}")


def _request(
    template: str | Mapping[str, Any] | None, name: str, message: Message
) -> tuple[dict[str, str], Any]:
    """Headers and document."""
    if template is None:
        return {}, _alertmanager(name, message)
    own: dict[str, Any] = {"body": template}
    about = templates()[template] if isinstance(template, str) else own
    status = "firing" if message.firing else "resolved"
    grave = sorted((a.severity for a in message.firing), key=list(_COLORS).index)
    severity = grave[0] if grave else status
    text, most = wording.text(message), about.get("most")
    if most and len(text) > most:
        text = text[: most - 1] + "…"
    values = (
        *(wording.title(message), text, message.stack, status),
        *(severity, _COLORS[severity]),
    )
    return dict(about.get("headers", {})), _filled(
        about["body"], dict(zip(FILLED, values, strict=True))
    )


def _filled(part: Any, values: Mapping[str, str]) -> Any:
    if isinstance(part, dict):
        return {key: _filled(one, values) for key, one in part.items()}
    if isinstance(part, list):
        return [_filled(one, values) for one in part]
    if not isinstance(part, str):
        return part
    return re.sub(r"\{([a-z]+)\}", lambda found: values[found[1]], part)


def _alertmanager(name: str, message: Message) -> dict[str, Any]:
    """https://prometheus.io/docs/alerting/latest/configuration/#webhook_config"""
    return {
        "version": "4",
        "receiver": name,
        "status": "firing" if message.firing else "resolved",
        "groupLabels": {"stack": message.stack},
        "alerts": [_alert(message.stack, alert) for alert in (*message.firing, *message.resolved)],
    }


def _alert(stack: str, alert: Alert) -> dict[str, Any]:
    over = alert.state == "resolved"
    return {
        "status": "resolved" if over else "firing",
        "labels": {
            **{name: inert(value) for name, value in alert.labels},
            "stack": stack,
            "alertname": alert.name,
            "severity": alert.severity,
        },
        "annotations": {
            "summary": alert.summary,
            "description": alert.description,
            "runbook_url": alert.runbook,
        },
        "startsAt": wording.utc(alert.since),
        **({"endsAt": wording.utc(datetime.now(UTC).timestamp())} if over else {}),
    }
