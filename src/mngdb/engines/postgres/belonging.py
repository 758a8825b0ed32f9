"""Whose a database is, where the file names it by its beginning or not at all. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mngdb.engines.postgres.facts import Database, Facts
from mngdb.secret import SECOND, app_of
from mngdb.spec.postgres import PostgresGrant
from mngdb.spec.several import named

Grants = Mapping[str, PostgresGrant]


def covered(grants: Grants, name: str) -> bool:
    """Whether the file names a database, if only by its beginning."""
    return any(grant.covers(name) for grant in grants.values())


def names(grants: Grants, there: Iterable[str]) -> list[str]:
    """The databases that there are to be by the file, and those of `there` that it names by their
    beginning."""
    return sorted({*named(grants.values()), *(name for name in there if covered(grants, name))})


def app(grants: Grants, name: str) -> str:
    """The app that a database is there for: its owner, else the first that the file gives it; ''
    where there is none."""
    users = [user for user, grant in grants.items() if grant.covers(name)]
    owners = [user for user in users if grants[user].access == "owner"]
    return (owners or users or [""])[0]


def maker(grants: Grants, found: Database) -> str:
    """The app whose own a database is, since it may create some; '' where there is none."""
    app = app_of(found.owner)
    return app if app in grants and grants[app].create_databases else ""


def unused(grants: Grants, facts: Facts) -> list[tuple[str, str]]:
    """Databases that no app uses, with their sizes."""
    closed = facts.roles.keys() - grants.keys()  # told with what they own
    found = []
    for name, size in facts.unnamed.items():
        known = facts.databases.get(name)
        told = known is not None and (known.owner in closed or maker(grants, known))
        if not (told or covered(grants, name)):
            found.append((name, size))
    return found


def elses(grant: PostgresGrant, app: str, name: str, found: Database, facts: Facts) -> bool:
    """Whether a database, which is an app's by the beginning of its name alone, belongs to somebody
    else: not to an administrator."""
    return name not in grant.names and found.owner not in {app, app + SECOND, facts.admin}
