"""What is left out of an engine's steps: on a server that is adopted (`adopt: true`) nothing is
taken from anybody, and nothing changes of an app whose secret cannot be used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from mngdb.engines.protocol import S
from mngdb.model import DesiredInstance, Notice, Outcome, Step
from mngdb.spec.engine_info import ENGINE_INFO
from mngdb.words import TAKE_OVER, named

#: Logins that one notice names.
_SHOWN = 30


def additive(asked: DesiredInstance, found: Outcome[S]) -> Outcome[S]:
    """Without the steps that revoke, drop or hand over: they are told instead, and taken once the
    command names their object."""
    if not asked.instance.adopt:
        return found
    kept = [step for step in found.steps if _takes(step) and not _allowed(asked, step)]
    left = tuple(step for step in found.steps if step not in kept)
    return replace(
        found, steps=left, notices=(*found.notices, *_notices(asked, kept, found.notices))
    )


def sparing(asked: DesiredInstance, found: Outcome[S]) -> Outcome[S]:
    """Without the steps for apps whose secrets cannot be used: which of its logins and passwords
    is the right one, nobody knows."""
    if not asked.unusable:
        return found
    steps = tuple(step for step in found.steps if step.app not in asked.unusable)
    return replace(found, steps=steps)


def logins_kept(asked: DesiredInstance, found: Outcome[S]) -> frozenset[str]:
    """The logins of the file that were there before mngdb, and that the command takes over none."""
    prefix = ENGINE_INFO[asked.instance.engine].login
    names = (step.object.removeprefix(prefix) for step in found.steps if step.detail == TAKE_OVER)
    return frozenset(names)


def _takes(step: Step[S]) -> bool:
    return step.destructive or step.action in {"revoke", "drop"}


def _allowed(asked: DesiredInstance, step: Step[S]) -> bool:
    """Only by its name: `--prune` alone drops no login that somebody may use."""
    return step.object in asked.allow


def _notices(
    asked: DesiredInstance, kept: list[Step[S]], others: Sequence[Notice]
) -> Iterator[Notice]:
    """What is kept, but for that of which the engine has said so by itself."""
    told = {one.about for one in others}
    name = asked.instance.name
    logins = [step.object for step in kept if step.detail == TAKE_OVER]
    if logins:
        more = f" and {len(logins) - _SHOWN} more" if len(logins) > _SHOWN else ""
        yield Notice(
            name,
            f"kept with the passwords that they have: {', '.join(logins[:_SHOWN])}{more}",
            f"mngdb up --allow {named(logins[0])} takes one over: the vault's secret becomes its "
            "password, and its rights become the file's",
        )
    for step in kept:
        if step.detail != TAKE_OVER and step.object not in told:
            # what would go to somebody is not given, what would be taken is kept
            word = "not done" if step.action == "grant" else "kept"
            yield Notice(
                name,
                f"{word}: {step.action} {step.object}: {step.detail}",
                f"mngdb up --allow {named(step.object)}",
                step.object,
                f"{word}: {step.action}: {step.detail}:",
            )
