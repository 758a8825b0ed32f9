"""What has to be true around the servers: apps get in, somebody measures, somebody is told.

Sources: the requirements (A3, A12, B11, B18, B22); the guide's chapters "MongoDB 6", "Redis 5" and
the checklist before a deployment.
"""

from __future__ import annotations

from collections.abc import Sequence

from mngdb.facts.around import Around
from mngdb.facts.doctor import Diagnosis
from mngdb.findings import Check, Judgement, judged, listed, no_matter

_CHECKLIST = "guide: checklist"


def _logins(found: Sequence[Diagnosis]) -> Judgement:
    if not found:
        return no_matter("the file has no app here")
    bad = [f"{one.app}: {one.problem}" for one in found if one.problem is not None]
    return listed(bad, f"{', '.join(one.app for one in found[:5])}{' …' * (len(found) > 5)}")


def _verified(stake: str | None) -> Judgement:
    if stake is None:
        return no_matter("mngdb runs it, or it is on this machine")
    return judged(not stake, stake or "TLS, and its certificate is verified")


def _measured(around: Around) -> Judgement:
    exporters = around.exporters.value
    if around.agent is None and not exporters:
        return no_matter("the file has no agent, and no container: others measure, or nobody")
    bad = [f"{name} {problem}" for name, problem in exporters.items() if problem]
    if around.agent:
        bad.insert(0, f"the agent: {around.agent}")
    served = [f"the agent: {around.places}"] if around.agent == "" else []
    return listed(bad, "; ".join([*served, ", ".join(exporters)]).strip("; "))


def _alerts(around: Around) -> Judgement:
    if around.rules is None:
        return no_matter("the file leaves them to Prometheus: 'mngdb render prometheus'")
    if around.agent:
        return judged(False, f"the agent: {around.agent}")
    if not around.round:
        return judged(False, f"nobody judged the {around.rules} rules in time")
    return judged(True, f"{around.rules} rules; {around.round}")


def _channels(around: Around) -> Judgement:
    if not around.channels:
        return no_matter("the file names no channel: 'mngdb alerts' shows what fires")
    bad = [f"{name}: {why}" for name, why in around.channels.items() if why]
    return listed(bad, ", ".join(around.channels))


def _page(around: Around) -> Judgement:
    if around.page_roles is None:
        return no_matter("the stack has no page in a browser")
    if not around.page_roles:
        return judged(False, "sso names no roles: everybody who can log in to the realm")
    return judged(True, f"who has one of: {', '.join(around.page_roles)}")


LOGINS: Check[Sequence[Diagnosis]] = Check(
    "stack.logins",
    "every app gets in and can do its work with what 'mngdb env' gives it",
    "high",
    _logins,
    "its own login, tried; rights as in the file",
    "'mngdb doctor APP' says what is wrong and what mends it",
    ("A12", "B22", _CHECKLIST),
)
#: Judged of what Engine.unverified says; None: the way to it does not leave this machine.
VERIFIED: Check[str | None] = Check(
    "stack.server-verified",
    "a server that somebody else runs has to show its certificate",
    "high",
    _verified,
    "an external server's url asks for TLS that verifies it: nobody on the way can read or change "
    "anything",
    "in the url: postgresql://…?sslmode=verify-full, rediss://…, mongodb://…?tls=true; where its "
    "operator has TLS off, ask for it",
    ("A5", "A11"),
)
AROUND: tuple[Check[Around], ...] = (
    Check(
        "stack.measured",
        "every server of ours is measured, for Prometheus",
        "high",
        _measured,
        "the agent, or the exporter beside each container, answers",
        "'mngdb up' starts it; agent: true",
        ("A3", "B18", "guide: Redis 5", _CHECKLIST),
    ),
    Check(
        "stack.alerts",
        "alerts are judged",
        "high",
        _alerts,
        "a round in the last minute, by the agent",
        "'mngdb up' starts the agent; 'mngdb logs agent' shows its log",
        ("B11", "B18", "guide: MongoDB 6", "guide: Redis 5", _CHECKLIST),
    ),
    Check(
        "stack.channels",
        "who is to be told of alerts can be told",
        "high",
        _channels,
        "a secret for each channel, and no failure lately",
        "mngdb secret set alerts_CHANNEL; 'mngdb alerts test CHANNEL'",
        ("B11", "guide: MongoDB 6", _CHECKLIST),
    ),
    Check(
        "stack.page-roles",
        "the RedisInsight page, which administers every Redis, is open to named roles only",
        "high",
        _page,
        "roles of the realm or of a client, of which a person needs one",
        "sso: {roles: [NAME]}; then give that role in Keycloak to those who need the page",
        ("A5", "B13"),
    ),
)
#: Judged of each instance, whatever its engine.
EACH = (LOGINS, VERIFIED)
CHECKS = (*EACH, *AROUND)
