"""`up`: the change that `plan` shows."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Never

from msgspec import Struct, field

from mngdb import disk
from mngdb.errors import MngdbError, of_system
from mngdb.events import Done, Progress, Survey
from mngdb.lock import lock
from mngdb.model import DesiredInstance, Notice, Step
from mngdb.ops import (
    audit,
    boot,
    crashes,
    leftovers,
    notices,
    old_copy,
    paid,
    passwords,
    patch_levels,
    probes,
    publish,
    status,
    team,
    unfinished,
    unusable,
    wishes,
    workers,
)
from mngdb.ops.agent import AgentUnit
from mngdb.ops.choice import Choice, whole
from mngdb.ops.context import Context
from mngdb.ops.down import unmake
from mngdb.ops.relocate import relocated
from mngdb.ops.secret_steps import secret_steps
from mngdb.secret import app_of
from mngdb.spec.agent import AGENT, MONITOR
from mngdb.spec.engine_info import bare_login
from mngdb.spec.stack import Instance
from mngdb.targets.protocol import ALLOW_ENGINE
from mngdb.words import COSTS, many

if TYPE_CHECKING:
    from mngdb.facts.doctor import Service

#: Seconds that health checks may take to come round, and between two looks.
_PROVEN, _PAUSE = 15.0, 0.3

#: What servers that cost money, and that nobody could look at, are called among the errors.
_PAID = "servers that left the file"

OnEvent = Callable[[object], None]
#: What became of an instance, and how it is now.
Outcome = tuple[Survey | MngdbError, list[status.UnitStatus]]


class Report(Struct):
    """What `up` did."""

    done: list[Step[Never]] = field(default_factory=list)
    failed: list[Step[Never]] = field(default_factory=list)
    """Steps that were begun: a restart that fails has stopped its server."""
    refused: list[Step[Never]] = field(default_factory=list)
    """Destructive steps that the command did not name, and costly ones that it did not agree to."""
    notices: list[Notice] = field(default_factory=list)
    standing: dict[str, Sequence[Notice]] = field(default_factory=dict)
    """Of these those of servers, which `plan` shows as well."""
    errors: dict[str, MngdbError] = field(default_factory=dict)
    """Instance to what ended its work, and an app's secret to why it cannot be used; everything
    else went on."""
    units: list[status.UnitStatus] = field(default_factory=list)
    services: list[Service] = field(default_factory=list)
    """The containers beside the units; those with a health check may still be starting."""


def up(
    context: Context,
    allow: frozenset[str],
    on_event: OnEvent,
    choice: Choice | None = None,
    *,
    restart: bool = False,
    new_ports: bool = False,
) -> Report:
    """Make it so, every instance side by side, or those of a `choice`; with `restart` each of them
    is started anew; with `new_ports`, remembered ports that others have are replaced. `on_event`
    gets Progress and Done as they come.

    Raises MngdbError before anything is touched when a program or a secret is not usable, and
    reports ports that are not; afterwards what fails is in the report.
    """
    report = Report()
    state = context.stack.state
    choice = choice or whole(context)
    needed = _needed(context, choice)
    context.missing_secrets(needed)  # unusable ones are told before the state folder is made
    context.make_accounts()
    asked = context.all_asked(allow=allow, only=needed)
    context, moved = relocated(context, on_event)
    if moved is not None:
        report.done.append(moved)
        on_event(Done(moved))
        # all were stopped for it
        choice, state = whole(context), context.stack.state
        needed = _needed(context, choice)
        asked = context.all_asked(allow=allow, only=needed)
    pointed = context.located.pointed()
    context.claim()
    with lock(state / "lock", "restart" if restart else "up"):
        context.located.reclaim()
        settled = context.with_ports(anew=new_ports)
        if settled is not context:
            context, asked = settled, settled.all_asked(allow=allow, only=needed)
        if context.vault.writable:
            # a rotation went on until we had the lock, say, or while data was restored
            context.vault.forget()
        _sweep(state)
        places = [s for s in context.servers() if choice.whole or context.there(asked, s)]
        for servers in places:
            servers.expect(context.there(asked, servers))
            servers.check_names(allow)
            servers.begin()
        for step in leftovers.steps(context) if choice.whole else ():
            # first: another instance may want the port
            _take(context, step, report, on_event)
        agent = AgentUnit(context)
        mending = list(agent.steps(restart=restart)) if choice.agent else []
        chosen = {name: one for name, one in asked.items() if name in choice.names}
        troubles = _preflights(context, chosen, agent if mending else None)
        if troubles.keys() - {AGENT}:
            report.errors |= troubles
            if context.located.kind == "new":
                unmake(context, pointed)  # nothing was changed, as it says: it is no stack yet
            return report
        if choice.whole:
            for step in team.steps(context):
                _take(context, step, report, on_event)
            team.keep(context)
        units = None if choice.whole else [one.unit for one in choice.of(context)]
        wishes.start(state, units)
        crashes.forget(state, units)
        others = passwords.kept(context, chosen)
        missing = [one for one in context.missing_secrets(needed) if one not in others]
        for step in secret_steps(context, missing):
            _take(context, step, report)
        asked = {name: context.with_secrets(one) for name, one in asked.items()}
        for servers in places:
            for step in servers.repairs(context.there(asked, servers)):
                _take(context, step, report, on_event)
            servers.publish(context.there(asked, servers))

        def job(instance: Instance, emit: workers.Emit) -> Outcome:
            return _converge(context, asked[instance.name], emit, restart=restart)

        def collect(event: object) -> None:
            if isinstance(event, Done):
                (report.failed if event.error else report.done).append(event.step)
            on_event(event)

        # before anything is made: what a killed command made is known to the next one
        context.record({n: a.known | _unmarked(context, a) for n, a in asked.items()})
        # the agent starts while the servers do, and touches nothing as long as we hold the lock
        error = troubles.get(AGENT) or _do_agent(context, agent, mending, report, on_event)
        if choice.whole:
            _remove_paid(context, allow, report, on_event)
        results = workers.each(context.stack, job, collect, choice.names)
        _collect(context, report, results)
        unfinished.note(state, chosen, report.errors)
        report.notices += notices.of_memory(chosen.values())
        report.notices += notices.of_disks(context, chosen)
        report.notices += patch_levels.notices(context, asked, _started(context, report))
        if error is None and mending and agent.spec is not None:
            error = _waited(agent)
        if error is not None:
            report.errors[AGENT] = error
        elif report.done:
            agent.look_again()
        report.units += status.agent(context) if choice.agent else []
        if not report.errors:
            _last(context, report, on_event, choice)
            report.notices += _idle(allow, report)
        # an instance that failed is told, and keeps none of the others from being looked at
        others_done = [step for step in report.done if step.instance not in report.errors]
        report.notices += notices.shut_out(context, others_done)
        _publish(context, report, choice)
        if choice.whole:
            _at_boot(context, report, on_event)
        if not report.errors:
            report.notices += boot.notices(context) if choice.whole else ()
        report.errors |= unusable.of_apps(context, choice.names)
    return report


def _converge(
    context: Context, asked: DesiredInstance, emit: workers.Emit, *, restart: bool
) -> Outcome:
    """Bring one instance up, and look how it is then."""
    instance, state = asked.instance, context.stack.state
    changes = 0

    def tell(event: object) -> None:
        nonlocal changes
        if isinstance(event, Done):
            changes += not event.error
            audit.note(state, "up", event.step, event.error)
        emit(event)

    begun = time.time()
    try:
        old_copy.check(context, asked)
        survey = context.target(instance).converger(asked, tell).up(restart=restart)
    except MngdbError as error:
        # it may run all the same, with all that was asked of it before
        return error, status.look(context, asked)
    finally:
        if instance.managed:
            own = context.admin(asked).user
            probes.note(state, instance, begun, own, MONITOR)
    units = status.look(context, asked)
    for unit in units if changes else ():
        if unit.healthy:
            text = f"healthy after {survey.seconds:.1f} s, {many(changes, 'change')}"
            emit(Progress(unit.name, text))
    return survey, units


def _remove_paid(
    context: Context, allow: frozenset[str], report: Report, on_event: OnEvent
) -> None:
    """Remove what costs money at a provider's and is not needed. What fails keeps no server from
    coming up."""
    try:
        for step in paid.steps(context, allow):
            if (error := _failed(context, step, report, on_event)) is not None:
                report.errors[step.object] = error
        report.notices += paid.notices(context)
    except MngdbError as error:
        report.errors[_PAID] = error


def _sweep(state: Path) -> None:
    """Remove what killed commands left half written. The servers' folders are their target's."""
    for folder, below, _ in os.walk(state):
        below[:] = set(below) - {"servers"}
        disk.sweep(Path(folder))


def _take(
    context: Context, step: Step[None], report: Report, on_event: OnEvent = lambda _: None
) -> None:
    """Take a step of the stack as a whole, and keep that it was taken. Raises what it raises."""
    step.run(None)
    audit.note(context.stack.state, "up", step)
    report.done.append(step)
    on_event(Done(step))


def _failed(
    context: Context, step: Step[None], report: Report, on_event: OnEvent = lambda _: None
) -> MngdbError | None:
    """As `_take`; an error is kept and returned."""
    try:
        _take(context, step, report, on_event)
    except (MngdbError, OSError) as failure:
        error = of_system(failure)
        audit.note(context.stack.state, "up", step, error.message)
        return error
    return None


def _idle(allow: frozenset[str], report: Report) -> list[Notice]:
    """What was allowed and did not have to be: a slip of the pen looks the same."""
    # a login may be named with or without the word that its engine has for one
    done = {bare_login(step.object) for step in report.done}
    named = allow - {"*", COSTS, ALLOW_ENGINE}
    names = sorted(name for name in named if bare_login(name) not in done)
    text = "--allow names {}, but nothing had to be done there"
    return [Notice("", text.format(repr(name)), "'mngdb plan' shows the names") for name in names]


def _do_agent(
    context: Context, agent: AgentUnit, steps: list[Step[None]], report: Report, on_event: OnEvent
) -> MngdbError | None:
    """The agent's steps. Its troubles keep no server from coming up: they are returned."""
    for step in steps:
        on_event(Progress(agent.name, step.detail))
        error = _failed(context, step, report)
        if error is not None:
            return error
    return None


def _at_boot(context: Context, report: Report, on_event: OnEvent) -> None:
    """See that an installed unit still starts the stack. Its troubles keep no server from coming
    up."""
    try:
        for step in boot.steps(context):
            _take(context, step, report, on_event)
    except (MngdbError, OSError) as failure:
        report.errors[boot.AT_BOOT] = of_system(failure)


def _waited(agent: AgentUnit) -> MngdbError | None:
    try:
        agent.wait()
    except MngdbError as error:
        return error
    return None


def _needed(context: Context, choice: Choice) -> frozenset[str]:
    """The instances whose secrets a choice needs: those in containers are described in one file."""
    together = {i.name for i in context.stack.instances.values() if i.contained}
    return choice.names | (together if together & choice.names else frozenset())


def _last(context: Context, report: Report, on_event: OnEvent, choice: Choice) -> None:
    """What hangs on instances and is none: exporters, pages. One that fails keeps none of the
    others from coming up."""
    for sidecars in context.sidecars():
        for step in sidecars.steps():
            own = step.instance in choice.names and step.action != "stop"
            if not (choice.whole or own):
                continue
            error = _failed(context, step, report, on_event)
            if error is not None:
                report.errors[step.object] = error
    if report.done:
        _proven(context, on_event)
    report.services += [
        one for one in status.services(context) if choice.whole or set(one.instances) & choice.names
    ]
    for one in report.services:
        if one.state != "running" and one.name not in report.errors:
            error = MngdbError(f"{one.name} {one.problem}", f"mngdb logs {one.name}")
            report.errors[one.name] = error


def _publish(context: Context, report: Report, choice: Choice) -> None:
    """What apps read, once their logins are there. A vault that cannot take it keeps no server from
    coming up."""
    left = {name for name in choice.names if name in report.errors}
    used = {app: {one.name for one in context.app(app)} for app in context.stack.apps}
    whole = choice.whole and not left
    apps = None if whole else [a for a, i in used.items() if i & choice.names and not i & left]
    try:
        for step in publish.steps(context, apps):
            _take(context, step, report)
    except (MngdbError, OSError) as failure:
        report.errors[publish.VAULT] = of_system(failure)


def _proven(context: Context, on_event: OnEvent) -> None:
    """Wait until Docker says of its containers what we have seen: it looks every few seconds, and
    what comes after `up` (`docker compose ps`, a script) asks it and not us."""
    end = time.monotonic() + _PROVEN
    for sidecars in context.sidecars():
        said = ""
        while (late := sidecars.unproven()) and time.monotonic() < end:
            if late[0] != said:
                said = late[0]
                on_event(Progress(said, f"waiting up to {_PROVEN:.0f} s for its health check"))
            time.sleep(_PAUSE)


def _collect(
    context: Context,
    report: Report,
    results: Mapping[str, workers.Result[Outcome]],
) -> None:
    known = {}
    report.notices += notices.of_file(context)
    if any(one.action == "create" and one.object in context.stack.members for one in report.done):
        report.notices += [notice for one in context.servers() for notice in one.notices()]
    for name, result in results.items():
        if result.error is not None:
            report.errors[name] = result.error
            continue
        survey, units = result.get()
        report.units += units
        if isinstance(survey, MngdbError):
            report.errors[name] = survey
            continue
        report.refused += survey.steps
        report.standing[name] = survey.notices
        known[name] = survey.unmarked
        if any(step.costs for step in survey.steps):
            continue  # nobody agreed to pay for it
        for unit in (one for one in units if not one.healthy):
            app = app_of(unit.user or "")
            report.errors[name] = MngdbError(
                f"{unit.name} is running, but {unit.user or 'mngdb'} cannot use it: {unit.error}",
                f"mngdb doctor {app}" if app in context.stack.apps else "mngdb doctor",
            )
    report.notices += [one for found in report.standing.values() for one in found]
    context.record(known)


def _started(context: Context, report: Report) -> list[str]:
    """The instances whose servers were started or restarted."""
    begun = {step.object for step in report.done if step.action in {"start", "restart"}}
    every = context.stack.members.values()
    return list(dict.fromkeys(one.instance.name for one in every if one.name in begun))


def _unmarked(context: Context, asked: DesiredInstance) -> frozenset[str]:
    return context.engine(asked.instance).unmarked(asked)


def _preflights(
    context: Context, asked: Mapping[str, DesiredInstance], agent: AgentUnit | None
) -> dict[str, MngdbError]:
    """What would keep units from starting, of all of them at once."""
    looks: dict[str, Callable[[], None]] = {
        name: partial(context.target(one.instance).preflight, one) for name, one in asked.items()
    }
    if agent is not None:
        looks[AGENT] = agent.preflight
    found = {}
    for name, look in looks.items():
        try:
            look()
        except MngdbError as error:
            found[name] = error
    return found
