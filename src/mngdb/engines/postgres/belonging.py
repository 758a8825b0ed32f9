"""Whose a database is, where the file names it by its beginning or not at all. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mngdb.engines.postgres.facts import Database, Facts
from mngdb.secret import SECOND, app_of
from mngdb.spec.postgres import PostgresGrant

Grants = Mapping[str, PostgresGrant]


class Users:
    """The apps of each database by the file. There may be hundreds of both: not every app is asked
    about every database."""

    def __init__(self, grants: Grants) -> None:
        self._grants = grants
        self._place = {app: place for place, app in enumerate(grants)}
        self._prefixed = [app for app, grant in grants.items() if grant.prefixes]
        self._named: dict[str, list[str]] = {}
        for app, grant in grants.items():
            for name in grant.names:
                self._named.setdefault(name, []).append(app)

    def of(self, name: str) -> dict[str, PostgresGrant]:
        """Those that the file gives a database, if only by its beginning, in the file's order."""
        every = {*self._named.get(name, ()), *self._prefixed}
        apps = sorted(every, key=self._place.__getitem__)
        return {app: self._grants[app] for app in apps if self._grants[app].covers(name)}

    def names(self, there: Iterable[str]) -> list[str]:
        """The databases that there are to be by the file, and those of `there` that it names by
        their beginning."""
        return sorted({*self._named, *(name for name in there if self.of(name))})

    def first(self, name: str) -> str:
        """The app that a database is there for: its owner, else the first that the file gives it;
        '' where there is none."""
        users = self.of(name)
        owners = [user for user, grant in users.items() if grant.access == "owner"]
        return (owners or [*users] or [""])[0]


def maker(grants: Grants, found: Database) -> str:
    """The app whose own a database is, since it may create some; '' where there is none."""
    app = app_of(found.owner)
    return app if app in grants and grants[app].create_databases else ""


def unused(grants: Grants, users: Users, facts: Facts) -> list[tuple[str, str]]:
    """Databases that no app uses, with their sizes; but for those of another project."""
    closed = facts.roles.keys() - grants.keys()  # told with what they own
    theirs = {name for o in facts.outsiders if o.name in facts.namesakes for name in o.owns}
    found = []
    for name, size in facts.unnamed.items():
        known = facts.databases.get(name)
        told = known is not None and (known.owner in closed or maker(grants, known))
        if not (told or name in theirs or users.of(name)):
            found.append((name, size))
    return found


def elses(grant: PostgresGrant, app: str, name: str, found: Database, facts: Facts) -> bool:
    """Whether a database, which is an app's by the beginning of its name alone, belongs to somebody
    else: not to an administrator."""
    return name not in grant.names and found.owner not in {app, app + SECOND, facts.admin}
