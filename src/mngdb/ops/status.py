"""What runs where, and whether it answers an app's query."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import asdict, replace

from mngdb import __version__
from mngdb.errors import AbsentError, ConnectError, MngdbError, SecretError
from mngdb.model import DesiredInstance, Owner, Role, Vitals
from mngdb.ops import logs, unusable, wishes, workers
from mngdb.ops.agent import OUTDATED, STALE, AgentUnit
from mngdb.ops.choice import Choice
from mngdb.ops.context import Context
from mngdb.ops.patch_levels import open_holes
from mngdb.spec.agent import AGENT
from mngdb.spec.stack import Instance, Member, secret_name
from mngdb.targets.protocol import Running

if TYPE_CHECKING:
    from mngdb.facts.doctor import Service


#: What to do about a unit that may not be as the file says.
_DIFFERS = "'mngdb plan' shows the differences, 'mngdb up' fixes them"
#: States of a unit of which nothing is known: a server elsewhere, one that its target cannot see.
_UNREACHABLE, _UNKNOWN = "unreachable", "unknown"
#: Free bytes below which writes fail or soon will: a log of writes takes as much at a time.
_FULL = 16 << 20
#: Kinds of a ConnectError that are states, too.
_STATES = {"starting", "stopping", "halted"}
#: Kinds of refusals that one app may meet and another does not.
_OF_ONE = {"quota", "database"}


class UnitStatus(Struct, frozen=True):
    """One unit. `memory` in bytes, `uptime` in seconds, None where they cannot be known."""

    name: str
    instance: str
    engine: Owner
    state: str
    """running, starting (it recovers and does not answer yet), stopping (it waits for its sessions
    to end), halted (SIGSTOP), stopped, absent (never made), unreachable (external), or unknown (a
    note of its own is damaged)."""
    healthy: bool
    version: str | None
    host: str
    port: int
    user: str | None = None
    """Who asked: the first app, or the administrator where there is none."""
    memory: int | None = None
    uptime: float | None = None
    error: str | None = None
    product: str = ""
    """What the server calls itself: Redis, Valkey; empty: it was not asked."""
    hint: str | None = None
    """What to do about the error."""
    advisories: list[str] = field(default_factory=list)
    """Known security holes of its version that its settings do not close, by their numbers."""
    docker_health: str | None = None
    """Docker's own verdict on a container: starting, healthy, unhealthy."""
    warning: str | None = None
    """What contradicts `healthy`."""
    warning_hint: str | None = None
    """What to do about the warning."""
    member: str | None = None
    """The server of the instance, by its name; None: the agent is none."""
    role: Role | None = None
    """None: it did not say."""
    lag: float | None = None
    """As in Vitals."""

    def as_json(self) -> dict[str, object]:
        """The unit as `status --json` shows it."""
        return asdict(self)


def status(context: Context, choice: Choice) -> list[UnitStatus]:
    """Every chosen unit of the stack, asked side by side. What keeps one from being asked is told
    in its row; raised as MngdbError where no row says more than that."""

    def job(instance: Instance, _: workers.Emit) -> list[UnitStatus]:
        return look(context, _desired(context, instance))

    results = workers.each(context.stack, job, lambda _: None, choice.names)
    found, errors = workers.apart(results)
    units = [
        unit
        for name in results
        for unit in found.get(name) or _unasked(context, context.instance(name), errors[name])
    ]
    if errors and not found and all(unit.state in {_UNREACHABLE, _UNKNOWN} for unit in units):
        raise next(iter(errors.values()))
    return [*units, *(agent(context) if choice.agent else ())]


def _desired(context: Context, instance: Instance) -> DesiredInstance:
    """What is needed to ask a server: by its apps' own logins, where a secret of mngdb's own cannot
    be used. Raises MngdbError."""
    try:
        return context.asked(instance, invent=True, find=False)
    except SecretError:
        apps = _apps(instance, unusable.logins(context, instance))
        if not apps:
            raise
        return context.as_login(instance, *apps)


def bad_secrets(context: Context, choice: Choice) -> dict[str, SecretError]:
    """The secrets of logins on the chosen servers that cannot be used, with the reason. None where
    the vault cannot be asked: the units' rows say so."""
    names = context.login_secrets([one.name for one in choice.of(context)])
    try:
        return unusable.among(context, names)
    except SecretError:
        return {}


def services(context: Context) -> list[Service]:
    """The containers beside the servers: exporters, what a page is made of. Raises MngdbError."""
    return [one for sidecars in context.sidecars() for one in sidecars.services()]


def agent(context: Context) -> list[UnitStatus]:
    """The agent's unit, where the file wants one or one runs all the same."""
    unit = AgentUnit(context)
    process = unit.process()
    if unit.spec is None and process is None:
        return []
    disabled = MngdbError("the file disables the agent; 'mngdb up' stops it")
    wrong = unit.problem() if unit.spec else disabled
    # by what the file said before it works all the same
    works = unit.spec is not None and wrong is not None and wrong.message in {STALE, OUTDATED}
    return [
        UnitStatus(
            name=unit.name,
            instance=AGENT,
            engine=AGENT,
            state="running" if process else "stopped" if unit.folder.exists() else "absent",
            healthy=wrong is None or works,
            version=__version__,
            host=unit.spec.bind if unit.spec else "",
            port=unit.spec.ports.mngdb if unit.spec else 0,
            memory=process.memory(alone=True) if process else None,  # its children are servers
            uptime=process.uptime() if process else None,
            warning=f"{unit.name}: {wrong.message}" if wrong and works else None,
            warning_hint=_DIFFERS if works else None,
            error=wrong.message if wrong and not works else None,
            hint=wrong.hint if wrong else None,
        )
    ]


def look(context: Context, asked: DesiredInstance) -> list[UnitStatus]:
    """The units of an instance: each one's process, then a real query over TCP as a real user."""
    return [_look(context, asked, member) for member in asked.instance.members]


def _look(context: Context, asked: DesiredInstance, member: Member) -> UnitStatus:
    instance, name = asked.instance, member.name
    try:
        access = context.login(asked, next(iter(_apps(instance, asked.unusable)), None))
    except AbsentError as none:
        absent = _with(_unit(member, "", 0), state="absent")
        return _with(absent, error=none.message, hint=none.hint)
    found = _with(_unit(member, access.host, access.port), user=access.user)
    memory = uptime = None
    servers = context.target(instance).servers
    if servers is not None:
        process = servers.process(name)
        missing = servers.missing(name)
        if process is None:
            state = servers.state(name)
            if not missing and name in wishes.stopped(context.stack.state):
                hint = f"mngdb up {instance.name}"
                return _with(found, state=state, error="stopped by 'mngdb down'", hint=hint)
            obstacle = context.obstacle(instance) if state == "stopped" else None
            if obstacle is not None:
                text = f"not running: {obstacle.message}"
                return _with(found, state=state, error=text, hint=obstacle.hint)
            return _with(found, state=state, error=missing or "not running")
        if missing:
            error = f"running without its data: {missing}"
            return _with(found, state="running", error=error)
        memory, uptime = process.memory(), process.uptime()
        found = _with(found, state="running", memory=memory, uptime=uptime)
        found = _judged(found, process)
    try:
        found, vitals = _asked(context, asked, found)
    except MngdbError as error:
        # asked with a made-up secret, the server's answer says nothing
        login = next(iter(_apps(instance, asked.unusable)), "admin")
        secret = secret_name(instance, login)
        if login in context.logins(instance) and context.vault.get(secret) is None:
            return _with(found, error=context.missing(secret))
        return _unanswered(context, instance, found, error)
    return _with(
        _on_disk(context, instance, found),
        state="running",
        healthy=True,
        version=vitals.version,
        product=vitals.product,
        advisories=[]
        if instance.hosted  # a provider patches its own
        else [hole.id for hole in open_holes(context, asked, vitals.version, vitals.product)],
        uptime=uptime if uptime is not None else vitals.uptime,
        role=vitals.role,
        lag=vitals.lag,
    )


def full_disk(context: Context, instance: Instance) -> str:
    """That the disk of a server of this machine takes no more, for people; empty: it does, or
    nobody can tell."""
    outside = context.target(instance).outside
    if outside is None or not instance.here:
        return ""
    try:
        seen = outside.disk(instance)
    except MngdbError:
        return ""
    text = f"the file system of {seen.path} {seen.closed}" if seen.closed else ""
    if seen.free_bytes < _FULL:
        text = f"the disk under {seen.path} is full: {seen.free_bytes >> 20} MB left"
    return f"{text}: writes fail" if text else ""


def _on_disk(context: Context, instance: Instance, found: UnitStatus) -> UnitStatus:
    """With a warning where its disk takes no more, as a server may answer and refuse each write; or
    no copy of its log."""
    if found.warning is not None:
        return found
    text = full_disk(context, instance)
    if not text and (large := logs.large(context, instance)):
        text = large.text
    if not text:
        return found
    return _with(found, warning=f"{found.name}: {text}", warning_hint="mngdb doctor")


def _apps(instance: Instance, bad: Collection[str]) -> list[str]:
    """Those that can be asked. On an adopted server others chose what each may do, and most
    passwords: there the administrator asks. A damaged secret is its app's trouble alone."""
    return [] if instance.adopt else [app for app in instance.grants if app not in bad]


def _asked(
    context: Context, asked: DesiredInstance, found: UnitStatus
) -> tuple[UnitStatus, Vitals]:
    """What the server says to the first app; to the next, where that one has used up its
    connections, or set itself what ends its sessions."""
    engine, apps = context.engine(asked.instance), _apps(asked.instance, asked.unusable)
    while True:
        access = context.login(asked, next(iter(apps), None))
        try:
            with context.reach(asked.instance), engine.connect(access, 5.0) as session:
                return _with(found, user=access.user), engine.vitals(session)
        except MngdbError as error:
            of_server = isinstance(error, ConnectError) and error.kind not in _OF_ONE
            if of_server or not apps[1:]:
                raise
            apps = apps[1:]
            if found.warning is None:
                warning = f"{found.name}: {error.message}"
                found = _with(found, warning=warning, warning_hint=error.hint)


def _unasked(context: Context, instance: Instance, error: MngdbError) -> list[UnitStatus]:
    """Units that could not be asked: a secret or a note of their own is damaged."""
    servers, found = context.target(instance).servers, []
    for member in instance.members:
        unit = _unit(member, "", 0)
        if servers is not None:
            state = _UNKNOWN
            with contextlib.suppress(MngdbError):
                running = servers.process(member.name) is not None
                state = "running" if running else servers.state(member.name)
            spec = instance.spec
            unit = _with(unit, state=state, host=spec.bind[0], port=spec.port)
        found.append(_with(unit, error=error.message, hint=error.hint))
    return found


def _unit(member: Member, host: str, port: int) -> UnitStatus:
    """Before anything is known of it."""
    name, instance = member.name, member.instance
    return UnitStatus(
        name, instance.name, instance.engine, _UNREACHABLE, False, None, host, port, member=name
    )


def _judged(found: UnitStatus, process: Running) -> UnitStatus:
    """With Docker's own verdict beside ours, explained where it may contradict it."""
    if not process.verdict:
        return found
    changes: dict[str, object] = {"docker_health": process.verdict}
    if process.verdict == "unhealthy":
        changes["warning"] = f"Docker reports {found.name} as unhealthy: {process.said}"
        changes["warning_hint"] = _DIFFERS
    return _with(found, **changes)


def _unanswered(
    context: Context, instance: Instance, found: UnitStatus, error: MngdbError
) -> UnitStatus:
    """A unit that runs, with what keeps it from answering and what to do about it."""
    if not instance.managed or not isinstance(error, ConnectError):
        return _with(found, error=error.message)
    told = context.target(instance).explained(instance, error)
    state = told.kind if isinstance(told, ConnectError) and told.kind in _STATES else found.state
    return _with(found, state=state, error=told.message, hint=told.hint)


def _with(found: UnitStatus, **changes: object) -> UnitStatus:
    return replace(found, **changes)
