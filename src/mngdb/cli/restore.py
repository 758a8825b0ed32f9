"""restore, drill: servers of restored data, to use and to try."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mngdb.cli.backup import Shown
from mngdb.cli.common import Options, common, say, say_json, tell, tell_errors
from mngdb.cli.restore_part import bring_back, with_part
from mngdb.part import Part

if TYPE_CHECKING:
    from mngdb.ops.backup.drill import Drill
    from mngdb.ops.backup.reach import Aim
    from mngdb.ops.backup.restored import Restored
    from mngdb.ops.context import Context


@click.command()
@click.argument("instance", required=False)
@click.option("--to", metavar="TIME", help="This moment: '2026-11-21 14:03:07', '10m ago'.")
@click.option("--latest", is_flag=True, help="The newest moment that can be reached.")
@click.option("--snapshot", metavar="ID", help="This snapshot; 'mngdb backups' lists them.")
@click.option("--replace", is_flag=True, help="In the place of the live server's data.")
@click.option("--undo", is_flag=True, help="Bring back what the last --replace has replaced.")
@click.option("--forget", is_flag=True, help="Remove restored servers and replaced data instead.")
@with_part
@click.option("--yes", is_flag=True, help="Do not ask.")
@common
def restore(
    options: Options,
    instance: str | None,
    to: str | None,
    latest: bool,
    snapshot: str | None,
    replace: bool,
    undo: bool,
    forget: bool,
    yes: bool,
    part: Part | None,
) -> int:
    """Restore INSTANCE into a server of its own, beside the live one.

    The live server is not touched. The restored one has the logins and passwords of the file and
    the vault, and a port of its own, which is printed. A TIME without a zone is local time.

    With --replace, the live server is stopped, gets the restored data and is started again. The
    data that it had is kept until --forget.

    With --database, --table, --collection or --keys, that part is brought back into the live
    server. What is there stays: the part then gets another name, and existing keys are kept.
    """
    from mngdb.errors import UsageError
    from mngdb.ops.backup import restored
    from mngdb.ops.backup.parts import check

    if part is not None and (replace or undo or forget):
        raise UsageError("a part of the data goes without --replace, --undo and --forget")
    context = options.context()
    if forget:
        return _forget(options, context, instance)
    if instance is None:
        raise UsageError("name the instance to restore", "mngdb restore INSTANCE --latest")
    name = context.instance(instance).name
    if undo:
        if not yes:
            click.confirm(f"bring back the data that {name} had before?", abort=True, err=True)
        snapshot = restored.undo(context, name)
        tell(f"{name}: the data of snapshot {snapshot} is set aside; starting")
        return _started(context, name)
    if [to is not None, latest, snapshot is not None].count(True) != 1:
        raise UsageError(
            "say what to restore",
            "--to TIME, --latest, or --snapshot ID: 'mngdb backups' lists what there is",
        )
    if part is not None:
        check(context, context.instance(name), part)
    aim = _aim(context, name, to, snapshot)
    if part is not None:
        return bring_back(options, context, aim, part, yes)
    if not replace:
        return _shown(options, restored.beside(context, aim, Shown()), "")
    if not yes:
        click.confirm(_question(name, aim), abort=True, err=True)
    found = restored.in_place(context, aim, Shown())
    return _started(context, name) or _shown(options, found, context.instance(name).unit)


def _forget(options: Options, context: Context, instance: str | None) -> int:
    from mngdb.ops.backup import restored

    gone = restored.forget(context, context.instance(instance).name if instance else None)
    if options.json:
        say_json({"stack": context.stack.name, "removed": gone})
    else:
        say(f"removed: {', '.join(gone)}" if gone else "no restored servers")
    return 0


def _question(name: str, aim: Aim) -> str:
    from mngdb.ops.backup.moments import shown

    return f"stop {name} and give it its data of {shown(aim.moment)}?"


def _started(context: Context, name: str) -> int:
    """Start the live server with the data that it has now."""
    from mngdb.ops.choice import choose
    from mngdb.ops.up import up

    report = up(context, frozenset(), Shown(), choose(context, [name]))
    tell_errors(report.errors)
    for step in report.refused:
        tell(f"not done, destructive: {step.action} {step.object} ({step.detail})")
        tell(f"  hint: mngdb up --allow '{step.object}'")
    return 1 if report.errors else 0


def _shown(options: Options, found: Restored, unit: str) -> int:
    """What came of it; `unit` has the data now, where it was replaced."""
    if options.json:
        from mngdb.ops.backup.history import iso

        say_json(
            {
                "instance": found.instance,
                "engine": found.engine,
                "snapshot": found.snapshot,
                "restored_to": iso(found.restored_to),
                "replaced": bool(unit),
                "address": None if unit else found.address,
                "url": None if unit else found.url,
                "seconds": round(found.seconds, 3),
            }
        )
        return 0
    from mngdb.ops.backup.moments import shown

    say(f"{found.instance}  restored to {shown(found.restored_to)} in {found.seconds:.1f} s")
    if unit:
        say(f"{unit} has this data now; what it had before is kept")
        tell(f"bring that back with: mngdb restore {found.instance} --undo")
        tell(f"remove it with: mngdb restore --forget {found.instance}")
        return 0
    say(f"address: {found.address}")
    tell(f"remove it with: mngdb restore --forget {found.instance}")
    return 0


def _aim(context: Context, name: str, to: str | None, snapshot: str | None) -> Aim:
    """What is to be restored. Raises UsageError for what cannot be reached."""
    from mngdb.ops.backup import moments, place
    from mngdb.ops.backup.reach import Aim, leading_to, newest_of, reachable

    if snapshot is not None:
        return Aim(place.manifest(context, name, snapshot))
    moment = moments.parse(to, time.time()) if to is not None else None
    found = reachable(context, name)
    for text in found.damages:
        tell(f"damaged: {text}")
    if moment is None:
        return newest_of(found, name).to_newest()
    reach = leading_to(found, name, moment)
    tell(f"restoring {name} to {moments.shown(moment)}, from snapshot {reach.manifest.id}")
    return reach.to(moment)


@click.command()
@click.argument("instances", nargs=-1)
@click.option("--snapshot", metavar="ID", help="This snapshot instead of the newest.")
@click.option("--remote", is_flag=True, help="Without the stack: by its kit and its store alone.")
@click.option(
    "--kit",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="With --remote: the kit, whose passphrase is asked for.",
)
@click.option("--store", metavar="STORE", help="With --remote: where the backups are now.")
@common
def drill(
    options: Options,
    instances: Sequence[str],
    snapshot: str | None,
    remote: bool,
    kit: Path | None,
    store: str | None,
) -> int:
    """Restore every instance, or INSTANCES, to a random moment, in a disposable server.

    The moment is one that the newest snapshot and the log since then lead to. The data is checked,
    every app logs in and works, the time is measured, and the server is removed. The live servers
    are not touched.

    With --remote, on any machine: nothing of the stack is needed but its kit and its store, and
    nothing is left of it.
    """
    from mngdb.ops.backup.drill import drill as run

    if remote:
        name, found = _remote(options, instances, snapshot, kit, store)
    elif kit is not None or store is not None:
        raise click.UsageError("--kit and --store need --remote")
    else:
        context = options.context()
        name, found = context.stack.name, run(context, instances, Shown(), snapshot)
    bad = any(one.verdict == "fail" for one in found)
    if options.json:
        say_json({"stack": name, "drills": [one.as_json() for one in found]})
        return 1 if bad else 0
    for one in found:
        _drilled(one)
    return 1 if bad else 0


def _remote(
    options: Options,
    instances: Sequence[str],
    snapshot: str | None,
    kit: Path | None,
    store: str | None,
) -> tuple[str, list[Drill]]:
    """The stack's name, and its drills."""
    from mngdb.cli.kit import read
    from mngdb.ops.backup.drill import drill as run
    from mngdb.ops.backup.rebuild import set_up_for_a_while

    if kit is None:
        raise click.UsageError("--remote needs --kit FILE")
    found = read(kit)
    with set_up_for_a_while(found, os.environ, target=options.target, store=store) as context:
        return found.name, run(context, instances, Shown(), snapshot)


def _drilled(one: Drill) -> None:
    from mngdb.ops.backup.history import iso

    colour = "green" if one.verdict == "pass" else "red"
    verdict = click.style(one.verdict, fg=colour)
    say(f"{one.instance}  {verdict}  restored in {one.rto:.1f} s, to {iso(one.restored_to)}")
    phases = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in one.phases.items())
    say(f"    {phases}")
    for trial in one.checks:
        mark = "ok  " if trial.passed else "FAIL"
        say(f"    {mark}  {trial.name}: {trial.detail}")
