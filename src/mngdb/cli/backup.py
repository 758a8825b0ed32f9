"""backup, backups, verify: snapshots, and what there is of them."""

from __future__ import annotations

import math
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click
from msgspec.structs import asdict

from mngdb.cli.common import Options, common, confirm, say, say_json, size, tell, tell_errors
from mngdb.cli.kit import kit
from mngdb.cli.layout import table
from mngdb.words import many, plain

if TYPE_CHECKING:
    from mngdb.events import Copying
    from mngdb.ops.backup.prune import Due
    from mngdb.ops.backup.reach import Reach, Reachable
    from mngdb.ops.context import Context
    from mngdb.stores.manifest import Manifest

#: Of a snapshot that no key here opens, and of one that cannot be read.
_LOCKED, _DAMAGED = "key missing", "damaged"
#: Seconds between two lines of progress, on a terminal and in a log.
_REDRAW, _LINE = 0.5, 10.0


class Shown:
    """Progress on standard error, as calm as the reader needs it."""

    def __init__(self) -> None:
        self._last = 0.0

    def __call__(self, event: object) -> None:
        from mngdb.events import Copying, Progress, Waiting

        if isinstance(event, Waiting) and not event.shown:
            return
        if isinstance(event, Progress):
            tell(f"{event.unit}  {plain(event.text)}")
        elif isinstance(event, Copying):
            now = time.monotonic()
            if now < self._last + (_REDRAW if sys.stderr.isatty() else _LINE):
                return
            self._last = now
            tell(f"{event.instance}  {_copied(event)}")


def _copied(event: Copying) -> str:
    texts = [size(event.done)]
    if event.total:
        texts = [f"{min(event.done / event.total, 1):.0%} of {size(event.total)}"]
    if event.rate and event.total:
        texts.append(f"{max(event.total - event.done, 0) / event.rate:.0f} s left")
    if event.rate:
        limit = f" (all together at most {size(event.limit)}/s)" if event.limit else ""
        texts.append(f"{size(int(event.rate))}/s{limit}")
    return ", ".join(texts)


class _WithDefault(click.Group):
    """A group whose own name is a command, too."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """`backup`, `backup pg` and `backup --json` are `backup take …`."""
        if not args or (args[0] not in self.commands and args[0] not in {"-h", "--help"}):
            args = ["take", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_WithDefault, subcommand_metavar="[INSTANCE…] | COMMAND")
def backup() -> None:
    """Take a snapshot of every instance, or of those named: 'mngdb backup [INSTANCE…]'.

    Snapshots are compressed (zstd) and encrypted (age). 'mngdb drill' restores one to prove it.
    """


backup.add_command(kit)


@backup.command()
@click.argument("instances", nargs=-1)
@click.option("--full", is_flag=True, help="Everything, not only what has changed.")
@click.option("--logical", is_flag=True, help="What pg_dump writes (PostgreSQL).")
@click.option("--new-key", is_flag=True, help="Make another key, where the one of before is lost.")
@common
def take(
    options: Options, instances: Sequence[str], full: bool, logical: bool, new_key: bool
) -> int:
    """Take a snapshot of every instance, or of INSTANCES.

    Of PostgreSQL 17 and later, most hold what has changed since the one before: see 'full' under
    'backup:' in the file.

    Snapshots are compressed (zstd) and encrypted (age). 'mngdb drill' restores one to prove it.
    """
    from mngdb.errors import UsageError
    from mngdb.ops.backup import kept, keys, place
    from mngdb.ops.backup.take import back_up
    from mngdb.ops.workers import apart
    from mngdb.stores.streams import keep_memory

    keep_memory()
    context = options.context()
    if new_key:
        keys.begin_anew(context)
    if full and logical:
        raise UsageError("only one of --full and --logical")
    taken, errors = apart(back_up(context, instances, Shown(), full=full, logical=logical))
    found = [one for every in taken.values() for one in every]
    if options.json:
        say_json(
            {
                "stack": context.stack.name,
                "store": place.store(context).place,
                "instances": [_snapshot(one, None) for one in found],
                "errors": {name: error.message for name, error in errors.items()},
            }
        )
        return 1 if errors else 0
    rows = [
        (one.instance, one.id, one.taken.kind, size(one.size), size(one.stored), _took(one))
        for one in found
    ]
    if rows:
        for line in table(("INSTANCE", "SNAPSHOT", "KIND", "SIZE", "STORED", "TOOK"), rows):
            say(line)
        keepers = kept.keepers(context)
        if any(one.instance not in keepers for one in found):
            tell(f"stored in {place.store(context).place}")
        for one in found:
            if one.instance in keepers:
                tell(f"{one.instance}: kept by {keepers[one.instance]}")
    tell_errors(errors)
    if not errors:
        tell("next: mngdb drill")
    return 1 if errors else 0


@backup.command()
@click.option("--dry-run", is_flag=True, help="Show what would be removed, and remove nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@common
def prune(options: Options, dry_run: bool, yes: bool) -> int:
    """Remove snapshots that 'backup: {keep: …}' no longer asks for.

    The newest snapshot and the last proved one are never removed, nor is anything of an instance
    that the file no longer has.
    """
    from mngdb.ops.backup.history import iso
    from mngdb.ops.backup.prune import due, stored
    from mngdb.ops.backup.prune import prune as remove

    if dry_run and yes:
        raise click.UsageError("only one of --dry-run and --yes")
    context = options.context()
    found = due(context)
    if found and not dry_run:
        if not yes:
            confirm(f"remove {_many(found)}?")
        remove(context, found)
    if options.json:
        say_json(
            {
                "stack": context.stack.name,
                "removed": not dry_run,
                "snapshots": [_snapshot(one, None) for one in found.snapshots],
                "log": {name: len(every) for name, every in found.segments.items()},
                "log_stored_bytes": stored(found.segments),
                "merged": {name: len(every) for name, every in found.merged.items()},
                "unfinished_objects": len(found.unfinished),
                "unfinished": list(found.unfinished),
            }
        )
        return 0
    if not found:
        say("nothing to remove")
    _tell_keepers(context, "removes snapshots by the schedule that 'mngdb up' keeps there")
    if not found:
        return 0
    rows = [(one.instance, one.id, iso(one.finished), size(one.stored)) for one in found.snapshots]
    if rows:
        for line in table(("INSTANCE", "SNAPSHOT", "FINISHED", "STORED"), rows):
            say(line)
    if dry_run:
        for name, every in found.segments.items():
            until = iso(max(one.until for one in every))
            say(f"log of {name}: {many(len(every), 'segment')}, up to {until}")
        for key in found.unfinished:
            say(f"of a backup that was killed: {key}")
    say(f"{'would remove' if dry_run else 'removed'} {_many(found)}")
    return 0


def _tell_keepers(context: Context, does: str, names: Sequence[str] | None = None) -> None:
    """Of instances whose backups are not in the store, that somebody else does it."""
    from mngdb.ops.backup.kept import keepers

    for name, keeper in keepers(context, names).items():
        tell(f"{name}: not applicable: {keeper} keeps its backups, and {does}")


def _many(found: Due) -> str:
    """What is removed, in words."""
    from mngdb.ops.backup.prune import stored

    text = f"{many(len(found.snapshots), 'snapshot')} and {size(stored(found.segments))} of the log"
    if twice := sum(map(len, found.merged.values())):
        text += (
            f", {many(twice, 'segment')} that larger ones replace ({size(stored(found.merged))})"
        )
    left = f", {many(len(found.unfinished), 'object')} of backups that were killed"
    return text + (left if found.unfinished else "")


def _took(one: Manifest) -> str:
    return f"{one.finished - one.started:.1f} s"


def _state(reach: Reach) -> str:
    """Why a snapshot cannot be restored; empty: it can, for all that is known."""
    return _LOCKED if reach.locked else "" if reach.sound else _DAMAGED


def _snapshot(one: Manifest, proved: str | None, state: str = "") -> dict[str, Any]:
    from mngdb.ops.backup.history import iso

    return {
        "instance": one.instance,
        "engine": one.engine,
        "id": one.id,
        "kind": one.taken.kind,
        "parent": one.parent,
        "started": iso(one.started),
        "finished": iso(one.finished),
        "bytes": one.size,
        "stored_bytes": one.stored,
        "state": state or "complete",
        "proved": proved,
    }


@click.command()
@click.argument("instances", nargs=-1)
@common
def backups(options: Options, instances: Sequence[str]) -> int:
    """List what can be restored, of every instance or INSTANCES: the moments that can be reached,
    and the snapshots.

    A moment between two snapshots is reached by a snapshot and the server's log since then.
    """
    from mngdb.ops.backup import kept, keys, place
    from mngdb.ops.backup.archived import followed, remedy
    from mngdb.ops.backup.history import proved
    from mngdb.ops.backup.pick import elsewhere
    from mngdb.ops.backup.reach import reachable

    context = options.context()
    keepers = kept.keepers(context)
    modes = {one.name: one.recovery_point for one in followed(context)} | keepers
    departed = place.departed(context)
    there = [*context.stack.instances, *departed]
    names = [one if one in there else context.instance(one).name for one in instances] or there
    found = {name: reachable(context, name) for name in there if name in names}
    tried = proved(context.stack.state)
    older = dict.fromkeys(store for one in found.values() for store in one.elsewhere)
    damages = [text for one in found.values() for text in one.damages]
    unread = dict.fromkeys(text for one in found.values() for text in one.unread)
    lost = {name: one.lost for name, one in found.items() if one.lost}
    wrong = keys.problems(context)
    if options.json:
        say_json(
            {
                "stack": context.stack.name,
                "store": place.store(context).place,
                "instances": [
                    {
                        **_reachable(name, one.engine, found[name], tried),
                        "recovery_point": modes.get(name),
                        "kept_by": keepers.get(name),
                    }
                    for name, one in context.stack.instances.items()
                    if name in found
                ],
                "not_in_file": [
                    _reachable(name, _engine(found[name]), found[name], tried)
                    for name in departed
                    if name in found
                ],
                "damaged": damages,
                "unread": list(unread),
                "lost": lost,
                "other_stores": list(older),
                "secrets": [asdict(one) for one in wrong],
            }
        )
        return 1 if damages or unread or lost else 0
    if any(one.reaches for one in found.values()):
        _list(found, tried, modes)
        if not modes and (needed := remedy(context, next(iter(context.stack.instances)))):
            tell(f"snapshots alone are kept; for any moment in between, {needed}, then 'mngdb up'")
        for name in filter(found.__contains__, departed):
            if engine := _engine(found[name]):  # a name that has nothing signed is of somebody else
                tell(f"{plain(name)} is not in the file; into another instance of {engine}:")
                tell(f"  mngdb restore INSTANCE --latest --from {shlex.quote(plain(name))}")
    else:
        say(f"no snapshots in {place.store(context).place}")
        made = context.located.kind != "new"
        tell(f"next: mngdb {'backup' if made else 'up'}")
    if older:
        tell(elsewhere(older))
    for text in damages:
        tell(f"damaged: {plain(text)}")
    for text in unread:
        tell(f"not read: {plain(text)}")
    for name, text in lost.items():
        tell(f"{name}: {plain(text)}")
    for problem in wrong:
        tell(f"{problem.text}\n  hint: {problem.hint}")
    return 1 if damages or unread or lost else 0


def _engine(found: Reachable) -> str:
    """That of an instance which the file does not have; empty where no manifest can be read."""
    return found.reaches[-1].manifest.engine if found.reaches else ""


def _list(
    found: Mapping[str, Reachable], tried: Mapping[str, str], modes: Mapping[str, str]
) -> None:
    from mngdb.ops.backup.history import iso

    spans = []
    for name, one in found.items():
        every = [(*_span(*span), _LOCKED) for span in one.locked]
        every += [(*_span(*span), "") for span in one.spans]
        if not every:
            every = [("nothing" if one.reaches or one.damages else "nothing yet", "", "")]
        spans += [
            (*((name, modes.get(name, "-")) if first == 0 else ("", "")), *row)
            for first, row in enumerate(every)
        ]
    for line in table(("INSTANCE", "MODE", "RESTORABLE FROM", "TO", ""), spans):
        say(line)
    say("")
    rows = [
        (
            *(name, one.id, one.taken.kind, iso(one.finished), size(one.size), size(one.stored)),
            _state(reach) or tried.get(one.id, "no"),
            one.parent or "",
        )
        for name, every in found.items()
        for reach in every.reaches
        for one in (reach.manifest,)
    ]
    parent = "PARENT" if any(row[-1] for row in rows) else ""
    head = ("INSTANCE", "SNAPSHOT", "KIND", "FINISHED", "SIZE", "STORED", "PROVED", parent)
    for line in table(head, rows):
        say(line)


def _span(begin: float, end: float) -> tuple[str, str]:
    """In seconds that can be reached, as long as there are whole ones."""
    from mngdb.ops.backup.history import iso
    from mngdb.ops.backup.moments import exact

    if end == begin:
        return exact(begin), "the snapshot alone"
    if math.ceil(begin) <= end:
        return iso(math.ceil(begin)), iso(end)
    return exact(begin), exact(end)


def _reachable(
    name: str, engine: str, found: Reachable, tried: Mapping[str, str]
) -> dict[str, Any]:
    from mngdb.ops.backup.moments import exact

    return {
        "instance": name,
        "engine": engine,
        "reachable": [{"from": exact(begin), "to": exact(end)} for begin, end in found.spans],
        "key_missing": [{"from": exact(begin), "to": exact(end)} for begin, end in found.locked],
        "rpo_s": round(max(0.0, time.time() - found.newest), 1) if found.newest else None,
        "snapshots": [
            _snapshot(one.manifest, tried.get(one.manifest.id), _state(one))
            for one in found.reaches
        ],
    }


def agree_to_cost(context: Context, instance: str, yes: bool) -> None:
    """Say what a server of restored data costs, where it does, and ask unless it is agreed to."""
    from mngdb.ops.backup.hosted import cost

    if not (text := cost(context, instance)):
        return
    tell(f"{instance}: restored data needs {text}")
    if not yes:
        confirm(f"make it beside {instance}?")


def unsigned_too(context: Context) -> Context:
    """The stack, whose backups count though nobody knows who wrote them."""
    from msgspec.structs import replace

    tell("warning: signatures do not count: all of it may be forged by whoever writes to the store")
    return replace(context, unsigned=True)


@click.command()
@click.argument("instances", nargs=-1)
@click.option("--unsigned", is_flag=True, help="Compare hashes only, and no signatures.")
@common
def verify(options: Options, instances: Sequence[str], unsigned: bool) -> int:
    """Read every stored object of every snapshot, and compare it with its manifest.

    Finds damaged, missing and exchanged objects, and what this stack has not written. Nothing is
    restored: 'mngdb drill' does that.
    """
    from mngdb.ops.backup.verify import verify as read

    context = unsigned_too(options.context()) if unsigned else options.context()
    context.require_created()
    found = read(context, instances)
    if options.json:
        say_json({"stack": context.stack.name, **found.as_json()})
        return 0 if found.sound else 1
    seen = f"{many(found.snapshots, 'snapshot')}, {many(found.objects, 'object')}"
    say(f"{seen}, {size(found.stored)} read")
    _tell_keepers(
        context,
        "nobody can read them but by a restore: mngdb drill",
        list(found.elsewhere),
    )
    if not found.opened:
        tell("not decrypted, for want of the private key: hashes of what is stored were compared")
    for text in found.damages:
        say(f"damaged: {plain(text)}")
    return 0 if found.sound else 1
