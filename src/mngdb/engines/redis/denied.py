"""What Redis refused its clients, and which line of the file would permit it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec.structs import replace

from mngdb.engines.redis import permits
from mngdb.engines.redis.acl import ADMIN, DEFAULT, by_login
from mngdb.engines.redis.acl_log import KEPT, LENGTH, Entry, entries, folded, writes
from mngdb.engines.redis.client import Session
from mngdb.facts.denied import (
    OLD_CLIENT,
    RECENT,
    Counted,
    Denials,
    Denied,
    Evidence,
    Probe,
    stranger,
)
from mngdb.model import DesiredInstance
from mngdb.spec.redis import RedisGrant

#: What helps logins that no app has.
_REMEDIES = {
    DEFAULT: "the client sends no user name, or no login at all: 'mngdb env APP' prints one; if it "
    "drops the user name of a URL: docs/connecting.md#a-password-without-a-user-name",
}


def look(session: Session, asked: DesiredInstance, evidence: Evidence) -> Denials:
    """Refusals. Raises UnobservableError where the login may not ask."""
    every, grants = entries(session), by_login(asked)
    seen = _seen(asked, every)
    if asked.instance.adopt:  # mngdb's own question at a login, which others may not let it ask
        every = [one for one in every if (one.reason, one.object) != ("command", "ping")]
    writing = _writes(session, every, grants)
    # one line permits all that is refused for the same reason; what is over goes into no line of
    # what is not, nor does what needs none
    by_line: dict[tuple[str, bool, str], list[Entry]] = defaultdict(list)
    mine: dict[str, list[Entry]] = defaultdict(list)
    for one in every:
        mine[one.login].append(one)
    for one in every:
        app, grant = grants.get(one.login, (one.login, None))
        other = _REMEDIES.get(one.login) or stranger(one.login, ADMIN)
        if grant is not None:
            old = OLD_CLIENT.format(app=app)
            other = (
                old if one.reason == "auth" else permits.without_a_line(grant, one, mine[one.login])
            )
        by_line[one.login, evidence.recent(app, one.age), other].append(one)
    found = []
    for (login, fresh, other), some in by_line.items():
        app, grant = grants.get(login, (login, None))
        lines: dict[str, str] = {}
        if grant is not None and not other:
            lines = permits.lines(asked, app, grant, some, writing)
        by_what: dict[tuple[str, str], list[Entry]] = defaultdict(list)
        for one in folded(some):
            by_what[one.reason, one.what].append(one)
        found += [
            Denied(
                app,
                what,
                other or lines[reason],
                sum(one.times for one in same),
                min(one.age for one in same),
                mild=reason == "auth",
                over=not fresh,
                nameless=grant is None and login == DEFAULT,
            )
            for (reason, what), same in by_what.items()
        ]
    others = _others(found, evidence.probes)
    return Denials(tuple(sorted(others, key=lambda one: one.age)), seen)


def _seen(asked: DesiredInstance, every: Sequence[Entry]) -> float | None:
    """Seconds that a full list goes back: others' names fill it, also of who has no login."""
    kept = asked.instance.spec.settings.get(LENGTH, KEPT)
    oldest = max((one.age for one in every), default=RECENT)
    return oldest if len(every) >= int(kept) and oldest < RECENT else None


def _others(found: Iterable[Denied], probes: Sequence[Probe]) -> Iterator[Denied]:
    """Without logins of mngdb's own as an app: the server counts those with the app's."""
    for one in found:
        own = sum(probe.app == one.app for probe in probes) if one.mild else 0
        if one.times > own:
            yield replace(one, times=one.times - own)


def counted(session: Session, asked: DesiredInstance) -> list[Counted]:
    """How often what was refused, by entry. Raises UnobservableError."""
    grants = by_login(asked)
    return [
        Counted(
            one.id,
            grants[one.login][0] if one.login in grants else one.login,
            "login" if one.reason == "auth" else "access",
            one.times,
            one.age,
        )
        for one in entries(session)
    ]


def _writes(
    session: Session, every: Sequence[Entry], grants: Mapping[str, tuple[str, RedisGrant]]
) -> frozenset[str]:
    """Of the commands that apps were refused who may only read, those that write."""
    readers = {login for login, (_, grant) in grants.items() if grant.access == "readonly"}
    some = (one for one in every if one.reason == "command" and one.login in readers)
    return writes(session, sorted({one.object for one in some}))
