"""A question to some of the servers, side by side: what the commands of diagnosis share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from mngdb.engines.protocol import C, Diagnose, Engine, F, S, Verb
from mngdb.errors import ConnectError, UsageError
from mngdb.ops import registry, workers
from mngdb.ops.context import Context
from mngdb.spec.stack import Instance

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Find(Protocol[T_co]):
    """Gives an engine's question for a command; None: it has none."""

    def __call__(self, engine: Diagnose[S], /) -> Verb[S, T_co] | None: ...


def each(
    context: Context, name: str | None, command: str, find: Find[T]
) -> dict[str, workers.Result[T]]:
    """Instance to its answer: of the one called `name`, or of all whose engine has the question of
    `command`. Raises UsageError."""
    chosen = _chosen(context, name, command, find)

    def job(instance: Instance, _: workers.Emit) -> T:
        return _answer(context, instance, context.engine(instance), find)

    return workers.each(context.stack, job, lambda _: None, only=chosen)


def one(context: Context, name: str | None, command: str, find: Find[T], how: str) -> T:
    """The answer of one instance, of which the name may be left out where no other can be asked.
    `how` the command takes that name. Raises UsageError, and what the question raises."""
    chosen = _chosen(context, name, command, find)
    if len(chosen) > 1:
        names = ", ".join(chosen)
        raise UsageError(f"'mngdb {command}' needs an instance", f"{how}: one of {names}")
    instance = context.instance(chosen[0])
    return _answer(context, instance, context.engine(instance), find)


def _answer(context: Context, instance: Instance, engine: Engine[S, F, C], find: Find[T]) -> T:
    """Asked as the administrator: it takes that secret, and no app's."""
    context.secret(instance, "admin")  # missing is an error here
    asked = context.asked(instance, find=False, invent=True)
    question = find(engine)
    assert question is not None  # noqa: S101 - it is of those that were chosen by it
    try:
        with context.reach(instance), engine.connect(context.admin(asked)) as session:
            return question(session, asked)
    except ConnectError as error:
        raise context.target(instance).explained(instance, error) from None


def _chosen(context: Context, name: str | None, command: str, find: Find[object]) -> Sequence[str]:
    """Instances that have the question. Raises UsageError that lists them, or the engines."""
    every = context.stack.instances.values()
    found = [one.name for one in every if find(context.engine(one)) is not None]
    if name is None and not found:
        titles = ", ".join(one.info.title for one in registry.every() if find(one) is not None)
        raise UsageError(
            f"no instance of the stack supports 'mngdb {command}'", f"supported engines: {titles}"
        )
    if name is None:
        return found
    instance = context.instance(name)
    if instance.name not in found:
        title, names = context.engine(instance).info.title, ", ".join(found) or "none"
        raise UsageError(
            f"'mngdb {command}' does not support {title} ({instance.name})",
            f"supported instances: {names}",
        )
    return [instance.name]
