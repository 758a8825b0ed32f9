"""What has to be true around the servers: apps get in, somebody measures, somebody is told.

Sources: the requirements (A3, A12, B11, B18, B22); the guide's chapters "MongoDB 6", "Redis 5" and
the checklist before a deployment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mngdb.checks.catalogue import checks
from mngdb.facts.around import Around
from mngdb.facts.doctor import Diagnosis
from mngdb.findings import Check, Judgement, judged, listed, not_applicable

#: Days.
_YEAR = 365
_NO_RULES = "mngdb evaluates no alerts here: no agent runs, or the file leaves them to Prometheus"


def _logins(found: Sequence[Diagnosis]) -> Judgement:
    if not found:
        return not_applicable("the file has no app here")
    bad = [f"{one.app}: {one.problem}" for one in found if one.problem is not None]
    return listed(bad, f"{', '.join(one.app for one in found[:5])}{' …' * (len(found) > 5)}")


def _verified(stake: str | None) -> Judgement:
    if stake is None:
        return not_applicable("managed by mngdb, or on this host")
    return judged(not stake, stake or "TLS with verification")


def _measured(around: Around) -> Judgement:
    exporters = around.exporters.value
    if around.agent is None and not exporters:
        return not_applicable("the file has no agent and no containers")
    bad = [f"{name} {problem}" for name, problem in exporters.items() if problem]
    if around.agent:
        bad.insert(0, f"the agent: {around.agent}")
    served = [f"the agent: {around.places}"] if around.agent == "" else []
    return listed(bad, "; ".join([*served, ", ".join(exporters)]).strip("; "))


def _alerts(around: Around) -> Judgement:
    if around.rules is None:
        return not_applicable(f"{_NO_RULES}: 'mngdb render prometheus'")
    if around.agent:
        return judged(False, f"the agent: {around.agent}")
    if not around.round:
        return judged(False, f"{around.rules} rules were not evaluated in time")
    return judged(True, f"{around.rules} rules; {around.round}")


def _channels(around: Around) -> Judgement:
    if not around.channels:
        return not_applicable("the file has no channels: 'mngdb alerts' shows what fires")
    bad = [f"{name}: {why}" for name, why in around.channels.items() if why]
    return listed(bad, ", ".join(around.channels))


def _enabled(source: str) -> Callable[[Around], Judgement]:
    def judge(around: Around) -> Judgement:
        if around.rules is None:
            return not_applicable(_NO_RULES)
        off = [rule.split()[1] for rule in around.off if rule.startswith(f"{source} ")]
        return listed(off, "all are enabled")

    return judge


def _told(around: Around) -> Judgement:
    if around.rules is None:
        return not_applicable(_NO_RULES)
    if not around.told:
        return judged(False, "the file has no channels")
    bad = [f"{name}: {why}" for name, why in around.told.items() if why]
    return listed(bad, ", ".join(around.told))


def _ci(around: Around) -> Judgement:
    found = around.ci.value
    if found is None:
        return not_applicable("the project has no file of GitHub Actions or GitLab CI")
    return listed(found, "every secret is registered")


def _kept(around: Around) -> Judgement:
    if not around.logs_here:
        return not_applicable("no server writes its log on this machine")
    if around.logs_kept is None:
        return judged(False, "one old log of 32 MB is kept")
    return judged(around.logs_kept >= _YEAR, f"{around.logs_kept:.0f} days")


def _store(around: Around) -> Judgement:
    if around.store is None:
        text = "the file has no 'backup:': nobody takes snapshots, and what comes after one is lost"
        return judged(False, text)
    return listed(list(around.store), "apart from the data, and private")


def _moments(around: Around) -> Judgement:
    if around.moments is None:
        return not_applicable("the file asks for no backups")
    return listed(list(around.moments), "every write is stored as it comes")


def _kit(around: Around) -> Judgement:
    if around.kit is None:
        return not_applicable("the file asks for no backups")
    lacking, remark = around.kit.value
    return listed(list(lacking), remark)


def _costly(around: Around) -> Judgement:
    if around.costly is None:
        return not_applicable("no server of this stack was made by a provider")
    return listed(list(around.costly.value), "all servers at the provider's are in the file")


def _team(around: Around) -> Judgement:
    if around.team is None:
        return not_applicable("the file has no team")
    return listed(list(around.team), "only its groups have a role")


def _page(around: Around) -> Judgement:
    if around.page_roles is None:
        return not_applicable("the stack has no web page")
    if not around.page_roles:
        return judged(False, "sso has no roles: all users of the realm have access")
    return judged(True, f"requires one of: {', '.join(around.page_roles)}")


LOGINS: Check[Sequence[Diagnosis]]
(LOGINS,) = checks(__file__, {"stack.logins": _logins})
#: Judged of what Engine.unverified says; None: the way to it does not leave this machine.
VERIFIED: Check[str | None]
(VERIFIED,) = checks(__file__, {"stack.server-verified": _verified})
AROUND: tuple[Check[Around], ...] = checks(
    __file__,
    {
        "stack.measured": _measured,
        "stack.alerts": _alerts,
        "stack.channels": _channels,
        "stack.backup-store": _store,
        "stack.backup-moments": _moments,
        "stack.backup-kit": _kit,
        "stack.costly-servers": _costly,
        "stack.page-roles": _page,
        "stack.team": _team,
        "stack.alerts-servers": _enabled("B11"),
        "stack.alerts-cache": _enabled("B18"),
        "stack.told": _told,
        "stack.environment": lambda around: listed(around.environment.value, "valid"),
        "stack.ci-variables": _ci,
        "stack.log-retention": _kept,
    },
)
#: Judged of each instance, whatever its engine.
EACH = (LOGINS, VERIFIED)
CHECKS = (*EACH, *AROUND)
