"""plan, up, restart, down, destroy."""

from __future__ import annotations

import functools
import sys
import time
from typing import TYPE_CHECKING, Any, Never, cast

import click

from mngdb.cli.common import (
    F,
    Options,
    common,
    common_with_more,
    repeatable,
    say,
    say_json,
    tell,
)
from mngdb.cli.layout import table
from mngdb.words import COSTS, many, named, plain, span

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mngdb.errors import MngdbError
    from mngdb.facts.doctor import Service
    from mngdb.model import Notice, Step
    from mngdb.ops.choice import Choice
    from mngdb.ops.context import Context
    from mngdb.ops.status import UnitStatus
    from mngdb.ops.up import Report

#: Seconds of lag that say nothing (model.Vitals).
_USUAL_LAG = 15.0
#: Letters of the column that has a unit's name, where units are not known before.
_UNIT = 15
#: Notes that are told again with each `up`; more of them are counted.
_FEW = 3
#: The exit code of `plan --exit-code` where there are steps: no failure has it.
_DIFFERS = 4


def _allowing(function: F) -> F:
    """Add what 'up' is allowed to do, and 'plan' shows the same way: one set of names."""

    @click.option(
        "--allow",
        multiple=True,
        metavar="OBJECT",
        help="Allow a destructive step on OBJECT, or disable a login, as named by 'plan'.",
    )
    @click.option(
        "--prune",
        is_flag=True,
        help="Drop logins of apps removed from the file; roles that own data stay, without login.",
    )
    @click.option(
        "--yes",
        is_flag=True,
        help="Agree to what costs money, as 'plan' shows it, without a prompt.",
    )
    @functools.wraps(function)
    def wrapped(*, allow: tuple[str, ...], prune: bool, yes: bool, **rest: Any) -> Any:
        more = ({"*"} if prune else set()) | ({COSTS} if yes else set())
        return function(allow=frozenset(allow) | more, **rest)

    return cast(F, wrapped)


@click.command()
@click.option("--exit-code", is_flag=True, help="Exit 4 if there are steps.")
@_allowing
@common_with_more
def plan(options: Options, allow: frozenset[str], exit_code: bool) -> int:
    """Show what 'up' would do with the same options: a line for each server and each app, and in
    full what changes or removes something that is there. Changes nothing."""
    from mngdb.cli.fold import alike, fold, line
    from mngdb.ops.plan import plan as make

    context = options.context()
    found = make(context, allow)
    _errors(found.errors)
    if options.json:
        say_json(
            {
                "stack": context.stack.name,
                "steps": [step.as_json() for step in found.steps],
                "remarks": [_notice_json(notice) for notice in found.notices],
                **({"errors": _errors_json(found.errors)} if found.errors else {}),
            }
        )
    else:
        apps = context.stack.apps
        shown = list(map(line, found.steps) if options.verbose else fold(found.steps, apps))
        for text in shown:
            say(text)
        _notices(found.notices if options.verbose else [*alike(found.notices)])
        steps = many(len(found.steps), "step")
        if len(shown) < len(found.steps):
            steps += " ('mngdb plan -v' lists each)"
        if found.errors:
            tell(f"{steps} known, {many(len(found.errors), 'error')}")
        elif not found.steps:
            say("nothing to change")
        elif found.refused:
            tell(f"{steps}; 'up' skips {_refused(found.steps, found.refused)}")
        else:
            tell(f"{steps}; run 'mngdb up' to apply")
    if found.errors:
        return max(error.exit_code for error in found.errors.values())
    return _DIFFERS if exit_code and found.steps else 0


@click.command()
@click.argument("instances", metavar="[INSTANCE]...", nargs=-1)
@click.option(
    "--new", "fresh", is_flag=True, help="Start an empty stack, even if one existed before."
)
@click.option("--boot", is_flag=True, help="Do not start what 'down INSTANCE' stopped.")
@click.option(
    "--new-ports", is_flag=True, help="Replace ports of 'port: auto' that other processes have."
)
@_allowing
@common
@repeatable
def up(
    options: Options,
    instances: tuple[str, ...],
    allow: frozenset[str],
    boot: bool,
    fresh: bool,
    new_ports: bool,
) -> int:
    """Apply the file: start and harden servers, give every app a login. Can be run again at any
    time. With INSTANCE, only these; the others are not even inspected."""
    from mngdb.errors import UsageError
    from mngdb.ops.choice import after_boot, choose

    if boot and instances:
        raise UsageError("--boot applies to the whole stack", "omit the instances")
    context = options.context(fresh=fresh)
    choice = after_boot(context) if boot else choose(context, instances)
    return _make(options, context, allow, choice, new_ports=new_ports)


@click.command()
@click.argument("instances", metavar="[INSTANCE]...", nargs=-1)
@common
@repeatable
def restart(options: Options, instances: tuple[str, ...]) -> int:
    """Stop servers cleanly and start them with the current file: all servers and the agent, or
    INSTANCE only. Stopped servers are started."""
    from mngdb.errors import UsageError
    from mngdb.ops.choice import choose, refuse_external

    context = options.context()
    choice = choose(context, instances)
    if instances:
        refuse_external(choice.of(context), "restart")
    if context.located.kind == "new":
        raise UsageError("this stack was never started", "mngdb up")
    return _make(options, context, frozenset(), choice, restart=True)


def _make(
    options: Options,
    context: Context,
    allow: frozenset[str],
    choice: Choice,
    *,
    restart: bool = False,
    new_ports: bool = False,
) -> int:
    from mngdb.ops.up import up as make

    begun = time.monotonic()
    names = [one.unit for one in choice.of(context)]
    names += [f"{context.stack.name}-agent"] if context.stack.agent and choice.agent else []
    show = _Progress(max(map(len, names), default=0))
    try:
        report = make(context, allow, show, choice, restart=restart, new_ports=new_ports)
        if _agreed(options, report):
            report = make(options.context(), allow | {COSTS}, show, choice, restart=restart)
    except KeyboardInterrupt:
        show.left_alone()
        raise
    _errors(report.errors)
    if options.json:
        say_json(_report_json(context.stack.name, report))
    else:
        users = (app for app, rights in context.stack.apps.items() if rights and context.knows(app))
        _report(context, report, time.monotonic() - begun, next(users, None))
    if report.errors:
        return max(error.exit_code for error in report.errors.values())
    return 1 if report.refused else 0


def _agreed(options: Options, report: Report) -> bool:
    """Whether somebody at a terminal agrees to what costs money and was not done for that."""
    costly = [step for step in report.refused if step.costs]
    if not costly or report.errors or options.json or not sys.stdin.isatty():
        return False
    from mngdb.cli.fold import fold

    for text in fold(costly, ()):
        tell(text)
    return click.confirm("this costs money; go on?", err=True)


class _Progress:
    """One line for what a unit does, one for each change of a unit that was there before."""

    def __init__(self, width: int) -> None:
        self.width = width
        self._waiting: dict[str, str] = {}
        self._stopped: list[str] = []

    def left_alone(self) -> None:
        """Say of servers that were waited for that they run on, and how they are; and of those that
        were stopped to be started again, that they are."""
        for unit in self._stopped:
            tell(f"{unit:<{self.width}}  stopped by the interrupted restart: run 'mngdb up'")
        for unit, state in self._waiting.items():
            tell(f"{unit:<{self.width}}  keeps running, not interrupted: {state}")

    def __call__(self, event: object) -> None:
        from mngdb.cli.fold import line
        from mngdb.events import Done, Progress, Stopped, Waiting

        if isinstance(event, Stopped):
            self._stopped.append(event.unit)
        elif isinstance(event, Waiting):
            self._waiting[event.unit] = event.state
            if not event.shown:
                return
        elif isinstance(event, Progress):
            self._waiting.pop(event.unit, None)
        if isinstance(event, Progress):
            tell(f"{event.unit:<{self.width}}  {event.text}")
        elif isinstance(event, Done) and not event.fresh and event.step.action != "start":
            tell(line(event.step) + (": failed" if event.error else ""))


def _report(context: Context, report: Report, seconds: float, app: str | None) -> None:
    from mngdb.cli.fold import alike
    from mngdb.ops import seen_notices

    for step in report.refused:
        why, how = "destructive", f"--allow {named(step.object)}"
        if step.costs:
            why, how = f"costs {step.costs}", "--yes"
        tell(plain(f"not done, {why}: {step.action} {step.object} ({step.detail})"))
        tell(f"  hint: mngdb up {how}")
    before = seen_notices.before(context.stack.state, report.standing)
    known = len([*alike(before)])
    folded = before if known > _FEW else []
    _notices([*alike([one for one in report.notices if one not in folded])])
    if folded:
        tell(f"{many(known, 'note')} as before: mngdb plan")
    seen_notices.keep(context.stack.state, report.standing)
    if report.units:
        tell("")
        for text in unit_table(report.units, report.services):
            say(text)
    tell("")
    if report.errors and not report.done and not report.failed:
        tell("nothing was changed")
    elif report.errors:
        tell(
            f"{many(len(report.errors), 'error')}; completed steps are kept, "
            "'mngdb up' continues from here"
        )
    elif not report.done and not report.refused:
        tell("nothing to change")
    else:
        tell(f"{many(len(report.done), 'step')} in {seconds:.1f} s")
    if app and not report.errors and not any(step.costs for step in report.refused):
        tell(f"next: mngdb env {app}")


def _report_json(stack: str, report: Report) -> dict[str, object]:
    return {
        "stack": stack,
        "steps": [step.as_json() for step in report.done],
        "refused": [step.as_json() for step in report.refused],
        "remarks": [_notice_json(notice) for notice in report.notices],
        "errors": _errors_json(report.errors),
        "units": [unit.as_json() for unit in report.units],
        "services": [service.as_json() for service in report.services],
    }


@click.command()
@click.argument("instances", metavar="[INSTANCE]...", nargs=-1)
@common
@repeatable
def down(options: Options, instances: tuple[str, ...]) -> None:
    """Stop the servers cleanly. Data, secrets and settings are kept; 'up' starts them again. With
    INSTANCE, only these: neither the agent nor a reboot starts them before 'up' does."""
    from mngdb.ops.down import down as stop

    context = options.context()
    stopped = stop(context, _Progress(_UNIT), instances)
    if options.json:
        say_json({"stack": context.stack.name, "stopped": stopped})
    elif not stopped:
        say(f"{' and '.join(instances)}: not running" if instances else "nothing is running")
    hosted = [one.name for one in context.stack.instances.values() if one.hosted]
    if hosted and not instances:
        tell(f"not stopped, as their provider runs them: {', '.join(hosted)}")


@click.command()
@click.option("--yes", metavar="NAME", help="The stack's name; skips the prompt.")
@common
@repeatable
def destroy(options: Options, yes: str | None) -> None:
    """Stop the servers and remove everything: data, secrets, logs. Prompts for the stack's name. A
    server that has not stopped after 30 s is killed."""
    from mngdb.errors import UsageError
    from mngdb.ops.down import destroy as remove

    context = options.context()
    name, there = context.stack.name, context.stack.state.is_dir()
    every = context.stack.instances.values()
    others = [one.name for one in every if not (one.managed or one.hosted)]
    if yes is None and there:
        data = "database, " if len(others) < len(every) else ""
        tell(f"This removes every {data}secret and log of the stack {name!r}.")
        try:
            yes = click.prompt("Enter its name to continue", err=True)
        except click.Abort:
            tell("")
            hint = f"mngdb destroy --yes {name}"
            raise UsageError(
                "the stack's name was not entered; nothing was removed", hint
            ) from None
    chosen = name if yes is None else yes
    staying = remove(context, chosen, _Progress(_UNIT))
    if there and others:
        tell(f"logins and data on external servers are kept: {', '.join(others)}")
    if options.json:
        left = [_notice_json(notice) for notice in staying]
        say_json({"stack": name, "destroyed": True, **({"remarks": left} if left else {})})
    else:
        _notices(staying)
        say(f"removed {name}" if there else f"nothing to remove: {name} does not exist here")


# --- how it looks


def _refused(steps: tuple[Step[Never], ...], count: int) -> str:
    """What `up` leaves out, and what has it not do so."""
    if any(step.costs for step in steps):
        return (
            f"{many(count, 'step')} without --yes (costs) or --allow (destructive), and what "
            "depends on that"
        )
    return f"{many(count, 'destructive step')} not named by --allow"


def _notices(notices: tuple[Notice, ...] | list[Notice]) -> None:
    for notice in notices:
        tell(plain(f"note: {notice.instance + ': ' if notice.instance else ''}{notice.text}"))
        if notice.hint:
            tell(plain(f"  hint: {notice.hint}"))


def _notice_json(notice: Notice) -> dict[str, str]:
    return {"instance": notice.instance, "text": notice.text, "hint": notice.hint}


def _errors(errors: Mapping[str, MngdbError]) -> None:
    for instance, error in errors.items():
        text = error.message.removeprefix(f"{instance}: ")
        tell(click.style("error:", fg="red") + f" {instance}: {text}")
        if error.hint:
            tell(f"  hint: {error.hint}")


def _errors_json(errors: Mapping[str, MngdbError]) -> list[dict[str, str | None]]:
    return [
        {"instance": name, "message": error.message, "hint": error.hint}
        for name, error in errors.items()
    ]


def _state(unit: UnitStatus) -> str:
    """How a unit is, for people: with its role where it is no primary, and Docker's verdict where
    it differs from ours."""
    if not unit.healthy:
        return unit.state if unit.state != "running" else "unhealthy"
    more = [str(unit.role)] if unit.role != "primary" and unit.role else []
    more += [f"{span(unit.lag)} behind"] if unit.lag and unit.lag > _USUAL_LAG else []
    more += ["Docker: unhealthy"] if unit.docker_health == "unhealthy" else []
    return f"healthy ({', '.join(more)})" if more else "healthy"


def _address(unit: UnitStatus) -> str:
    """Where a unit is reached; of several hosts that a connection string names, the first."""
    first, *others = unit.host.split(",")
    if others:
        return f"{first} (+{len(others)})"
    return f"{unit.host}:{unit.port}" if unit.host else "-"


def unit_table(units: list[UnitStatus], services: Sequence[Service] = ()) -> list[str]:

    from mngdb.spec.engine_info import ENGINE_INFO

    def title(unit: UnitStatus) -> str:
        own = ENGINE_INFO.get(unit.engine)
        return unit.product or (own.title if own else "mngdb")

    rows = [
        (
            unit.name,
            _state(unit),
            f"{title(unit)} {unit.version or '-'}{' (unpatched)' if unit.advisories else ''}",
            _address(unit),
            f"{unit.memory >> 20} MB" if unit.memory else "-",
            "-" if unit.uptime is None else span(unit.uptime),
        )
        for unit in units
    ]
    rows += [
        (
            one.name,
            (one.health or "running") if one.state == "running" else one.state,
            *("-", "-", "-"),
            "-" if one.uptime is None else span(one.uptime),
        )
        for one in services
    ]
    return table(("UNIT", "STATE", "VERSION", "ADDRESS", "MEMORY", "UP"), rows)
