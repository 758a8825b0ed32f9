"""`down` and `destroy`: stop what runs here; remove everything."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path

from mngdb import stopping
from mngdb.errors import MngdbError, UsageError
from mngdb.events import Progress
from mngdb.identity import record
from mngdb.lock import lock
from mngdb.model import Notice, Step
from mngdb.ops import audit, boot, paid, registry, wishes, workers
from mngdb.ops.agent import AgentUnit
from mngdb.ops.backup import place
from mngdb.ops.choice import refuse_external, refuse_unknown
from mngdb.ops.context import Context
from mngdb.spec.agent import AGENT
from mngdb.spec.stack import Member
from mngdb.targets.process import waiting
from mngdb.targets.protocol import Servers, UnitRecord

#: Seconds that `destroy` gives a server to stop: PostgreSQL, say, to end its checkpoint.
LAST = 30.0

#: Takes Progress.
OnEvent = Callable[[object], None]


def down(context: Context, on_event: OnEvent, words: Sequence[str] = ()) -> list[str]:
    """Stop every unit cleanly, side by side; or those of the instances that `words` name, which
    then stay stopped, also after a reboot, until `up`. Returns the names of those that ran.

    Data, secrets and settings stay. Raises MngdbError when a unit does not stop in time.
    """
    state = context.stack.state
    if words:
        refuse_external((one.instance for one in _named(context, words)), "stop")
    if not state.is_dir():
        refuse_unknown(words, _known(context, []))
        return []
    with lock(state / "lock", "down"):
        if not words:
            return _stop(context, on_event)
        notes = [(servers, note) for servers in context.servers() for note in servers.units()]
        refuse_unknown(words, _known(context, [note for _, note in notes]))
        wanted = {*words, *(one.name for one in _named(context, words))}
        chosen = [(h, n) for h, n in notes if {n.unit, n.instance} & wanted]
        wishes.stop(state, [note.unit for _, note in chosen])
        agent = {AGENT, AgentUnit(context).name} & set(words)
        stopped = _stop_agent(context, on_event) if agent else []
        return stopped + _stop_units(context, chosen, on_event)


def _named(context: Context, words: Sequence[str]) -> list[Member]:
    """The servers of the file that words mean: all of an instance, or one."""
    every = context.stack.members.values()
    return [one for one in every if {one.name, one.instance.name} & set(words)]


def _known(context: Context, notes: Sequence[UnitRecord]) -> list[str]:
    """What may be named: also what the file no longer has."""
    stack = context.stack
    found = [*stack.instances, *stack.members, *(n.unit for n in notes)]
    agent = [AGENT, AgentUnit(context).name] if stack.agent else []
    return [*found, *(n.instance for n in notes), *agent]


def stop_here(context: Context, on_event: OnEvent) -> None:
    """Stop the agent and the servers of this machine; containers run on."""
    _stop_agent(context, on_event)
    here = [one.servers for one in context.targets() if one.servers and one.watched]
    notes = [(servers, note) for servers in here for note in servers.units()]
    _stop_units(context, notes, on_event)


def _stop(context: Context, on_event: OnEvent, *, removing: bool = False) -> list[str]:
    # what was made here, also when the file no longer says so; raises on an engine of another stack
    notes = [(servers, note) for servers in context.servers() for note in servers.units()]
    if (context.stack.state / place.RESTORED).is_dir():
        from mngdb.ops.backup import restored

        notes += [(servers, made) for servers, made, _ in restored.running(context)]
    stopped = _stop_agent(context, on_event, removing=removing)
    stopped += _stop_units(context, notes, on_event, removing=removing)
    for servers in context.servers():
        servers.end()
    return stopped


def _stop_units(
    context: Context,
    notes: Sequence[tuple[Servers, UnitRecord]],
    on_event: OnEvent,
    *,
    removing: bool = False,
) -> list[str]:
    """Stop units side by side; when `removing`, kill those that have not stopped after `LAST`
    seconds."""

    def one(found: tuple[Servers, UnitRecord], emit: workers.Emit) -> bool:
        servers, note = found
        step: Step[None] = Step(
            note.instance, note.engine, "stop", note.unit, "cleanly", lambda _: None
        )

        def tell(text: str) -> None:
            emit(Progress(note.unit, text))

        def stays() -> None:
            left = LAST - waiting.STAYS if removing else None
            waiting.tell_stays(servers, note.unit, _login(context, note), tell, left)

        def kill(why: str) -> None:
            if servers.process(note.unit) is not None:
                tell(f"{why}: killed")
            servers.kill(note.unit)

        def expire() -> None:
            with suppress(MngdbError, OSError):  # then its stop fails, too, and says why
                kill(f"did not stop within {LAST:.0f} s")

        try:
            with ExitStack() as timers:
                timers.enter_context(stopping.late(waiting.STAYS, stays))
                if removing:
                    timers.enter_context(stopping.late(LAST, expire))
                ran = servers.stop(note.unit, registry.engine(note.engine).stop_signal)
        except MngdbError as error:
            if not removing:
                audit.note(context.stack.state, "down", step, error.message)
                raise
            kill(error.message)
            ran = True
        if ran:
            tell("stopped")
            if not removing:
                audit.note(context.stack.state, "down", step)
        return ran

    # a unit that moved to another target has its name in both
    named = {
        f"{note.unit} {number}": (servers, note) for number, (servers, note) in enumerate(notes)
    }
    results = workers.together(named, one, on_event)
    return [note.unit for (_, note), ran in zip(notes, results.values(), strict=True) if ran.get()]


def _login(
    context: Context, note: UnitRecord
) -> Callable[[], AbstractContextManager[object]] | None:
    """What asks a unit's server; None: the file does not know it."""
    member = context.stack.members.get(note.unit)
    if member is None:
        return None
    instance = member.instance

    @contextmanager
    def login() -> Iterator[None]:
        asked = context.as_admin(instance)
        engine, admin = context.engine(instance), context.admin(asked)
        with context.reach(instance), engine.connect(admin, waiting.STAYS_LOGIN):
            yield

    return login


def _stop_agent(context: Context, on_event: OnEvent, *, removing: bool = False) -> list[str]:
    """First: it would take a server that is stopped for one that died."""
    agent = AgentUnit(context)
    if not agent.stop():
        return []
    on_event(Progress(agent.name, "stopped"))
    if not removing:
        step: Step[None] = Step(AGENT, AGENT, "stop", agent.name, "cleanly", lambda _: None)
        audit.note(context.stack.state, "down", step)
    return [agent.name]


def destroy(context: Context, name: str, on_event: OnEvent) -> list[Notice]:
    """Stop everything and remove it: data, secrets, logs. `name` has to be the stack's name.
    Returns what stays.

    Servers that somebody else runs are left as they are. Raises UsageError for another name,
    MngdbError for data that was not made from here.
    """
    if name != context.stack.name:
        raise UsageError(
            f"the stack is named {context.stack.name!r}, not {name!r}; nothing was removed"
        )
    there = context.stack.state.is_dir()
    for servers in context.servers() if there else ():
        servers.check_names(frozenset())
    staying = [notice for servers in context.servers() for notice in servers.staying()]
    if not there:
        return staying
    removals = _removals(context, on_event)
    spared = place.spare_key(context)
    staying += [spared] if spared else []
    boot.disable(context)  # at boot, its unit would begin an empty one
    with lock(context.stack.state / "lock", "destroy"):
        for servers in context.servers():
            for note in servers.units():
                if servers.missing(note.unit):
                    servers.kill(note.unit)  # it cannot end cleanly
        _forget_restored(context)
        # no word in the audit log: it goes too, and a full disk must not keep it from going
        _stop(context, on_event, removing=True)
        for remove in removals:
            staying += remove()
        with _nothing_restored(context):
            unmake(context)
    return staying


def _removals(context: Context, on_event: OnEvent) -> list[Callable[[], list[Notice]]]:
    """What removes the servers that providers run. Raises UsageError, before anything is removed,
    for one that may not be."""
    found = []
    gone = [one.instance for _, one in paid.departed(context)]  # first: a project may have both
    for instance in (*gone, *context.stack.instances.values()):
        hosted = context.target(instance).hosted
        if hosted is not None:
            asked = context.asked(instance, invent=True, find=False)
            found.append(hosted.removal(asked, on_event))
    return [one for one in found if one is not None]


def _forget_restored(context: Context) -> None:
    from mngdb.ops.backup import restored

    for replaced in (False, True):
        restored.forget(context, restored.found(context, replaced=replaced))


@contextmanager
def _nothing_restored(context: Context) -> Iterator[None]:
    """In the block, no drill and no restore of a part goes on, and nothing is left of killed ones.
    Raises UsageError for one that takes long."""
    from mngdb.ops.backup import drill, parts, restored

    with (
        restored.nobody(context, drill.FOLDER, drill.PATIENCE),
        restored.nobody(context, parts.FOLDER, drill.PATIENCE),
    ):
        yield


def unmake(context: Context, pointed: Path | None = None) -> None:
    """Remove all that is kept of a stack of which nothing runs, and the way to it. `pointed` is the
    state to which the project led before."""
    for servers in context.servers():
        servers.remove()
    record.remove(context.stack.state, lambda: context.located.forget(pointed))
