"""From facts to the one most likely cause, with what follows from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mngdb.checks.doctor.causes import FINDERS
from mngdb.checks.doctor.consequences import CONSEQUENCES
from mngdb.facts.doctor import Answer, Explained, StackFacts, Trouble
from mngdb.words import many

#: Apps that a note names.
_SHOWN = 10
#: Causes that explain nothing that is about no app.
_OF_APP = ("app-limit", "secret")


def judge(facts: StackFacts) -> Answer:
    """The answer."""
    found = list(dict.fromkeys(trouble for find in FINDERS for trouble in find(facts)))
    parents = {one: _parent(one, found) for one in found}
    wrong = []
    for one in found:
        if parents[one] is None and not one.watch:
            below = [t for t in found if t is not one and _root(t, parents) is one]
            wrong.append(Explained(one, tuple(below)))
    watch = tuple(one for one in found if one.watch and _root(one, parents) is one)
    return Answer(tuple(wrong), watch, tuple(_unknown(facts)), tuple(_unseen(facts)))


def _parent(one: Trouble, found: Sequence[Trouble]) -> Trouble | None:
    """The first trouble that explains this one: earlier in the table, about the same instances."""
    for other in found:
        if other is one:
            return None
        same = not other.instances or bool(
            one.instances and set(one.instances) <= set(other.instances)
        )
        if same and _concerns(other, one) and one.cause in CONSEQUENCES.get(other.cause, ()):
            return other
    return None


def _concerns(other: Trouble, one: Trouble) -> bool:
    """Whether a cause that is about some apps is about this one's. The server's own limit is
    everybody's: an app that has reached its own has not met it."""
    apps = {other.app, *other.others} - {""}
    if not apps or one.cause == "login-limit":
        return True
    return one.app in apps if one.app else other.cause not in _OF_APP


def _root(one: Trouble, parents: dict[Trouble, Trouble | None]) -> Trouble:
    while (above := parents[one]) is not None:
        one = above
    return one


def _unknown(facts: StackFacts) -> list[str]:
    """What was asked and not told."""
    said = []
    for server in facts.servers:
        if server.sessions is not None and server.sessions.missing is not None:
            said.append(f"{server.instance}: sessions: {server.sessions.missing}")
        said += [
            f"{server.instance}: unknown whether {finding.title}: {finding.evidence}"
            for finding in server.findings
            if finding.verdict == "unknown"
        ]
    return said


def _unseen(facts: StackFacts) -> Iterator[str]:
    """Which logins were not tried. Who does not tell what was refused, once for each reason; who
    tells not all."""
    by: dict[str, list[str]] = {}
    for server in facts.servers:
        if server.untried:
            count = many(len(server.untried), "app login")
            some = ", ".join(server.untried[:_SHOWN])
            more = f" and {len(server.untried) - _SHOWN} more" * (len(server.untried) > _SHOWN)
            yield (
                f"{server.instance}: {count} not tried, whose passwords the vault does not have: "
                f"{some}{more}"
            )
        if server.refusal is not None and server.refusal.kind == "secret":
            by.setdefault(server.refusal.message, []).append(server.instance)
        elif server.denied is not None and server.denied.missing is not None:
            by.setdefault(server.denied.missing, []).append(server.instance)
        elif server.denied is not None and server.denied.value.unseen:
            yield f"{server.instance}: {server.denied.value.unseen}"
    for why, names in by.items():
        yield f"{', '.join(names)}: what it refused its clients is not visible: {why}"
