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
    """The findings of `host.*` and `secrets.*`; where all servers are somebody else's, neither
    applies."""
    here = [one for one in context.stack.instances.values() if one.target.local]
    checks = {name: [one for one in registry.of(name) if wanted(one)] for name in registry.AROUND}
    if not here:
        apart = no_matter("no server of this stack runs on this machine")
        return [_fixed(one, "", apart) for found in checks.values() for one in found]
    return [*_host(context, checks["host"]), *_secrets(context, checks["secrets"])]


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
