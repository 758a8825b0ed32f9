"""`backup`: a snapshot of every instance, or of some."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import BinaryIO

from msgspec import Struct
from msgspec.structs import replace

from mngdb import __version__
from mngdb.engines.protocol import C, Engine, F, S
from mngdb.errors import MngdbError, UsageError
from mngdb.events import Meter, Progress
from mngdb.lock import lock
from mngdb.model import Step
from mngdb.ops import audit, workers
from mngdb.ops.backup import kept, keys, place, schedule, sources
from mngdb.ops.backup.bases import Choice, Keeper, choose
from mngdb.ops.backup.pace import Pace, PacedWriter
from mngdb.ops.backup.scratch import replaceable
from mngdb.ops.context import Context
from mngdb.snapshot import Base, Taken, Writer
from mngdb.spec.stack import Instance
from mngdb.stores.catalog import Catalog, Snapshot
from mngdb.stores.manifest import Manifest
from mngdb.stores.sealing import Sealer

#: Seconds that a server may take to let us in.
_TIMEOUT = 30.0
Say = Callable[[str], None]


class _Both(Struct, frozen=True):
    """Writes to the store and to a file of this machine."""

    stored: Writer
    kept: BinaryIO

    def write(self, data: bytes | memoryview) -> int:
        """Take the next bytes."""
        self.kept.write(data)
        return self.stored.write(data)


class _Sink:
    """Where the engine writes, and who tells of it."""

    def __init__(
        self,
        snapshot: Snapshot,
        meter: Meter,
        keeper: Keeper | None,
        pace: Pace | None,
        say: Say,
    ) -> None:
        self.base: Base | None = None
        self.tell = say
        self._pace = pace
        self._snapshot = snapshot
        self._meter = meter
        self._keeper = keeper

    @contextmanager
    def stream(self, name: str, *, keep: bool = False) -> Iterator[Writer]:
        """A stream of the snapshot."""
        with self._snapshot.stream(name) as stored:
            writer: Writer = stored if self._pace is None else PacedWriter(stored, self._pace)
            if not keep or self._keeper is None:
                yield writer
                return
            with self._keeper.open() as file:
                yield _Both(writer, file)

    def expect(self, size: int) -> None:
        """How much there will be."""
        self._meter.total += size


def back_up(
    context: Context,
    names: Sequence[str],
    on_event: Callable[[object], None],
    *,
    full: bool = False,
    logical: bool = False,
) -> dict[str, workers.Result[tuple[Manifest, ...]]]:
    """Take a snapshot of every instance, or of those named, side by side: with `full`, none that
    builds on another one; with `logical`, logical ones alone. What one of them cannot do costs the
    others nothing. After the stack was set up from a kit, one whose data was not restored is left
    out, unless it is named. Raises UsageError, SecretError before anything is asked."""
    chosen = _chosen(context, names, logical=logical)
    context.require_created()
    stored = _stored(context) if kept.apart(context, chosen) else None

    def job(instance: Instance, emit: workers.Emit) -> tuple[Manifest, ...]:
        if kept.of(context, instance.name) is not None:
            found = kept.take(context, instance, emit)
            _note(context, found, f"{found.size} bytes, kept by {found.tool}")
            return (found,)
        assert stored is not None  # noqa: S101 — for mypy
        catalog, sealer, pace = stored
        with lock(context.stack.state / f"backup-{instance.name}.lock", "backup", 0.0):
            schedule.begun(context, instance.name)
            if instance.name in sources.origins(context.stack.state).pending:
                text = "its data was never restored: this snapshot is of what it has now"
                emit(Progress(instance.unit, text))
            work = _Work(context, catalog, sealer, instance, pace, emit)
            alone = logical or instance.logical == "only"
            every = [] if alone else [work.snapshot(full=full)]
            if alone or (instance.logical and context.engine(instance).back_up_logically):
                every.append(work.logical())
            return tuple(every)

    return workers.each(context.stack, job, on_event, chosen)


def _stored(context: Context) -> tuple[Catalog, Sealer, Pace | None]:
    """What snapshots in the store are written with. Raises MngdbError."""
    keys.claim(context)
    sealer, rate = keys.sealer(context), place.wanted(context).rate
    return place.catalog(context), sealer, Pace(rate) if rate else None


def _note(context: Context, found: Manifest, detail: str) -> None:
    step: Step[None] = Step(
        *(found.instance, found.engine, "create", f"snapshot {found.id}", detail), lambda _: None
    )
    audit.note(context.stack.state, "backup", step)


def _chosen(context: Context, names: Sequence[str], *, logical: bool) -> set[str]:
    """The instances that a snapshot is taken of. Raises UsageError where there is none."""
    pending = sources.origins(context.stack.state).pending
    named = {context.instance(name).name for name in names}
    chosen = named or set(context.stack.instances) - set(pending)
    if not chosen and pending:
        empty = context.instance(pending[0])
        in_place = " --replace" if replaceable(context, empty) else ""
        raise UsageError(
            f"not restored yet: {', '.join(pending)}",
            f"mngdb restore {empty.name} --latest{in_place}; to begin anew with what is there: "
            f"mngdb backup {empty.name}",
        )
    if not chosen:
        raise UsageError("the file has no instances", "'mngdb init' writes one with all of them")
    if not logical:
        return chosen
    able = {n for n in chosen if context.engine(context.instance(n)).back_up_logically}
    if named - able or not able:
        none = ", ".join(sorted((named or chosen) - able))
        raise UsageError(f"--logical is for PostgreSQL: there is none of {none}")
    return able


class _Work(Struct, frozen=True):
    """The backup of one instance."""

    context: Context
    catalog: Catalog
    sealer: Sealer
    instance: Instance
    pace: Pace | None
    emit: workers.Emit

    def snapshot(self, *, full: bool) -> Manifest:
        """Take the engine's own. Raises MngdbError."""
        context, instance = self.context, self.instance
        keeper = Keeper(context.stack.state, instance.name)

        def write(sink: _Sink) -> tuple[Taken, str | None]:
            choice = Choice() if full else choose(context, instance, self.catalog, self.sealer)
            if choice.why:
                sink.tell(f"full snapshot: {choice.why}")
            sink.base = choice.base
            return self._taken(sink), choice.parent

        try:
            found = self._written(keeper, write)
        except BaseException:
            keeper.discard()
            raise
        keeper.settle(found.id)
        return self._settled(found)

    def logical(self) -> Manifest:
        """Take a logical one. Raises MngdbError, also where it is kept but lacks a database."""
        found = self._written(None, lambda sink: (self._dumped(sink), None))
        if self.instance.logical == "only":
            self._settled(found)
        if missing := found.taken.missing:
            every = "; ".join(f"{name}: {why}" for name, why in missing.items())
            text = f"snapshot {found.id} is kept, but lacks {every}"
            with suppress(OSError):  # that it was begun is noted
                schedule.failed(self.context, self.instance.name, text)
            raise MngdbError(text)
        return found

    def _settled(self, found: Manifest) -> Manifest:
        """Note that the instance has its backup."""
        schedule.succeeded(self.context, self.instance.name, found)
        sources.settle(self.context.stack.state, self.instance.name)
        return found

    def _written(
        self, keeper: Keeper | None, write: Callable[[_Sink], tuple[Taken, str | None]]
    ) -> Manifest:
        """Have `write` write the streams of a snapshot, and say what it builds on."""
        context, instance, catalog = self.context, self.instance, self.catalog
        meter = Meter(instance.name, self.emit, limit=self.pace.rate if self.pace else 0)
        snapshot = catalog.begin(self.sealer, instance.name, meter)
        started, newest = time.time(), schedule.newest(context, instance.name)
        try:
            sink = _Sink(snapshot, meter, keeper, self.pace, self._say)
            taken, parent = write(sink)
            taken = after(taken, newest)
            found = _manifest(context, instance, snapshot, taken, started, parent)
            snapshot.finish(found)
        except BaseException as error:
            _discarded(snapshot, error)
            told = error.message if isinstance(error, MngdbError) else "interrupted"
            with suppress(OSError):  # that it was begun is noted
                schedule.failed(context, instance.name, told)
            raise
        _note(context, found, f"{found.size} bytes in {found.stored}, {catalog.store.place}")
        return found

    def _say(self, text: str) -> None:
        self.emit(Progress(self.instance.unit, text))

    def _taken(self, sink: _Sink) -> Taken:
        asked = self.context.as_admin(self.instance)
        access = self.context.admin(asked)

        def work(engine: Engine[S, F, C]) -> Taken:
            with self.context.reach(self.instance), engine.connect(access, _TIMEOUT) as session:
                return engine.back_up(session, asked, access, sink)

        return work(self.context.engine(self.instance))

    def _dumped(self, sink: _Sink) -> Taken:
        program = partial(place.program, self.context, self.instance)
        access = self.context.admin(self.context.as_admin(self.instance))

        def work(engine: Engine[S, F, C]) -> Taken:
            dump = engine.back_up_logically
            assert dump is not None  # noqa: S101 — for mypy
            with self.context.reach(self.instance), engine.connect(access, _TIMEOUT) as session:
                return dump(session, access, program, sink)

        return work(self.context.engine(self.instance))


def after(taken: Taken, newest: float) -> Taken:
    """The same, as of a moment after the newest one before it. Where the clock was set back, its
    time stands still until then, as the log's does: or an older snapshot would be the newest."""
    early = (taken.moment or time.time()) <= newest
    return replace(taken, moment=newest + 0.001) if early else taken


def _manifest(
    context: Context,
    instance: Instance,
    snapshot: Snapshot,
    taken: Taken,
    started: float,
    parent: str | None,
) -> Manifest:
    return Manifest(
        id=snapshot.id,
        stack=context.located.record.id,
        stack_name=context.stack.name,
        instance=instance.name,
        engine=instance.engine,
        tool=f"mngdb {__version__}",
        started=started,
        finished=time.time(),
        taken=taken,
        parent=parent if taken.kind == "incremental" else None,
        recipients=snapshot.recipients,
        streams=snapshot.streams,
    )


def _discarded(snapshot: Snapshot, error: BaseException) -> None:
    """Remove what an unfinished one has written; where that fails too, it is said, and the next
    prune does it."""
    try:
        snapshot.discard()
    except MngdbError as second:
        error.add_note(f"what it had written is still in the store: {second.message}")
