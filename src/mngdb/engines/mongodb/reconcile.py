"""What differs between asked and found. Pure: nothing here talks to a server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from mngdb.engines.mongodb import indexes, outsiders, users
from mngdb.engines.mongodb.facts import Facts
from mngdb.engines.mongodb.render import PARAMETER, settings, spec_of
from mngdb.errors import StepError
from mngdb.model import Action, Change, DesiredInstance, Notice, Outcome, Step, about
from mngdb.release import Release

if TYPE_CHECKING:
    from mngdb.engines.mongodb.client import Session

_OLDEST = 6
#: What `Change.wanted` says of an option that left the file.
DEFAULT = "the default"


def reconcile(asked: DesiredInstance, facts: Facts) -> Outcome[Session]:
    """Settings that differ, steps in the order in which they run, and remarks."""
    changes = tuple(_changes(asked, facts))
    cold = () if asked.managed else tuple(change for change in changes if not change.reloadable)
    make = maker(asked)
    if asked.hosted:  # logins are made through the provider's interface
        release = Release.of("MongoDB", facts.version, facts.data) if facts.version else None
        return Outcome(steps=(*indexes.steps(asked, facts, make),), release=release)
    return Outcome(
        changes=tuple(change for change in changes if change not in cold),
        steps=(
            *about(users.steps(asked, facts, make), kind="user"),
            *outsiders.steps(asked, facts, make),
            *indexes.steps(asked, facts, make),
            *about(_profilers(asked, facts, make), kind="profiler"),
        ),
        notices=(
            *_version(asked, facts),
            *(_notice(asked, change) for change in cold),
            *users.notices(asked, facts),
            *outsiders.notices(asked, facts),
        ),
        release=Release.of("MongoDB", facts.version, facts.data) if facts.version else None,
    )


def _changes(asked: DesiredInstance, facts: Facts) -> Iterator[Change]:
    wanted = settings(asked)
    for name, value in wanted.items():
        found = facts.settings.get(name, "")
        if found != value:
            yield Change(name, found, value, reloadable=name in facts.reloadable)
    if asked.managed:
        for name in facts.settings.keys() - wanted.keys():
            yield Change(name, facts.settings[name], DEFAULT, reloadable=False)


def _notice(asked: DesiredInstance, change: Change) -> Notice:
    name = change.name.removeprefix(PARAMETER)
    found = change.found or "unknown to the server"
    text = f"{name} is {found}, the file says {change.wanted}"
    return Notice(asked.instance.name, text, "ask its operator to set it")


def _version(asked: DesiredInstance, facts: Facts) -> Iterator[Notice]:
    major = facts.version.partition(".")[0]
    if major.isdigit() and int(major) < _OLDEST:
        text = f"MongoDB {facts.version} is older than mngdb supports ({_OLDEST} and later)"
        yield Notice(asked.instance.name, text, "upgrade the server")


def _profilers(asked: DesiredInstance, facts: Facts, make: users.Make) -> Iterator[Step[Session]]:
    slow = int(spec_of(asked).slow.total_seconds() * 1000)

    def profile(database: str) -> Callable[[Session], None]:
        def run(session: Session) -> None:
            session.command("profile", 1, on=database, slowms=slow)

        return run

    for database, level in facts.profilers.items():
        if level != 1:
            detail = f"profiler on, at {slow} ms"
            yield make("change", f"{database}.profiler", detail, profile(database), False)


def maker(asked: DesiredInstance) -> users.Make:
    """Steps of this instance; a server's refusal becomes a StepError that names the step."""

    def make(
        action: Action,
        name: str,
        detail: str,
        run: Callable[[Session], None],
        destructive: bool,
    ) -> Step[Session]:
        def guarded(session: Session) -> None:
            from mngdb.engines.mongodb.client import Refused

            try:
                run(session)
            except Refused as error:
                where = asked.instance.name
                raise StepError(f"{where}: {action} {name}: {error.message}") from None

        return Step(
            instance=asked.instance.name,
            engine="mongodb",
            action=action,
            object=name,
            detail=detail,
            run=guarded,
            destructive=destructive,
        )

    return make
