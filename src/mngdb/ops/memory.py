"""`memory`: where each server's memory goes, who holds it, what to change."""

from __future__ import annotations

from typing import Any

from mngdb.checks.memory import judge
from mngdb.engines.protocol import Diagnose, S, Verb
from mngdb.facts.memory import Around, Memory
from mngdb.findings import Seen, see
from mngdb.model import DesiredInstance
from mngdb.ops import ask, workers
from mngdb.ops.context import Context
from mngdb.spec.engine_info import ENGINE_INFO
from mngdb.spec.stack import Instance

#: What may be wrong with the machine for its servers' memory.
_MACHINE = ("host.memory-fits", "host.memory-left", "host.fork")


def memory(context: Context, instance: str | None) -> dict[str, workers.Result[Memory]]:
    """Instance to the answer, or why it could not be asked."""

    def verb(engine: Diagnose[S]) -> Verb[S, Memory] | None:
        look = engine.memory
        if look is None:
            return None

        def question(session: S, asked: DesiredInstance) -> Memory:
            facts = look(session, asked)
            return judge(facts, _around(context, asked.instance), asked.instance.name)

        return question

    return ask.each(context, instance, "memory", verb)


def _around(context: Context, instance: Instance) -> Around:
    """What is seen from outside: of processes much, of containers little, of others' nothing."""
    outside = context.target(instance).outside
    if outside is None:
        who = "a provider runs the server" if instance.hosted else "the server is external"
        apart: Seen[Any] = Seen(missing=f"{who}: only the server itself is queried")
        return Around(apart, apart)
    return Around(
        see(lambda: outside.footprint(instance)),
        see(lambda: outside.memory(instance)),
        _machine(context, instance),
    )


def _machine(context: Context, instance: Instance) -> tuple[tuple[str, str], ...]:
    from mngdb.checks.host import MACHINE

    facts = context.machine() if instance.here else None
    if facts is None:
        return ()
    wanted = [one for one in MACHINE if one.id in _MACHINE]
    if not ENGINE_INFO[instance.engine].forks:
        wanted = [one for one in wanted if one.id != "host.fork"]
    judged = [one.finding(facts) for one in wanted]
    return tuple((f"{f.title}: no ({f.evidence})", f.remedy) for f in judged if f.verdict == "fail")
