"""What `check` judges around the servers of this machine: the machine, and the secrets."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any, TypeVar

from mngdb.alerts.evaluator import Alert
from mngdb.checks import registry
from mngdb.checks.stack import AROUND
from mngdb.errors import MngdbError, SecretError, UnobservableError, of_system
from mngdb.facts.around import Around
from mngdb.findings import Check, Finding, Judgement, not_applicable, see
from mngdb.ops import paid, team, told
from mngdb.ops.backup import kit, place
from mngdb.ops.backup.glance import Glance, glance
from mngdb.ops.context import Context
from mngdb.spec.alerts import secret_of
from mngdb.spec.engine_info import ENGINE_INFO
from mngdb.words import many

F = TypeVar("F")
Wanted = Callable[[Check[Any]], bool]


def around(context: Context, wanted: Wanted) -> list[Finding]:
    """The findings of services that run an engine for others (`atlas.*`), and of `stack.*` (but for
    the logins, tried beside each server); of `host.*`, for servers that are processes of this
    machine; of `secrets.*`, where the vault has any of an app."""
    host, secrets = ([one for one in registry.of(n) if wanted(one)] for n in registry.AROUND)
    instances = context.stack.instances.values()
    found = _elsewhere(context, wanted) + _stack(context, [one for one in AROUND if wanted(one)])
    if any(one.here for one in instances):
        found += _host(context, host)
    else:
        apart = not_applicable("no server of this stack runs as a process on this machine")
        found += (one.given(apart) for one in host)
    if any(one.managed or one.hosted for one in instances) or _has_secrets(context):
        found += _secrets(context, secrets)
    else:
        apart = not_applicable("all servers are external, and no app's secret is in the vault")
        found += (one.given(apart) for one in secrets)
    return found


def _elsewhere(context: Context, wanted: Wanted) -> list[Finding]:
    areas = set(filter(None, (ENGINE_INFO[name].elsewhere for name in context.stack.by_engine)))
    every = (context.target(one).hosted for one in context.stack.instances.values())
    areas -= {one.checks for one in every if one is not None}  # judged where they apply
    checks = (one for area in areas for one in registry.of(area))
    return [one.finding(None) for one in checks if wanted(one)]


def _stack(context: Context, checks: Sequence[Check[Around]]) -> list[Finding]:
    asked = {one.id for one in checks}
    return _judge(checks, lambda: _surroundings(context, asked))


def _store(context: Context) -> tuple[str, ...] | None:
    if context.stack.backup is None:
        return None
    return tuple(text for text, _ in place.concerns(context))


def _moments(context: Context) -> tuple[str, ...] | None:
    backup = context.stack.backup
    if backup is None:
        return None
    if not backup.keep.point_in_time:
        return ("the file asks for snapshots alone ('point_in_time: 0s')",)
    ours = [one for one in glance(context) if one.keeper is None]
    return tuple(f"{one.instance}: {why}" for one in ours if (why := _unreachable(one)))


def _unreachable(one: Glance) -> str:
    if one.recovery_point is None:
        return one.error or "no snapshot yet"
    return one.late or ("" if one.mode else "its log is not stored")


def _kit(context: Context) -> tuple[tuple[str, ...], str]:
    try:
        return kit.lacking(context)
    except SecretError as error:
        raise UnobservableError(error.message) from None


def _costly(context: Context) -> tuple[str, ...]:
    try:
        return tuple(one.text for one in paid.told(context))
    except MngdbError as error:
        raise UnobservableError(error.message) from None


def _surroundings(context: Context, checks: Collection[str]) -> Around:
    """Who measures the servers, who judges the alerts, who is told. What takes long is looked at
    for those of `checks` alone that judge it."""
    from mngdb.ops import alerts
    from mngdb.ops.agent import AgentUnit

    unit, asked = AgentUnit(context), context.stack.source.alerts
    wrong = None if unit.spec is None else unit.answers() or ""
    judging = unit.spec is not None and unit.spec.alerts
    firing = alerts.judged(context) if judging else None
    last = "" if firing is None else f"the last evaluation is recent, {_firing(firing)}"
    process = unit.process()
    if judging and not last and wrong == "" and process and process.uptime() < alerts.fresh(asked):
        last = "the agent has just started"
    failing = {one.name for one in firing or () if one.state == "firing"}
    late = "the last notifications were not delivered" if "NotificationsFailing" in failing else ""
    return Around(
        agent=wrong,
        places=unit.places(),
        exporters=see(lambda: _exporters(context)),
        rules=len(alerts.rules(context)) if judging else None,
        round=last,
        store=_store(context),
        moments=_moments(context),
        kit=None if context.stack.backup is None else see(lambda: _kit(context)),
        channels={name: _untold(context, name, wrong) or late for name in asked.channels},
        off=alerts.disabled(context),
        told={name: told.missing(context, name) for name in asked.channels},
        environment=see(lambda: _environment(context), "stack.environment" in checks),
        ci=see(lambda: _ci(context), "stack.ci-variables" in checks),
        logs_kept=_days(context),
        logs_here=any(one.here for one in context.stack.instances.values()),
        costly=see(lambda: _costly(context)) if any(o.hosted for o in context.targets()) else None,
        page_roles=context.stack.page_roles,
        team=team.problems(context),
    )


def _environment(context: Context) -> tuple[str, ...]:
    from mngdb.ops.env_check import problems

    try:
        return problems(context)
    except MngdbError as error:
        raise UnobservableError(error.message) from None


def _ci(context: Context) -> tuple[str, ...] | None:
    from mngdb.ops.ci_facts import lacking

    return lacking(context)


def _days(context: Context) -> float | None:
    logs = context.stack.source.logs
    return None if logs is None else logs.keep.total_seconds() / 86_400


def _firing(alerts: Sequence[Alert]) -> str:
    count = sum(one.state == "firing" for one in alerts)
    return f"{many(count, 'alert')} firing" if count else "no alerts firing"


def _exporters(context: Context) -> dict[str, str]:
    """Those beside containers."""
    from mngdb.ops import status

    try:
        services = status.services(context)
    except MngdbError as error:
        raise UnobservableError(error.message) from None
    return {one.name: one.problem or "" for one in services if not one.page}


def _untold(context: Context, channel: str, agent: str | None) -> str:
    """What keeps a channel from being told; empty: nothing."""
    if context.stack.source.alerts.channels[channel].needs_secret:
        try:
            if context.vault.get(secret_of(channel)) is None:
                return f"the secret {secret_of(channel)} is missing"
        except MngdbError as error:
            return error.message
    return f"the agent: {agent}" if agent else ""


def _host(context: Context, checks: Sequence[Check[Any]]) -> list[Finding]:
    from mngdb.checks.host import MACHINE, SERVER

    found: list[Finding] = []
    of_servers = [one for one in checks if one in SERVER]
    for instance in context.stack.instances.values() if of_servers else ():
        outside = context.target(instance).outside
        if instance.here and outside is not None:
            look = partial(outside.server, instance)
            found += _judge(of_servers, look, instance.name, instance.unit)
    of_machine = [one for one in checks if one in MACHINE]
    return found + _judge(of_machine, context.machine)


def _has_secrets(context: Context) -> bool:
    try:
        return bool(context.vault.get_many(sorted(context.app_secrets)))
    except MngdbError:
        return True  # the checks tell why it cannot be read


def _secrets(context: Context, checks: Sequence[Check[Any]]) -> list[Finding]:
    from mngdb.ops.secrets_facts import secrets_facts

    return _judge(checks, lambda: secrets_facts(context))


def _judge(checks: Sequence[Check[F]], look: Callable[[], F], *where: str) -> list[Finding]:
    """`where` are the instance and its member, of checks that are about one."""
    if not checks:
        return []
    try:
        facts = look()
    except (MngdbError, OSError) as error:
        lost = Judgement("unknown", of_system(error).message)
        return [one.given(lost, *where) for one in checks]
    return [one.finding(facts, *where) for one in checks]
