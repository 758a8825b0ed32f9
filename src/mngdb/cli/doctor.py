"""doctor: what is wrong with the stack, or for one app."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mngdb.cli.common import Options, common, in_full, say, say_json, tell
from mngdb.facts.denied import remedies, told
from mngdb.words import many, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mngdb.facts.doctor import Answer, Diagnosis, StackFacts, Trouble
    from mngdb.ops.context import Context

#: Apps that a line names.
_SHOWN = 5


@click.command()
@click.argument("app", required=False)
@common
def doctor(options: Options, app: str | None) -> int:
    """Examine the whole stack, and name the most likely cause of a problem.

    Looks at secrets, disks, processes, connectivity, locks, connections, memory, and the login of
    every app with the settings that 'env' prints. Consequences are listed under their cause. With
    APP: connects and works as the app does, and reports what fails. Changes nothing. Exits 0 if
    nothing is wrong, 1 if something is, 3 if that cannot be told.
    """
    context = options.context()
    return _of_stack(options, context) if app is None else _of_app(options, context, app)


def _of_app(options: Options, context: Context, app: str) -> int:
    from mngdb.ops.access import doctor as examine

    found = examine(context, app)
    if options.json:
        say_json(
            {"stack": context.stack.name, "app": app, "instances": [one.as_json() for one in found]}
        )
    else:
        if not found:
            tell(f"the file grants {app} no access: there is nothing to test")
        for one, names in _together(found):
            good = click.style("ok", fg="green")
            bad = click.style("failed", fg="red")
            good = "the login works, the rest is unknown" if one.unknown else good
            shown = good if one.problem is None else in_full(f"{bad}: {one.problem}")
            say(f"{names:<16} {shown}")
            for line in (one.hint or "").splitlines():
                say(in_full(f"  hint: {line}"))
            _past(one)
    if any(one.problem is not None for one in found):
        return 1
    return 3 if any(one.unknown for one in found) else 0


def _past(one: Diagnosis) -> None:
    """Refusals that fail nothing now."""
    over = [past for past in one.denied if past.over]
    logins = [past for past in one.denied if past.mild and not past.over]
    warnings = {"refused": logins, "a client that named no login was refused": one.nameless}
    for text, some in warnings.items():
        if some:
            say(in_full(f"  warning: {text}: {told(some)}"))
        for line in remedies(some):
            say(in_full(f"    {line}"))
    if over:
        text = f"earlier, before the last change or over an hour ago, it was refused: {told(over)}"
        say(in_full(f"  {text}"))
    if one.unseen:
        tell(f"note: {one.unseen}")
    if one.unknown:
        tell(f"unknown: {one.unknown}")


def _together(found: Sequence[Diagnosis]) -> list[tuple[Diagnosis, str]]:
    """Each with the instances that it is about: what leads to several of them is told once."""
    by: dict[object, list[Diagnosis]] = {}
    for one in found:
        key = (one.problem, one.hint) if one.kind == "unreachable" else one.instance
        by.setdefault(key, []).append(one)
    return [(same[0], ", ".join(one.instance for one in same)) for same in by.values()]


def _of_stack(options: Options, context: Context) -> int:
    from mngdb.ops.doctor import doctor as examine

    answer, facts = examine(context)
    if options.json:
        logins = [one.as_json() for server in facts.servers for one in server.logins]
        say_json({"stack": context.stack.name, **answer.as_json(), "apps": logins})
    else:
        _show(answer, facts)
    return answer.exit_code


def _show(answer: Answer, facts: StackFacts) -> None:
    for number, one in enumerate(answer.wrong):
        if number == 1:
            say("\nother problems:")
        say(click.style(in_full(plain(one.trouble.text)), fg="red", bold=number == 0))
        for line in one.trouble.command.split("\n"):
            say(in_full(f"  fix:      {plain(line)}"))
        for text in _folded(one.consequences):
            say(in_full(f"  causes:   {plain(text)}"))
    if not answer.wrong:
        apps = sum(len(server.logins) for server in facts.servers)
        count = len(facts.servers)
        servers, logins = many(count, "server"), many(apps, "app login")
        say(
            f"{click.style('no problems found', fg='green')}: {servers} "
            f"respond{'s' * (count == 1)}, {logins} work{'s' * (apps == 1)}"
        )
    if answer.watch:
        say("\nwarnings:")
        for trouble in answer.watch:
            _watch(trouble)
    for text in answer.unseen:
        tell(f"note: {text}")
    for text in answer.unknown:
        tell(f"unknown: {text}")


def _folded(found: Sequence[Trouble]) -> list[str]:
    """Their texts, those that differ in the app alone as one."""
    apps: dict[str, list[str]] = {}
    for one in found:
        text = one.text.removeprefix(one.app)
        apps.setdefault(text, []).append(one.app if text != one.text else "")
    return [_names(names) + text for text, names in apps.items()]


def _names(apps: Sequence[str]) -> str:
    more = f" and {len(apps) - _SHOWN} more" if len(apps) > _SHOWN else ""
    return ", ".join(filter(None, apps[:_SHOWN])) + more


def _watch(trouble: Trouble) -> None:
    say(f"  {plain(trouble.text)}")
    for line in trouble.command.split("\n"):
        say(click.style(in_full(f"    {plain(line)}"), dim=True))
