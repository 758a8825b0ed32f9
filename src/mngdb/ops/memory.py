"""`memory`: where each server's memory goes, who holds it, what to change."""

from __future__ import annotations

from typing import Any

from mngdb.checks.memory import judge
from mngdb.engines.protocol import Engine, F, S, Verb
from mngdb.errors import MngdbError, UnobservableError
from mngdb.facts.memory import Around, Footprint, Memory
from mngdb.findings import Seen, see
from mngdb.model import Asked
from mngdb.ops import ask, workers
from mngdb.ops.context import Context
from mngdb.spec.engine_info import ENGINE_INFO
from mngdb.spec.stack import Instance

#: What may be wrong with the machine for its servers' memory.
_MACHINE = ("host.memory-fits", "host.memory-left", "host.fork")


def memory(context: Context, instance: str | None) -> dict[str, workers.Result[Memory]]:
    """Instance to the answer, or why it could not be asked."""

    def verb(engine: Engine[S, F]) -> Verb[S, Memory] | None:
        look = engine.memory
        if look is None:
            return None

        def question(session: S, asked: Asked) -> Memory:
            facts = look(session, asked)
            return judge(facts, _around(context, asked.instance), asked.instance.name)

        return question

    return ask.each(context, instance, "memory", verb)


def _around(context: Context, instance: Instance) -> Around:
    """What is seen from outside: of processes much, of containers little, of others' nothing."""
    if instance.target.external:
        apart: Seen[Any] = Seen(missing="the server is somebody else's, only it is asked")
        return Around(apart, apart)
    if instance.target.compose:
        return Around(
            see(lambda: _container(context, instance)), see(lambda: _limit(context, instance))
        )
    from mngdb.targets.local import machine
    from mngdb.targets.local.footprint import footprint

    return Around(
        see(lambda: footprint(context.local, instance.unit)),
        Seen(machine.memory()),
        _machine(context, instance),
    )


def _container(context: Context, instance: Instance) -> Footprint:
    running = context.compose.process(instance.unit)
    size = running.memory() if running is not None else None
    if size is None:
        raise UnobservableError(f"the container {instance.unit} does not tell")
    return Footprint(size)


def _limit(context: Context, instance: Instance) -> int:
    try:
        return context.compose.memory_limit(instance.unit)
    except MngdbError as error:
        raise UnobservableError(error.message) from None


def _machine(context: Context, instance: Instance) -> tuple[tuple[str, str], ...]:
    from mngdb.checks.host import MACHINE
    from mngdb.targets.local import inspect

    facts = inspect.machine_facts(context.stack)
    wanted = [one for one in MACHINE if one.id in _MACHINE]
    if not ENGINE_INFO[instance.engine].forks:
        wanted = [one for one in wanted if one.id != "host.fork"]
    judged = [one.finding(facts, "") for one in wanted]
    return tuple((f"{f.title}: no ({f.evidence})", f.remedy) for f in judged if f.verdict == "fail")
