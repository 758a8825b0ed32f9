"""A question to some of the servers, side by side: what the commands of diagnosis share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, TypeVar

from mngdb.errors import UsageError
from mngdb.model import Asked
from mngdb.ops import workers
from mngdb.ops.context import Context
from mngdb.spec.base import EngineName
from mngdb.spec.stack import Instance, Stack

T = TypeVar("T")


def chosen(context: Context, name: str | None, engines: Sequence[EngineName]) -> list[Instance]:
    """The instance called `name`, or all of these engines. Raises UsageError."""
    if name is not None:
        found = context.instance(name)
        if found.engine not in engines:
            raise UsageError(
                f"{name} is a {found.engine} instance", f"this is asked of {', '.join(engines)}"
            )
        return [found]
    all_of_them = [i for i in context.stack.instances.values() if i.engine in engines]
    if not all_of_them:
        raise UsageError(f"the stack has no instance of {', '.join(engines)}")
    return all_of_them


def databases(asked: Asked, session: Any) -> list[str]:
    """The databases that the file names in an instance of PostgreSQL or MongoDB; where it names
    none, as of a server that somebody else runs, all of the server's."""
    instance = asked.instance
    named = {grant.database for grant in instance.grants.values()}  # type: ignore[union-attr]
    named |= set(getattr(instance.spec, "databases", ()))
    if named:
        return sorted(named)
    every = import_module(f"mngdb.engines.{instance.engine}.databases").every
    found: list[str] = every(session)
    return found


def each(
    context: Context,
    instances: Sequence[Instance],
    question: Callable[[Any, Asked], T],
) -> dict[str, workers.Result[T]]:
    """Instance to the answer of `question(session, asked)`, asked as the administrator: it takes
    that secret, and no app's."""

    def job(instance: Instance, _: workers.Emit) -> T:
        context.secret(instance, "admin")  # missing is an error here
        one = context.asked(instance, find=False, invent=True)
        access = context.admin(one)
        with context.reach(instance), context.engine(instance).connect(access) as session:
            return question(session, one)

    part = _part(context.stack, instances)
    return workers.each(part, job, lambda _: None)


def _part(stack: Stack, instances: Sequence[Instance]) -> Stack:
    from dataclasses import replace

    return replace(stack, instances={one.name: one for one in instances})
