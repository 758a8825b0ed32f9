"""backup, backups, verify, restore, drill: snapshots, and what they are worth."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from mngdb.cli.common import Options, common, say, say_json, size, table, tell, tell_errors

if TYPE_CHECKING:
    from mngdb.ops.backup.drill import Drill
    from mngdb.stores.manifest import Manifest

#: Seconds between two lines of progress, on a terminal and in a log.
_REDRAW, _LINE = 0.5, 10.0


class _Shown:
    """Progress on standard error, as calm as the reader needs it."""

    def __init__(self) -> None:
        self._last = 0.0

    def __call__(self, event: object) -> None:
        from mngdb.events import Progress
        from mngdb.ops.backup.take import Copying

        if isinstance(event, Progress):
            tell(f"{event.unit}  {event.text}")
        elif isinstance(event, Copying):
            now = time.monotonic()
            if now < self._last + (_REDRAW if sys.stderr.isatty() else _LINE):
                return
            self._last = now
            share = f"{min(event.done / event.total, 1):.0%} of {size(event.total)}"
            left = max(event.total - event.done, 0) / max(event.rate, 1)
            known = f"{share}, {left:.0f} s left" if event.total else size(event.done)
            tell(f"{event.instance}  {known}, {size(int(event.rate))}/s")


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


@backup.command()
@click.argument("instances", nargs=-1)
@common
def take(options: Options, instances: Sequence[str]) -> int:
    """Take a snapshot of every instance, or of INSTANCES.

    Snapshots are compressed (zstd) and encrypted (age). 'mngdb drill' restores one to prove it.
    """
    from mngdb.ops.backup import place
    from mngdb.ops.backup.take import back_up
    from mngdb.ops.workers import apart

    context = options.context()
    found, errors = apart(back_up(context, instances, _Shown()))
    if options.json:
        say_json(
            {
                "stack": context.stack.name,
                "store": place.store(context).place,
                "instances": [_snapshot(one, None) for one in found.values()],
                "errors": {name: error.message for name, error in errors.items()},
            }
        )
        return 1 if errors else 0
    rows = [
        (one.instance, one.id, size(one.size), size(one.stored), _took(one))
        for one in found.values()
    ]
    if rows:
        for line in table(("INSTANCE", "SNAPSHOT", "SIZE", "STORED", "TOOK"), rows):
            say(line)
        tell(f"stored in {place.store(context).place}")
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

    The newest snapshot and the last proved one are never removed.
    """
    from mngdb.ops.backup.history import iso
    from mngdb.ops.backup.prune import due
    from mngdb.ops.backup.prune import prune as remove

    context = options.context()
    found = due(context)
    if found and not dry_run:
        if not yes:
            click.confirm(f"remove {len(found)} snapshots?", abort=True, err=True)
        remove(context, found)
    if options.json:
        shown = [_snapshot(one, None) for one in found]
        say_json({"stack": context.stack.name, "removed": not dry_run, "snapshots": shown})
        return 0
    if not found:
        say("nothing to remove")
        return 0
    rows = [(one.instance, one.id, iso(one.finished), size(one.stored)) for one in found]
    for line in table(("INSTANCE", "SNAPSHOT", "FINISHED", "STORED"), rows):
        say(line)
    say(f"{'would remove' if dry_run else 'removed'} {len(found)} snapshots")
    return 0


def _took(one: Manifest) -> str:
    return f"{one.finished - one.started:.1f} s"


def _snapshot(one: Manifest, proved: str | None) -> dict[str, Any]:
    from mngdb.ops.backup.history import iso

    return {
        "instance": one.instance,
        "engine": one.engine,
        "id": one.id,
        "kind": one.taken.kind,
        "started": iso(one.started),
        "finished": iso(one.finished),
        "bytes": one.size,
        "stored_bytes": one.stored,
        "state": "complete",
        "proved": proved,
    }


@click.command()
@common
def backups(options: Options) -> int:
    """List the snapshots of every instance, and which of them are proved."""
    from mngdb.ops.backup import place
    from mngdb.ops.backup.history import iso, proved
    from mngdb.ops.backup.take import listing

    context = options.context()
    found, tried = listing(context), proved(context.stack.state)
    damages = [text for _, texts in found.values() for text in texts]
    if options.json:
        say_json(
            {
                "stack": context.stack.name,
                "store": place.store(context).place,
                "instances": [
                    {
                        "instance": name,
                        "engine": context.instance(name).engine,
                        "reachable": [
                            {"from": iso(one.finished), "to": iso(one.finished)} for one in every
                        ],
                        "rpo_s": round(time.time() - every[-1].finished) if every else None,
                        "snapshots": [_snapshot(one, tried.get(one.id)) for one in every],
                    }
                    for name, (every, _) in found.items()
                ],
                "damaged": damages,
            }
        )
        return 1 if damages else 0
    rows = [
        (
            *(name, one.id, one.taken.kind, iso(one.finished), size(one.size), size(one.stored)),
            tried.get(one.id, "no"),
        )
        for name, (every, _) in found.items()
        for one in every
    ]
    if rows:
        head = ("INSTANCE", "SNAPSHOT", "KIND", "FINISHED", "SIZE", "STORED", "PROVED")
        for line in table(head, rows):
            say(line)
    else:
        say(f"no snapshots in {place.store(context).place}")
        tell("next: mngdb backup")
    for text in damages:
        tell(f"damaged: {text}")
    return 1 if damages else 0


@click.command()
@click.argument("instances", nargs=-1)
@common
def verify(options: Options, instances: Sequence[str]) -> int:
    """Read every stored object of every snapshot, and compare it with its manifest.

    Finds damaged, missing and exchanged objects. Nothing is restored: 'mngdb drill' does that.
    """
    from mngdb.ops.backup.verify import verify as read

    context = options.context()
    found = read(context, instances)
    if options.json:
        say_json({"stack": context.stack.name, **found.as_json()})
        return 0 if found.sound else 1
    say(f"{found.snapshots} snapshots, {found.objects} objects, {size(found.stored)} read")
    if not found.opened:
        tell("not decrypted, for want of the private key: hashes of what is stored were compared")
    for text in found.damages:
        say(f"damaged: {text}")
    return 0 if found.sound else 1


@click.command()
@click.argument("instance", required=False)
@click.option("--latest", is_flag=True, help="The newest snapshot.")
@click.option("--snapshot", metavar="ID", help="This snapshot; 'mngdb backups' lists them.")
@click.option("--forget", is_flag=True, help="Stop and remove restored servers instead.")
@common
def restore(
    options: Options, instance: str | None, latest: bool, snapshot: str | None, forget: bool
) -> int:
    """Restore a snapshot of INSTANCE into a server of its own, beside the live one.

    The live server is not touched. The restored one has the logins and passwords of the file and
    the vault, and a port of its own, which is printed.
    """
    from mngdb.errors import UsageError
    from mngdb.ops.backup import place, restored

    context = options.context()
    if forget:
        gone = restored.forget(context, context.instance(instance).name if instance else None)
        if options.json:
            say_json({"stack": context.stack.name, "removed": gone})
        else:
            say(f"removed: {', '.join(gone)}" if gone else "no restored servers")
        return 0
    if instance is None:
        raise UsageError("name the instance to restore", "mngdb restore INSTANCE --latest")
    if latest == (snapshot is not None):
        raise UsageError(
            "say which snapshot to restore",
            "--latest, or --snapshot ID: 'mngdb backups' lists them",
        )
    catalog = place.catalog(context)
    manifest, damages = catalog.pick(context.instance(instance).name, snapshot)
    for one in damages:
        tell(f"damaged: {one.text}")
    found = restored.beside(context, manifest, _Shown())
    if options.json:
        from mngdb.ops.backup.history import iso

        say_json(
            {
                "instance": found.instance,
                "engine": found.engine,
                "snapshot": found.snapshot,
                "restored_to": iso(found.restored_to),
                "address": found.address,
                "url": found.url,
                "seconds": round(found.seconds, 3),
            }
        )
        return 0
    say(f"{found.instance}  snapshot {found.snapshot} restored in {found.seconds:.1f} s")
    say(f"address: {found.address}")
    tell(f"remove it with: mngdb restore --forget {found.instance}")
    return 0


@click.command()
@click.argument("instances", nargs=-1)
@click.option("--snapshot", metavar="ID", help="This snapshot instead of the newest.")
@common
def drill(options: Options, instances: Sequence[str], snapshot: str | None) -> int:
    """Restore the newest snapshot of every instance, or of INSTANCES, into a disposable server.

    The restored data is checked, every app logs in and works, the time is measured, and the server
    is removed. The live servers are not touched.
    """
    from mngdb.ops.backup.drill import drill as run

    context = options.context()
    found = run(context, instances, _Shown(), snapshot)
    bad = any(one.verdict == "fail" for one in found)
    if options.json:
        say_json({"stack": context.stack.name, "drills": [one.as_json() for one in found]})
        return 1 if bad else 0
    for one in found:
        _drilled(one)
    return 1 if bad else 0


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
