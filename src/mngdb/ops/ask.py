"""A question to some of the servers, side by side: what the commands of diagnosis share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

from mngdb.engines.protocol import AnyEngine, Engine, F, S, Verb
from mngdb.errors import UsageError
from mngdb.ops import registry, workers
from mngdb.ops.context import Context
from mngdb.spec.stack import Instance

T = TypeVar("T")

#: An engine's question for a command; None: it has none.
Find: TypeAlias = Callable[[AnyEngine], Verb[Any, T] | None]


def each(
    context: Context, name: str | None, command: str, find: Find[T]
) -> dict[str, workers.Result[T]]:
    """Instance to its answer: of the one called `name`, or of all whose engine has the question of
    `command`. Raises UsageError."""
    questions = _questions(context, name, command, find)

    def job(instance: Instance, _: workers.Emit) -> T:
        return _answer(context, instance, context.engine(instance), questions[instance.name])

    return workers.each(context.stack, job, lambda _: None, only=questions)


def one(context: Context, name: str | None, command: str, find: Find[T], how: str) -> T:
    """The answer of one instance, of which the name may be left out where no other can be asked.
    `how` the command takes that name. Raises UsageError, and what the question raises."""
    questions = _questions(context, name, command, find)
    if len(questions) > 1:
        names = ", ".join(questions)
        raise UsageError(f"'mngdb {command}' needs an instance", f"{how}: one of {names}")
    ((found, question),) = questions.items()
    instance = context.instance(found)
    return _answer(context, instance, context.engine(instance), question)


def _answer(context: Context, instance: Instance, engine: Engine[S, F], question: Verb[S, T]) -> T:
    """Asked as the administrator: it takes that secret, and no app's."""
    context.secret(instance, "admin")  # missing is an error here
    asked = context.asked(instance, find=False, invent=True)
    with context.reach(instance), engine.connect(context.admin(asked)) as session:
        return question(session, asked)


def _questions(
    context: Context, name: str | None, command: str, find: Find[T]
) -> dict[str, Verb[Any, T]]:
    """Instance to question. Raises UsageError that lists the instances, or the engines, that have
    it."""
    every = {one.name: find(context.engine(one)) for one in context.stack.instances.values()}
    found = {one: question for one, question in every.items() if question is not None}
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
    return {instance.name: found[instance.name]}
