"""Which instances a command is about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from mngdb.errors import UsageError
from mngdb.ops import wishes
from mngdb.ops.context import Context
from mngdb.spec.agent import AGENT
from mngdb.spec.problems import near
from mngdb.spec.stack import Instance


class Choice(Struct, frozen=True):
    """The instances that a command names, and whether it names the agent. `whole`: it names
    nothing, and is about the stack with all that hangs on it."""

    names: frozenset[str]
    agent: bool
    whole: bool

    def of(self, context: Context) -> list[Instance]:
        """The instances, in the order of the file."""
        return [one for one in context.stack.instances.values() if one.name in self.names]


def choose(context: Context, words: Sequence[str]) -> Choice:
    """What words of a command line mean: instances, their units, the agent. Raises UsageError for
    one that is none of them."""
    if not words:
        return whole(context)
    agents = {AGENT, f"{context.stack.name}-{AGENT}"} if context.stack.agent else set[str]()
    members = {name: one.instance.name for name, one in context.stack.members.items()}
    short = {name.removeprefix(f"{context.stack.name}-"): one for name, one in members.items()}
    called = short | members | {name: name for name in context.stack.instances}
    found = [called.get(word, word) for word in words if word not in agents]
    known = [*context.stack.instances, *members, *([AGENT] if context.stack.agent else [])]
    refuse_unknown(found, known)
    return Choice(frozenset(found), any(word in agents for word in words), whole=False)


def whole(context: Context) -> Choice:
    """All of the stack."""
    return Choice(frozenset(context.stack.instances), agent=True, whole=True)


def after_boot(context: Context) -> Choice:
    """All of the stack but what was stopped by name."""
    down = wishes.stopped(context.stack.state)
    if not down:
        return whole(context)
    up = (one for name, one in context.stack.members.items() if name not in down)
    return Choice(frozenset(one.instance.name for one in up), agent=True, whole=False)


def refuse_unknown(words: Iterable[str], known: Sequence[str]) -> None:
    """Raise UsageError for the first word that is not known, with the nearest one that is."""
    for word in words:
        if word not in known:
            raise UsageError(f"no instance named {word!r}{near(word, known)}")


def refuse_external(chosen: Iterable[Instance], verb: str) -> None:
    """Raise UsageError for a server that somebody else runs, where it was named."""
    for one in chosen:
        if one.hosted:
            raise UsageError(f"{one.name} runs at its provider: mngdb does not {verb} it")
        if not one.managed:
            raise UsageError(
                f"{one.name} is external: mngdb does not {verb} it", "ask its operator"
            )
