"""What `check` judges around the servers of this machine: the machine, and the secrets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from mngdb.checks import registry
from mngdb.errors import MngdbError, of_system
from mngdb.findings import Check, Finding, Judgement, no_matter
from mngdb.ops.context import Context

F = TypeVar("F")
Wanted = Callable[[Check[Any]], bool]


def around(context: Context, wanted: Wanted) -> list[Finding]:
    """The findings of `host.*`, for servers that are processes of this machine, and of `secrets.*`,
    for stacks of which not all servers are somebody else's."""
    host, secrets = ([one for one in registry.of(n) if wanted(one)] for n in registry.AROUND)
    targets = [one.target for one in context.stack.instances.values()]
    found: list[Finding] = []
    if any(target.local for target in targets):
        found += _host(context, host)
    else:
        apart = no_matter("no server of this stack is a process of this machine")
        found += (_fixed(one, "", apart) for one in host)
    if any(not target.external for target in targets):
        found += _secrets(context, secrets)
    else:
        apart = no_matter("all servers are somebody else's")
        found += (_fixed(one, "", apart) for one in secrets)
    return found


def _host(context: Context, checks: Sequence[Check[Any]]) -> list[Finding]:
    from mngdb.checks.host import MACHINE, SERVER
    from mngdb.targets.local import inspect

    found: list[Finding] = []
    of_servers = [one for one in checks if one in SERVER]
    for instance in context.stack.instances.values() if of_servers else ():
        if instance.target.local:
            look = lambda instance=instance: inspect.server(context.local, instance)  # noqa: E731
            found += _judge(of_servers, instance.name, look)
    of_machine = [one for one in checks if one in MACHINE]
    return found + _judge(of_machine, "", lambda: inspect.machine_facts(context.stack))


def _secrets(context: Context, checks: Sequence[Check[Any]]) -> list[Finding]:
    from mngdb.ops.secrets_facts import secrets_facts

    return _judge(checks, "", lambda: secrets_facts(context))


def _judge(checks: Sequence[Check[F]], instance: str, look: Callable[[], F]) -> list[Finding]:
    if not checks:
        return []
    try:
        facts = look()
    except OSError as error:
        return [_fixed(one, instance, _lost(of_system(error))) for one in checks]
    except MngdbError as error:
        return [_fixed(one, instance, _lost(error)) for one in checks]
    return [one.finding(facts, instance) for one in checks]


def _lost(error: MngdbError) -> Judgement:
    return Judgement("unknown", error.message)


def _fixed(check: Check[Any], instance: str, judgement: Judgement) -> Finding:
    return replace(check, judge=lambda _: judgement).finding(None, instance)
