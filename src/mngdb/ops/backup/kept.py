"""Backups that are taken and kept where an instance lives: seen as those in a store are seen."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from mngdb import disk
from mngdb.engines.protocol import C, Engine, F, S
from mngdb.errors import MngdbError, UsageError
from mngdb.lock import lock
from mngdb.ops.backup import schedule
from mngdb.ops.context import Context
from mngdb.snapshot import Taken
from mngdb.spec.engine_info import ENGINE_INFO
from mngdb.spec.stack import Instance
from mngdb.stores.manifest import Manifest, Part, Stream
from mngdb.targets.backups import OwnBackups, OwnSnapshot

Emit = Callable[[object], None]
#: In the stack's own folder: what instances held when snapshots of them were taken.
_FOLDER = "kept-backups"
#: Seconds that a server may take to let us in.
_TIMEOUT = 30.0
#: Seconds after which a look is an old one: twice as many as the agent lets pass.
_STALE = 600.0


class Kept(Struct, frozen=True):
    """What there is of an instance: snapshots, the oldest first, and the moments that can be
    reached besides (None: none)."""

    manifests: tuple[Manifest, ...]
    span: tuple[float, float] | None


def of(context: Context, instance: str) -> OwnBackups | None:
    """Who takes and keeps an instance's backups where it lives; None: they are in a store, or the
    file does not have it."""
    given = context.stack.instances.get(instance)
    return context.target(given).backups if given is not None else None


def keepers(context: Context, names: Iterable[str] | None = None) -> dict[str, str]:
    """Instances of the file, or of these, to who keeps their backups."""
    chosen = context.stack.instances if names is None else names
    return {name: found.keeper for name in chosen if (found := of(context, name)) is not None}


def apart(context: Context, names: Collection[str]) -> list[str]:
    """The same without those that are kept where they live."""
    return [name for name in names if of(context, name) is None]


def look(context: Context, instance: str) -> Kept | None:
    """What can be restored now; None: its backups are in a store. Raises MngdbError."""
    own = of(context, instance)
    if own is None:
        return None
    given = context.instance(instance)
    found = own.reach(context.as_admin(given))
    every = tuple(_manifest(context, given, own, one) for one in found.snapshots)
    return Kept(every, found.span)


def manifest(context: Context, instance: str, snapshot: str) -> Manifest | None:
    """One snapshot; None: its backups are in a store. Raises UsageError where there is none."""
    found = look(context, instance)
    if found is None:
        return None
    one = next((one for one in found.manifests if one.id == snapshot), None)
    if one is None:
        raise UsageError(f"{instance} has no snapshot {snapshot}", "'mngdb backups' lists them")
    return one


def note(context: Context, instance: str) -> None:
    """Have what is there noted, for what tells of backups without asking. Raises MngdbError,
    OSError."""
    found = look(context, instance)
    if found is not None and found.manifests:
        until = found.span[1] if found.span else found.manifests[-1].moment
        schedule.seen(context, instance, found.manifests[-1], found.manifests[0].finished, until)
        _forget(context, instance, {one.id for one in found.manifests})


def renew(context: Context) -> dict[str, MngdbError]:
    """Look again where nobody has for some time: without an agent, nobody else does. Returns what
    failed, by instance. Raises OSError."""
    failed, now = {}, time.time()
    for name in keepers(context):
        if not now - _STALE < schedule.of(context, name).looked <= now:
            try:
                note(context, name)
            except MngdbError as error:
                failed[name] = error
    return failed


def take(context: Context, instance: Instance, emit: Emit) -> Manifest:
    """Have a snapshot taken, and note what the instance held before and after. Raises
    MngdbError."""
    own = of(context, instance.name)
    assert own is not None  # noqa: S101 — for mypy
    with lock(context.stack.state / f"backup-{instance.name}.lock", "backup", 0.0):
        started = time.time()
        before = _described(context, instance)
        made = own.take(context.as_admin(instance), emit)
        held = _common(before, _described(context, instance))
        if held is not None:
            disk.private(context.stack.state / _FOLDER)
            folder = disk.private(_place(context, instance.name))
            disk.write(folder / made.id, msgspec.json.encode(held).decode() + "\n")
        note(context, instance.name)
        found = _manifest(context, instance, own, made)
        return replace(found, started=started, finished=time.time())


def _manifest(context: Context, instance: Instance, own: OwnBackups, one: OwnSnapshot) -> Manifest:
    held = _held(context, instance.name, one.id)
    empty = Taken(
        kind="full",
        product=ENGINE_INFO[instance.engine].title,
        version=one.version,
        source="",
        position={},
    )
    return Manifest(
        id=one.id,
        stack=context.located.record.id,
        stack_name=context.stack.name,
        instance=instance.name,
        engine=instance.engine,
        tool=own.keeper,
        started=one.moment,
        finished=one.finished,
        taken=replace(held or empty, version=one.version, moment=one.moment),
        streams=(Stream("", one.size, (Part(one.size, one.size, "", ""),)),),
    )


def _described(context: Context, instance: Instance) -> Taken | None:
    """What it holds now; None: nobody can say, and no snapshot waits for that."""
    asked = context.as_admin(instance)

    def work(engine: Engine[S, F, C]) -> Taken | None:
        describe = engine.describe
        if describe is None:
            return None
        access = context.admin(asked)
        with context.reach(instance), engine.connect(access, _TIMEOUT) as session:
            return describe(session)

    with suppress(MngdbError):
        return work(context.engine(instance))
    return None


def _common(before: Taken | None, after: Taken | None) -> Taken | None:
    """What was there before a snapshot was taken, and after."""
    if before is None or after is None:
        return None
    then, now = before.notes.get("traits", {}), after.notes.get("traits", {})
    traits: dict[str, Any] = {
        name: sorted(set(then[name]) & set(now[name])) for name in then.keys() & now.keys()
    }
    both = before.counts.keys() & after.counts.keys()
    counts = {name: min(before.counts[name], after.counts[name]) for name in both}
    return replace(after, counts=counts, notes={"traits": traits})


def _place(context: Context, instance: str) -> Path:
    return context.stack.state / _FOLDER / instance


def _held(context: Context, instance: str, snapshot: str) -> Taken | None:
    try:
        return disk.read_note(_place(context, instance) / snapshot, Taken)
    except ValueError:
        return None


def _forget(context: Context, instance: str, known: Collection[str]) -> None:
    """Of snapshots that are gone nothing is kept."""
    for path in _place(context, instance).glob("*"):
        if path.name not in known:
            path.unlink(missing_ok=True)
