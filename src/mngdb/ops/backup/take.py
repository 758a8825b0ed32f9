"""`backup`: a snapshot of every instance, or of some."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from mngdb import __version__
from mngdb.engines.protocol import C, Engine, F, S
from mngdb.errors import MngdbError, UsageError
from mngdb.events import Meter
from mngdb.lock import lock
from mngdb.model import Step
from mngdb.ops import audit, workers
from mngdb.ops.backup import place, schedule, sources
from mngdb.ops.context import Context
from mngdb.snapshot import Taken, Writer
from mngdb.spec.stack import Instance
from mngdb.stores.catalog import Catalog, Snapshot
from mngdb.stores.manifest import Manifest
from mngdb.stores.sealing import Sealer

#: Seconds that a server may take to let us in.
_TIMEOUT = 30.0


class _Sink:
    """Where the engine writes, and who tells of it."""

    def __init__(self, catalog: Catalog, sealer: Sealer, instance: str, emit: workers.Emit) -> None:
        self._meter = Meter(instance, emit)
        self.snapshot = catalog.begin(sealer, instance, self._meter)

    def stream(self, name: str) -> AbstractContextManager[Writer]:
        """A stream of the snapshot."""
        return self.snapshot.stream(name)

    def expect(self, size: int) -> None:
        """How much there will be."""
        self._meter.total += size


def back_up(
    context: Context, names: Sequence[str], on_event: Callable[[object], None]
) -> dict[str, workers.Result[Manifest]]:
    """Take a snapshot of every instance, or of those named, side by side. What one of them cannot
    do costs the others nothing. After the stack was set up from a kit, one whose data was not
    restored is left out, unless it is named. Raises UsageError, SecretError before anything is
    asked."""
    pending = sources.origins(context.stack.state).pending
    named = {context.instance(name).name for name in names}
    chosen = named or set(context.stack.instances) - set(pending)
    if not chosen and pending:
        raise UsageError(
            f"not restored yet: {', '.join(pending)}",
            f"mngdb restore {pending[0]} --latest --replace; to begin anew with what is there: "
            f"mngdb backup {pending[0]}",
        )
    if not chosen:
        raise UsageError("the file has no instances", "'mngdb init' writes one with all of them")
    if context.located.kind == "new":
        raise UsageError("this stack has not been created yet", "run 'mngdb up' first")
    place.claim(context)
    sealer, catalog = place.sealer(context), place.catalog(context)

    def job(instance: Instance, emit: workers.Emit) -> Manifest:
        with lock(context.stack.state / f"backup-{instance.name}.lock", "backup", 0.0):
            sink = _Sink(catalog, sealer, instance.name, emit)
            started = time.time()
            try:
                taken = _taken(context, instance, sink)
                found = _manifest(context, instance, sink.snapshot, taken, started)
                sink.snapshot.finish(found)
            except BaseException as error:
                _discarded(sink.snapshot, error)
                told = error.message if isinstance(error, MngdbError) else "interrupted"
                schedule.failed(context, instance.name, told)
                raise
            schedule.succeeded(context, instance.name, found)
            sources.settle(context.stack.state, instance.name)
            detail = f"{found.size} bytes in {found.stored}, {catalog.store.place}"
            step: Step[None] = Step(
                *(instance.name, instance.engine, "create", f"snapshot {found.id}", detail),
                lambda _: None,
            )
            audit.note(context.stack.state, "backup", step)
            return found

    return workers.each(context.stack, job, on_event, chosen)


def _taken(context: Context, instance: Instance, sink: _Sink) -> Taken:
    asked = context.asked(instance, find=False)
    access = context.admin(asked)

    def work(engine: Engine[S, F, C]) -> Taken:
        with context.reach(instance), engine.connect(access, _TIMEOUT) as session:
            return engine.back_up(session, asked, access, sink)

    return work(context.engine(instance))


def _manifest(
    context: Context, instance: Instance, snapshot: Snapshot, taken: Taken, started: float
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
