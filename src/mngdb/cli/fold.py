"""A plan in short: a line for each server and each app, and in full what changes something that is
there already. Pure.

| a step                                                    | is shown                          |
|-----------------------------------------------------------|-----------------------------------|
| destroys, costs, drops, rebuilds, stops, moves, restarts  | in full                           |
| changes, grants, revokes on something that was there      | in full, up to a few of each line |
| any other: what is new, with the rights that belong to it | counted                           |
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Never

import click
from msgspec import Struct, field
from msgspec.structs import replace

from mngdb.model import SERVER, Notice, Step
from mngdb.words import many, plain

Steps = Sequence[Step[Never]]
#: What a step does to the thing that it is about.
_SIGNS = {"create": "+", "grant": "+", "start": "+", "drop": "-", "revoke": "-", "stop": "-"}
_COLOURS = {
    "create": "green",
    "grant": "green",
    "start": "green",
    "drop": "red",
    "revoke": "yellow",
    "rebuild": "red",
    "restart": "yellow",
    "stop": "yellow",
}
_LOUD = frozenset({"drop", "rebuild", "stop", "move", "restart"})
#: Actions of which the number says enough.
_COUNTED = frozenset({"grant", "revoke"})
#: Changes to what is there already that one server or app has shown in full.
_FEW = 4
#: Objects that one notice names.
_NAMES = 30


class _Group(Struct):
    """A server, or an app with all that it has on servers."""

    label: str
    quiet: list[Step[Never]] = field(default_factory=list)
    changes: list[Step[Never]] = field(default_factory=list)
    loud: list[Step[Never]] = field(default_factory=list)


def line(step: Step[Never]) -> str:
    """One step in full."""
    return f"{step.instance:<16} {_verb(step, 8)} {_said(step)}"


def fold(steps: Steps, apps: Iterable[str]) -> Iterator[str]:
    """The same in short: servers first, then apps in the order of the file."""
    order = {app: number for number, app in enumerate(["", *apps])}
    groups = _groups(sorted(steps, key=lambda step: order.get(step.app, len(order))))
    labels = [one.label for one in groups] + [step.instance for step in steps]
    width = max(map(len, labels), default=0)
    for one in groups:
        full = [*one.loud]
        if len(one.changes) <= _FEW:
            full = [*one.changes, *full]
        else:
            one.quiet += one.changes
        if len(one.quiet) == 1:
            full = [*one.quiet, *full]
        elif one.quiet:
            sign = "+" if any(step.action == "create" for step in one.quiet) else "~"
            yield f"{_coloured(sign)} {one.label:<{width}}  {_counted(one.quiet)}"
        for step in full:
            sign = _coloured(_SIGNS.get(step.action, "~"))
            yield f"{sign} {step.instance:<{width}}  {_verb(step)} {_said(step)}"


def alike(notices: Sequence[Notice]) -> Iterator[Notice]:
    """Notices where those that say the same of several objects are one, at the place of the
    first, with its hint for each."""
    several: dict[tuple[str, str], list[str]] = {}
    for one in notices:
        if one.alike:
            several.setdefault((one.instance, one.alike), []).append(one.about)
    for one in notices:
        names = several.get((one.instance, one.alike), [])
        if len(names) < 2:
            yield one
        elif one.about == names[0]:
            more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
            hint = one.hint and f"{one.hint}; likewise the others"
            yield replace(one, text=f"{one.alike} {', '.join(names[:_NAMES])}{more}", hint=hint)


def _groups(steps: Steps) -> list[_Group]:
    made = {(step.instance, step.object) for step in steps if step.action == "create"}
    servers = {step.instance for step in steps if step.action == "create" and step.kind == SERVER}
    apps = {
        (step.instance, step.app)
        for step in steps
        if step.action == "create" and step.kind not in {"secret", "settings"}
    }
    groups: dict[str, _Group] = {}
    for step in steps:
        label = f"app {step.app}" if step.app else step.instance
        group = groups.setdefault(label, _Group(label))
        new = (
            step.action in {"create", "start"}
            or step.instance in servers
            or (step.instance, step.object) in made
            or (step.app and (step.instance, step.app) in apps)
            or step.kind == "settings"
        )
        if step.action in _LOUD or step.destructive or step.restart or step.costs:
            group.loud.append(step)
        else:
            (group.quiet if new else group.changes).append(step)
    return [*groups.values()]


def _counted(steps: Steps) -> str:
    """What steps do, in numbers: `create 2 secrets, role, database; 2 grants`. What is started is
    told with its version and address."""
    by: dict[str, list[str]] = {}
    for step in steps:
        start = plain(f"{step.object} ({step.detail})") if step.action == "start" else ""
        by.setdefault(step.action, []).append(start or step.kind or plain(step.object))
    return "; ".join(
        many(len(kinds), action) if action in _COUNTED else f"{action} {_kinds(kinds)}"
        for action, kinds in by.items()
    )


def _kinds(kinds: Sequence[str]) -> str:
    return ", ".join(
        kind if (count := kinds.count(kind)) == 1 else many(count, kind)
        for kind in dict.fromkeys(kinds)
    )


def _verb(step: Step[Never], width: int = 0) -> str:
    return click.style(f"{step.action:<{width}}", fg=_COLOURS.get(step.action, "cyan"))


def _said(step: Step[Never]) -> str:
    marks = [
        mark
        for mark, is_so in (("restart", step.restart), ("destructive", step.destructive))
        if is_so and mark != step.action
    ]
    marks += [f"costs: {step.costs}"] if step.costs else []
    end = f" [{', '.join(marks)}]" if marks else ""
    return plain(f"{step.object}: {step.detail}") + end


def _coloured(sign: str) -> str:
    return click.style(sign, fg={"+": "green", "-": "red"}.get(sign, "yellow"))
