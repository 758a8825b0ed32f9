"""`doctor` without an app: the whole stack, in the order in which a person would look."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from msgspec.structs import replace

from mngdb.alerts import catalogue
from mngdb.checks import registry
from mngdb.checks.doctor.causes import INCIDENTS, RULES
from mngdb.checks.doctor.judge import judge
from mngdb.checks.remedies import elsewhere
from mngdb.engines.protocol import C, Engine, F, S
from mngdb.errors import (
    ConnectError,
    MngdbError,
    SecretError,
    UnobservableError,
    UnreachableError,
    UsageError,
)
from mngdb.facts.doctor import (
    AgentProblem,
    Answer,
    Condition,
    Diagnosis,
    Fired,
    Refusal,
    Server,
    Service,
    StackFacts,
)
from mngdb.facts.host import Folder
from mngdb.facts.locks import chains
from mngdb.findings import Check, Finding, Seen, see
from mngdb.model import DesiredInstance
from mngdb.ops import (
    access,
    alerts,
    crashes,
    denied,
    logs,
    passwords,
    status,
    unfinished,
    unusable,
    workers,
)
from mngdb.ops.backup import keys
from mngdb.ops.backup.glance import glance
from mngdb.ops.backup.restore import has, interrupted
from mngdb.ops.context import Context
from mngdb.room import lacking
from mngdb.spec.stack import Instance, secret_name
from mngdb.targets.process.machine import callers

T = TypeVar("T")

#: Seconds for the administrator's login, and for an app's of a server that let him in.
_PATIENCE = 3.0
#: Kinds of errors of a server that lets nobody in.
_OUT = {"down", "starting", "stopping", "busy", "other"}
#: Alerts about what is looked at here anyway.
_SEEN = {rule.name for rule in catalogue.RULES if rule.down} | {
    *("UnitDown", "DockerDown", "BackupKeyMissing")
}


def doctor(context: Context) -> tuple[Answer, StackFacts]:
    """Look at everything, side by side; what is wrong, and what it was judged by."""
    missing, bad = _secrets(context)

    def job(instance: Instance, _: workers.Emit) -> Server:
        return _server(context, instance, missing=bool(missing or bad))

    results = workers.each(context.stack, job, lambda _: None)
    found, errors = workers.apart(results)
    servers = tuple(
        found[name] if name in found else _lost(context.instance(name), errors[name])
        for name in results
    )
    facts = StackFacts(
        servers=servers,
        missing_secrets=tuple(missing),
        unusable_secrets=bad,
        machine=tuple(_machine(context)),
        thresholds=alerts.thresholds(context, RULES),
        alerts=tuple(_fired(context)),
        agent=_agent(context),
        services=_services(context),
        backups=_backups(context),
        vault_lacks=_vault_lacks(context, missing),
        backup_secrets=tuple(
            Refusal("secret", one.text, one.hint) for one in keys.problems(context)
        ),
    )
    return judge(facts), facts


def _secrets(context: Context) -> tuple[list[str], tuple[Diagnosis, ...]]:
    """Those that nobody has yet, and what is wrong with others; the passwords that others gave
    logins of adopted servers are not missing, as nobody makes them."""
    try:
        bad = unusable.among(context, context.secret_names())
        if bad:
            whose = {
                secret_name(one, login): (one.name, login if login in one.grants else "")
                for one in context.stack.instances.values()
                for login in context.logins(one)
            }
            return [], tuple(
                Diagnosis(*whose.get(name, ("", "")), error.message, error.hint, "secret")
                for name, error in bad.items()
            )
        missing = context.missing_secrets()
        adopted = [one.name for one in context.stack.instances.values() if one.adopt and missing]
        others = passwords.kept(context, context.all_asked(find=False, only=adopted))
    except SecretError as error:
        return [], (Diagnosis("", "", error.message, error.hint, "secret"),)
    return [one for one in missing if one not in others], ()


def _vault_lacks(context: Context, missing: Sequence[str]) -> str:
    """What keeps secrets that are missing from being written, where they are files."""
    files = context.vault.files(missing)
    return lacking(files[0].parent) if files else ""


def _lost(instance: Instance, error: MngdbError) -> Server:
    """An instance that could not even be looked for: its Docker engine does not answer, or a note
    of its own is damaged."""
    nothing: Seen[Folder] = Seen(missing=error.message)
    kind = "unreachable" if isinstance(error, UnreachableError) else "damaged"
    refusal = Refusal(kind, error.message, error.hint or "")
    return Server(instance.name, instance.engine, instance.unit, None, nothing, refusal)


# --- one server


def _server(context: Context, instance: Instance, *, missing: bool) -> Server:
    seen = Server(
        instance.name,
        instance.engine,
        instance.unit,
        _condition(context, instance),
        see(lambda: _disk(context, instance)),
        log=logs.large(context, instance),
        unfinished=unfinished.read(context.stack.state).get(instance.name, ""),
        crashes=_crashes(context, instance),
    )
    what = seen.condition
    if what is not None and (what.state != "running" or what.frozen):
        why = "is halted" if what.frozen else f"is not running ({what.state})"
        return replace(seen, logins=_all_out(instance, f"{instance.unit} {why}"))
    try:
        # a secret that cannot be used is a trouble of its own, and the rest is looked at
        asked = context.asked(instance, invent=missing, find=False)
        engine, login = context.engine(instance), context.admin(asked)
        with context.reach(instance), engine.connect(login, _PATIENCE) as session:
            seen = replace(seen, **_inside(context, engine, session, asked))
    except MngdbError as caught:
        error = caught
        if isinstance(error, ConnectError) and error.kind == "disk":
            error = access.from_log(context, instance, error)
        elif what is not None and not what.restarted:
            error = context.target(instance).explained(instance, error, what)
        kind = _kind(error)
        seen = replace(seen, refusal=Refusal(kind, error.message, error.hint or ""))
        if kind == "limit" and instance.here:
            seen = replace(seen, callers=tuple(callers(instance.spec.port)))
        # one that dies may hang up in the middle of a greeting, as one does that wants TLS
        dying = what is not None and what.restarted and kind in {*_OUT, "tls"}
        if what is not None and dying:
            seen = replace(seen, condition=replace(what, state="restarting"))
        if kind in {"unreachable", "damaged"}:
            return seen
        if dying or kind in _OUT:
            return replace(seen, logins=_all_out(instance, error.message))
    tried = access.logins(context, instance)
    known = {one.app for one in tried}
    untried = tuple(app for app in instance.grants if app not in known)
    return replace(seen, logins=tried, untried=untried)


def _crashes(context: Context, instance: Instance) -> tuple[str, ...] | None:
    if context.target(instance).watched is None:
        return None
    return crashes.since_up(context.stack.state).get(instance.unit, ())


def _kind(error: MngdbError) -> str:
    if isinstance(error, ConnectError):
        return error.kind
    if isinstance(error, UnreachableError):
        return "unreachable"
    if isinstance(error, SecretError):
        return "secret"
    # a note of mngdb's own, which tells nothing of the server
    return "damaged" if isinstance(error, UsageError) else "other"


def _condition(context: Context, instance: Instance) -> Condition | None:
    found = context.target(instance).condition(instance)
    if found is None or found.blocked or found.state == "running":
        return found
    if left := interrupted(context).get(instance.name):
        again = "" if left[1].replaced else ", then the same restore again"
        remedy = f"mngdb up {instance.name}{again}"
        found = replace(found, interrupted=f"it has {has(left[1])}", remedy=remedy)
    return _blocked(context, instance, found)


def _blocked(context: Context, instance: Instance, found: Condition) -> Condition:
    """What keeps a server from starting, as `up` would find."""
    error = context.obstacle(instance)
    if error is None:
        return found
    return replace(found, blocked=error.message, remedy=error.hint or "")


def _disk(context: Context, instance: Instance) -> Folder:
    outside = context.target(instance).outside
    if outside is None:
        raise UnobservableError("its disk is not on this machine")
    return outside.disk(instance)


def _inside(
    context: Context, engine: Engine[S, F, C], session: S, asked: DesiredInstance
) -> dict[str, Any]:
    """What the server tells on one session."""
    sessions = _see(lambda: engine.sessions(session, asked))
    look = engine.locks
    waiting = _see(lambda: look(session, asked)).found if look else None
    facts, name = engine.inspect(session, asked, health=True), engine.info.name
    checks: Iterable[Check[C]] = registry.of(name)
    wanted = [one for one in checks if one.id in INCIDENTS.get(name, ())]
    instance = asked.instance
    findings = tuple(one.finding(facts, instance.name, instance.unit) for one in wanted)
    if not (instance.managed or instance.hosted):
        findings = elsewhere(findings, adopted=instance.adopt)
    return {
        "sessions": sessions,
        "locks": chains(waiting or ()),
        "denied": see(lambda: denied.look(context, engine, session, asked)),
        "findings": findings,
    }


def _see(look: Callable[[], T]) -> Seen[T]:
    """As `see`, of a question that this login may be refused."""
    try:
        return Seen(look())
    except ConnectError:
        raise
    except MngdbError as error:
        return Seen(missing=error.message)


def _all_out(instance: Instance, why: str) -> tuple[Diagnosis, ...]:
    return tuple(Diagnosis(instance.name, app, why, None, "down") for app in instance.grants)


# --- around them


def _machine(context: Context) -> list[Finding]:
    """What is wrong with this machine and with the processes on it."""
    machine = context.machine()
    if machine is None:
        return []
    from mngdb.checks.host import MACHINE, SERVER

    wanted = INCIDENTS["host"]
    found = [one.finding(machine) for one in MACHINE if one.id in wanted]
    for instance in context.stack.instances.values():
        outside = context.target(instance).outside
        facts = outside.server(instance) if outside else None
        if facts is None:
            continue
        where = instance.name, instance.unit
        judged = [one.finding(facts, *where) for one in SERVER if one.id in wanted]
        found += [one for one in judged if one.verdict != "unknown"]
    return found


def _fired(context: Context) -> list[Fired]:
    """What fires by the agent's last round, if it judges; but for what is seen here, and later."""
    found = alerts.judged(context)
    if found is None:
        return []
    members = context.stack.members
    shown = []
    for one in found:
        if one.state != "firing" or one.name in _SEEN:
            continue
        labels = dict(one.labels)
        member = members.get(labels.get("member", ""))
        instance = member.instance.name if member else labels.get("instance", "")
        shown.append(Fired(one.name, one.severity, instance, one.summary))
    return [one for one in shown if one.severity != "info"]


def _backups(context: Context) -> dict[str, str]:
    return {one.instance: one.late for one in glance(context) if one.late}


def _services(context: Context) -> tuple[Service, ...]:
    try:
        return tuple(status.services(context))
    except MngdbError:
        return ()  # an engine that does not answer is said of each server


def _agent(context: Context) -> AgentProblem | None:
    for found in status.agent(context):
        text = found.error or found.warning
        if text is not None:
            works = found.error is None or context.stack.agent is None
            return AgentProblem(found.name, text, found.hint or "", works)
    return None
