"""restore, drill: servers of restored data, to use and to try."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mngdb.cli.backup import Shown, agree_to_cost, unsigned_too
from mngdb.cli.common import Options, common, confirm, say, say_json, size, tell, tell_errors
from mngdb.cli.restore_part import bring_back, with_part
from mngdb.part import Part
from mngdb.words import named, plain

if TYPE_CHECKING:
    from mngdb.ops.backup.notes import Note, Restored
    from mngdb.ops.backup.reach import Aim
    from mngdb.ops.context import Context
    from mngdb.ops.up import Report


@click.command()
@click.argument("instance", required=False)
@click.option(
    "--to",
    metavar="TIME",
    help="This moment: '2026-11-21 14:03:07', '10m ago', before-last-flushall, "
    "\"before 'DROP TABLE orders'\".",
)
@click.option("--latest", is_flag=True, help="The newest moment that can be reached.")
@click.option("--snapshot", metavar="ID", help="This snapshot; 'mngdb backups' lists them.")
@click.option("--from", "source", metavar="NAME", help="Backups of this instance instead.")
@click.option("--replace", is_flag=True, help="In the place of the live server's data.")
@click.option("--undo", is_flag=True, help="Bring back what the last --replace has replaced.")
@click.option("--forget", is_flag=True, help="Remove restored servers instead.")
@click.option(
    "--replaced", is_flag=True, help="With --forget: remove the data from before --replace."
)
@with_part
@click.option("--unsigned", is_flag=True, help="Also what this stack may not have written.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@common
def restore(
    options: Options,
    instance: str | None,
    to: str | None,
    latest: bool,
    snapshot: str | None,
    source: str | None,
    replace: bool,
    undo: bool,
    forget: bool,
    replaced: bool,
    unsigned: bool,
    yes: bool,
    part: Part | None,
) -> int:
    """Restore INSTANCE into a server of its own, beside the live one.

    The live server is not touched. The restored one has the logins and passwords of the file and
    the vault, and a port of its own, which is printed. A TIME without a zone is local time.

    With --replace, the live server is stopped, gets the restored data and is started again. The
    data that it had is kept until --forget --replaced.

    With --from, the backups are those of another instance of the same engine, also of one that the
    file no longer has.

    With --unsigned, signatures do not count: for somebody who has lost the vault and has no kit.
    Whoever can write to the store decides then what is restored.

    With --database, --table, --collection or --keys, that part is brought back into the live
    server. What is there stays: the part then gets another name, and existing keys are kept.
    """
    from mngdb.errors import UsageError
    from mngdb.ops.backup import restore as ops
    from mngdb.ops.backup.hosted import openable
    from mngdb.ops.backup.parts import check
    from mngdb.stores.streams import keep_memory

    if part is not None and (replace or undo or forget):
        raise UsageError("a part of the data goes without --replace, --undo and --forget")
    if replaced and not forget:
        raise UsageError("--replaced is for --forget", "mngdb restore --forget --replaced")
    given = [to is not None, latest, snapshot is not None].count(True)
    if forget and (replace or undo or given or source):
        raise UsageError(
            "--forget goes without --replace, --undo, --from, --to, --latest and --snapshot"
        )
    if undo and (replace or given or source):
        raise UsageError("--undo goes without --replace, --from, --to, --latest and --snapshot")
    keep_memory()
    context = unsigned_too(options.context()) if unsigned else options.context()
    if forget:
        return _forget(options, context, instance, replaced, yes)
    if instance is None:
        raise UsageError("name the instance to restore", "mngdb restore INSTANCE --latest")
    name = context.instance(instance).name
    if undo:
        return _undo(options, context, name, yes)
    if given > 1:
        raise UsageError("only one of --to, --latest and --snapshot")
    if not given:
        raise UsageError(
            "say what to restore",
            "--to TIME, --latest, or --snapshot ID: 'mngdb backups' lists what there is",
        )
    if part is not None:
        check(context, context.instance(name), part)
    aim = _aim(context, name, source or name, to, snapshot)
    openable(context, aim)  # before anything is asked or done
    _tell_cost(context, aim)
    if part is not None or not replace:
        agree_to_cost(context, name, yes)
    if part is not None:
        return bring_back(options, context, aim, part, yes)
    if not replace:
        return _shown(options, ops.beside(context, aim, Shown()), "")
    if not yes:
        confirm(_question(context, name, aim))
    found, report = ops.in_place(context, aim, Shown())
    return _started(report) or _shown(options, found, context.instance(name).unit)


def _undo(options: Options, context: Context, name: str, yes: bool) -> int:
    from mngdb.ops.backup import notes
    from mngdb.ops.backup import restore as ops
    from mngdb.ops.backup.history import iso

    state, note = ops.to_undo(context, name)
    until = notes.written(state)
    if not yes:
        confirm(f"stop {name} and bring back {_kept(state, note)}?")
    report, told = ops.undo(context, name, Shown())
    if options.json:
        say_json(
            {
                "stack": context.stack.name,
                "instance": name,
                "brought_back": {"text": note.text, "until": iso(until)},
                "notes": list(told),
                "errors": {one: error.message for one, error in report.errors.items()},
            }
        )
    for text in told:
        tell(f"note: {plain(text)}")
    tell(f"{name}: what it had until now is kept; the same command brings that back")
    tell(f"remove it with: mngdb restore --forget {name} --replaced")
    return _started(report)


def _tell_cost(context: Context, aim: Aim) -> None:
    from mngdb.ops.backup.kept import keepers
    from mngdb.ops.backup.scratch import needs
    from mngdb.ops.backup.timing import estimate

    seconds = estimate(context.stack.state, aim.manifest.instance, aim.size)
    takes = f", about {max(seconds, 1):.0f} s, as earlier restores took" if seconds else ""
    if keeper := keepers(context, [aim.instance]).get(aim.instance):
        tell(f"{keeper} restores {aim.text}{takes}")
        return
    tell(f"this takes about {size(needs(aim))} of disk{takes}")


def _forget(
    options: Options, context: Context, instance: str | None, replaced: bool, yes: bool
) -> int:
    from mngdb.ops.backup import restored

    name = instance
    if instance and instance not in restored.owners(context):  # the file may not have it any more
        name = context.instance(instance).name
    found = restored.found(context, name, replaced=replaced)
    gone = [note.text for _, note in found]
    if replaced and found and not yes:
        confirm(f"remove for good: {', '.join(gone)}?")
    restored.forget(context, found)
    if options.json:
        say_json({"stack": context.stack.name, "removed": gone})
        return 0
    nothing = "no replaced data" if replaced else "no restored servers"
    say(f"removed: {', '.join(gone)}" if gone else nothing)
    if not replaced:
        for state, note in restored.found(context, name, replaced=True):
            tell(
                f"kept: {_kept(state, note)} ('mngdb restore --forget {note.instance} --replaced')"
            )
    return 0


def _kept(state: Path, note: Note) -> str:
    """What was replaced, when and how large it is."""
    from mngdb.ops.backup.moments import shown
    from mngdb.ops.backup.notes import written
    from mngdb.ops.stacks import disk_use

    return f"{note.text}, until {shown(written(state))}, {size(disk_use(state))}"


def _question(context: Context, name: str, aim: Aim) -> str:
    from mngdb.ops.backup.kept import keepers
    from mngdb.ops.backup.moments import shown

    if keeper := keepers(context, [name]).get(name):
        cut = f"apps are cut off while {keeper} works; a snapshot of what it has is taken first"
        return f"replace the data of {name} by that of {shown(aim.moment)}? ({cut})"
    return f"stop {name} and give it its data of {shown(aim.moment)}?"


def _started(report: Report) -> int:
    """What came of the start of the live server. Returns the exit code."""
    tell_errors(report.errors)
    for step in report.refused:
        tell(f"not done, destructive: {step.action} {step.object} ({step.detail})")
        tell(f"  hint: mngdb up --allow {named(step.object)}")
    return 1 if report.errors else 0


def _shown(options: Options, found: Restored, unit: str) -> int:
    """What came of it; `unit` has the data now, where it was replaced."""
    if options.json:
        say_json(as_json(found, replaced=bool(unit)))
        return 0
    say_restored(found)
    if not unit:
        say(f"address: {found.address}")
        tell(f"log in with what this prints: mngdb url {found.instance} [APP] --restored")
        tell(f"remove it with: mngdb restore --forget {found.instance}")
    elif found.before:
        say(f"{unit} has this data now; what it had before is the snapshot {found.before}")
        again = f"mngdb restore {found.instance} --snapshot {found.before} --replace"
        tell(f"bring that back with: {again}")
    elif found.kept:
        say(f"{unit} has this data now; what it had before is kept")
        tell(f"bring that back with: mngdb restore {found.instance} --undo")
        tell(f"remove it with: mngdb restore --forget {found.instance} --replaced")
    else:
        say(f"{unit} has this data now; what it had before was gone")
    return 0


def say_restored(found: Restored) -> None:
    """What was restored, and how it differs from what it is of."""
    from mngdb.ops.backup.moments import shown

    say(f"{found.instance}  restored to {shown(found.restored_to)} in {found.seconds:.1f} s")
    tell_unable(found)
    for note in found.notes:
        tell(f"note: {plain(note)}")


def tell_unable(found: Restored) -> None:
    """Name the apps that cannot work with the restored data, and what to do."""
    for app, why in found.unable.items():
        tell(f"note: {plain(app)} cannot work on it: {plain(why)}")
        tell(f"  hint: once the data is the live server's, 'mngdb doctor {app}' tells the remedy")


def as_json(found: Restored, *, replaced: bool) -> dict[str, object]:
    """What was restored; where it `replaced` the live server's data, that has the address."""
    from mngdb.ops.backup.history import iso

    return {
        "instance": found.instance,
        "engine": found.engine,
        "snapshot": found.snapshot,
        "restored_to": iso(found.restored_to),
        "replaced": replaced,
        "address": None if replaced else found.address,
        "url": None if replaced else found.url,
        "seconds": round(found.seconds, 3),
        "unable": found.unable,
        "notes": list(found.notes),
    }


def _aim(context: Context, name: str, source: str, to: str | None, snapshot: str | None) -> Aim:
    """What is to be restored into an instance. Raises UsageError for what cannot be reached."""
    from mngdb.ops.backup.pick import older
    from mngdb.ops.backup.reach import into
    from mngdb.stores.sealing import UnreadableError

    try:
        aim = _from(context, source, to, snapshot)
    except UnreadableError as error:
        error.hint = error.hint or older(context, source, snapshot or "", name)
        raise
    return aim if source == name else into(context, aim, name)


def _from(context: Context, name: str, to: str | None, snapshot: str | None) -> Aim:
    from mngdb.errors import UsageError
    from mngdb.ops.backup import archived, moments, place, removals, schedule
    from mngdb.ops.backup.pick import leading_to, newest_of
    from mngdb.ops.backup.reach import of_snapshot, reachable

    if name not in context.stack.instances and name not in place.departed(context):
        raise UsageError(f"there are no backups of {name}", "'mngdb backups' lists what there is")
    if snapshot is not None:
        return of_snapshot(context, name, snapshot)
    command = moments.command(to) if to is not None else None
    moment = None
    if to is not None and command is None:
        moment = moments.parse(to, time.time(), schedule.newest(context, name))
    found = reachable(context, name)
    for text in found.damages:
        tell(f"damaged: {plain(text)}")
    for text in found.unread:
        tell(f"not read: {plain(text)}")
    if found.lost:
        tell(f"warning: {plain(found.lost)}")
    if command is not None:
        aim, told = removals.before(context, found, name, command)
        tell(f"restoring {name}: {aim.text}")
        for text in told:
            tell(f"note: {plain(text)}")
        return aim
    if moment is None:
        return newest_of(found, name).to_newest()
    reach = leading_to(found, name, moment, archived.remedy(context, name))
    aim = reach.to(moment)
    tell(f"restoring {name} to {moments.shown(aim.moment)}, from snapshot {reach.manifest.id}")
    if again := reach.known_again(moment):
        tell(
            "note: nobody knows when what was archived then was written, until "
            f"{moments.shown(again)}: this is the data of before; all of it: "
            f"--to '{moments.exact(again)}'"
        )
    return aim
