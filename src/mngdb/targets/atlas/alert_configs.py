"""Alert configurations: the guide's five, told to the channels of the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Literal

from msgspec import Struct

from mngdb.secret import Secret
from mngdb.spec.alerts import Channel, secret_of
from mngdb.targets.atlas.api import Json
from mngdb.targets.atlas.journal import Journal, intent
from mngdb.targets.atlas.session import AtlasStep, Found, Make, Session, Wanted

#: The kinds of the journal's notes: the configuration's id; and which channels' secrets it has.
ALERT, CHANNELS = "alert", "alert channels"
_METRIC = "OUTSIDE_METRIC_THRESHOLD"
_SEVERITIES = ("info", "warning", "critical")
#: What Slack shows of an alert that Atlas posts to it.
_SLACK = '{"text": "{{payload}}"}'


class Rule(Struct, frozen=True):
    """One of the guide's alerts. `metric`: its name, limit and unit; None: an event."""

    title: str
    event: str
    metric: tuple[str, float, str] | None
    severity: Literal["warning", "critical"]


RULES = {
    "cpu": Rule("CPU over 80 %", _METRIC, ("NORMALIZED_SYSTEM_CPU_USER", 80.0, "RAW"), "warning"),
    "connections": Rule(
        "connections over 80 %", _METRIC, ("CONNECTIONS_PERCENT", 80.0, "RAW"), "warning"
    ),
    "disk": Rule(
        "disk over 80 %", _METRIC, ("DISK_PARTITION_SPACE_USED_DATA", 80.0, "RAW"), "critical"
    ),
    "lag": Rule(
        "replication lag over 10 s",
        _METRIC,
        ("OPLOG_SLAVE_LAG_MASTER_TIME", 10.0, "SECONDS"),
        "warning",
    ),
    "backup": Rule("a snapshot failed", "CPS_SNAPSHOT_FAILED", None, "critical"),
}


def steps(wanted: Wanted, found: Found, journal: Journal, make: Make) -> Iterator[AtlasStep]:
    """Make, change or enable each; those of ours that nobody wants any more do not exist: the
    rules are fixed."""
    for name, rule in RULES.items():
        label = f"alert {name}"
        body = _body(wanted, rule)
        key = f"{wanted.project}/{name}"
        there = _ours(found, journal, key, rule)
        text = f"{rule.title}, to {_told(body)}"
        if there is None:
            others = [str(one.get("id")) for one in found.alerts]
            yield make("create", label, text, _create(key, rule, body, others))
        elif _differs(rule, there, body) or not _same_secrets(wanted, journal, key, rule):
            yield make("change", label, text, _change(key, rule, str(there["id"]), body))


def fits(rule: Rule, config: Json) -> bool:
    """Whether a configuration watches for what a rule does, at its limit or a stricter one."""
    if config.get("eventTypeName") != rule.event or not config.get("enabled"):
        return False
    if rule.metric is None:
        return True
    name, limit, _ = rule.metric
    threshold = config.get("metricThreshold") or {}
    return (
        threshold.get("metricName") == name
        and threshold.get("operator") == "GREATER_THAN"
        and float(threshold.get("threshold", 1e9)) <= limit
    )


def _ours(found: Found, journal: Journal, key: str, rule: Rule) -> Json | None:
    """The configuration that the journal knows. Of one that was being made when the command was
    killed only the intent is known: the same content is it."""
    mine = (one for one in found.alerts if journal.ours(ALERT, key, str(one.get("id"))))
    if journal.intended(ALERT, key):
        return next((one for one in mine if _about(one) == _about_rule(rule)), None)
    return next(mine, None)


def remove(session: Session, found: Found) -> None:
    """Delete this stack's own. Raises AtlasError."""
    journal = session.journal
    for name, rule in RULES.items():
        key = f"{session.wanted.project}/{name}"
        there = _ours(found, journal, key, rule)
        if there is not None:
            session.api.delete(*session.group("alertConfigs", str(there["id"])))
        journal.forget(ALERT, key)


def _about(config: Json) -> tuple[str, str]:
    threshold = config.get("metricThreshold") or {}
    return str(config.get("eventTypeName")), str(threshold.get("metricName", ""))


def _about_rule(rule: Rule) -> tuple[str, str]:
    return rule.event, rule.metric[0] if rule.metric else ""


def _body(wanted: Wanted, rule: Rule) -> Json:
    body: Json = {
        "enabled": True,
        "eventTypeName": rule.event,
        "notifications": _notifications(wanted, rule),
    }
    if rule.metric is not None:
        name, limit, units = rule.metric
        body["metricThreshold"] = {
            "metricName": name,
            "operator": "GREATER_THAN",
            "threshold": limit,
            "units": units,
            "mode": "AVERAGE",
        }
    return body


def _channels(wanted: Wanted, rule: Rule) -> dict[str, Channel]:
    """Those that are told of a rule: their severity says from which on, and a secret that they need
    is there."""
    return {
        name: one
        for name, one in wanted.alerts.channels.items()
        if _SEVERITIES.index(one.least) <= _SEVERITIES.index(rule.severity)
        and (one.kind == "email" or secret_of(name) in wanted.secrets)
    }


def _notifications(wanted: Wanted, rule: Rule) -> list[Json]:
    found = [
        notification
        for name, channel in _channels(wanted, rule).items()
        for notification in _of(channel, name, wanted.secrets)
    ]
    if not found:  # nobody in the file: the owners of the project
        found = [{"typeName": "GROUP", "roles": ["GROUP_OWNER"], "emailEnabled": True}]
    return [{**one, "intervalMin": 60, "delayMin": 0} for one in found]


def _of(channel: Channel, name: str, secrets: Mapping[str, Secret]) -> Iterator[Json]:
    if channel.kind == "email":
        for address in channel.to or ():
            yield {"typeName": "EMAIL", "emailAddress": address}
        return
    secret = secrets[secret_of(name)].reveal()
    if channel.kind == "pagerduty":
        yield {"typeName": "PAGER_DUTY", "serviceKey": secret, "region": "US"}
    elif channel.kind == "slack":
        yield {"typeName": "WEBHOOK", "webhookUrl": secret, "webhookBodyTemplate": _SLACK}
    else:
        yield {"typeName": "WEBHOOK", "webhookUrl": secret}


def _told(body: Json) -> str:
    names = {"EMAIL": "mail", "PAGER_DUTY": "PagerDuty", "GROUP": "the project's owners"}
    found = (
        str(one.get("emailAddress") or names.get(one["typeName"], "webhook"))
        for one in body["notifications"]
    )
    return ", ".join(dict.fromkeys(found))


def _differs(rule: Rule, there: Json, body: Json) -> bool:
    """Secrets are redacted in what Atlas tells: they are compared by the journal."""
    if not there.get("enabled") or _about(there) != _about_rule(rule):
        return True
    for key, value in body.get("metricThreshold", {}).items():
        if (there.get("metricThreshold") or {}).get(key) != value:
            return True
    return _shapes(there["notifications"]) != _shapes(body["notifications"])


def _shapes(notifications: list[Json]) -> list[tuple[str, str]]:
    return sorted((str(one["typeName"]), str(one.get("emailAddress", ""))) for one in notifications)


def _sealed(wanted: Wanted, rule: Rule) -> Secret:
    """All secrets of the channels of a rule, as one."""
    names = sorted(secret_of(name) for name in _channels(wanted, rule))
    return Secret("\n".join(wanted.secrets[one].reveal() for one in names if one in wanted.secrets))


def _same_secrets(wanted: Wanted, journal: Journal, key: str, rule: Rule) -> bool:
    return journal.matches(CHANNELS, key, _sealed(wanted, rule))


def _create(key: str, rule: Rule, body: Json, others: list[str]) -> Callable[[Session], None]:
    def run(session: Session) -> None:
        with session.journal.making(ALERT, key, intent(others)):
            made = session.api.post(body, *session.group("alertConfigs"))
        _made(session, key, rule, str(made["id"]))

    return run


def _change(key: str, rule: Rule, known: str, body: Json) -> Callable[[Session], None]:
    def run(session: Session) -> None:
        session.api.put(body, *session.group("alertConfigs", known))
        _made(session, key, rule, known)

    return run


def _made(session: Session, key: str, rule: Rule, known: str) -> None:
    session.journal.write(ALERT, key, known)
    session.journal.sealed(CHANNELS, key, _sealed(session.wanted, rule))
