"""What is observed of a MongoDB server, in one spelling whatever the server's version."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct, field

from mngdb.engines.mongodb.render import settings
from mngdb.model import DesiredInstance

#: Key of a user's customData that says whose it is (the stack's name).
MARK = "mngdb"
#: Beside it: true when the app left the file and its login was closed.
CLOSED = "mngdb_closed"

#: Resource ("chatdb." for all of its collections) and action.
Right = tuple[str, str]


class Scram(Struct, frozen=True):
    """A login's SCRAM-SHA-256 verifier, as usersInfo shows it to an administrator."""

    salt: str
    iterations: int
    stored_key: str


class User(Struct, frozen=True):
    """A login in the database admin. `roles` as (database, role)."""

    name: str
    mark: str | None
    closed: bool
    roles: frozenset[tuple[str, str]]
    mechanisms: frozenset[str]
    scram: Scram | None
    custom: Mapping[str, Any]


class Role(Struct, frozen=True):
    """A role of the database admin: its own rights, and the roles that it inherits."""

    name: str
    rights: frozenset[Right]
    inherits: frozenset[tuple[str, str]]


class FoundIndex(Struct, frozen=True):
    """An index as listIndexes gives it."""

    name: str
    document: Mapping[str, Any]


class Facts(Struct, frozen=True):
    """Everything that `reconcile` judges."""

    version: str
    data: str = ""
    """Its featureCompatibilityVersion; empty: not asked for."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Option to value; parameters that the server does not know are absent."""
    reloadable: frozenset[str] = frozenset()
    """Options that the running server takes."""
    users: Mapping[str, User] = field(default_factory=dict)
    elsewhere: tuple[tuple[str, User], ...] = ()
    """Logins in other databases than admin, with the database; looked for on servers of ours."""
    roles: Mapping[str, Role] = field(default_factory=dict)
    indexes: Mapping[tuple[str, str], tuple[FoundIndex, ...]] = field(default_factory=dict)
    """Database and collection to indexes."""
    unseen: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """Collections whose indexes the server does not tell, and its reason."""
    profilers: Mapping[str, int] = field(default_factory=dict)
    """Database to profiling level."""


def user_of(document: Mapping[str, Any]) -> User:
    """From an entry of usersInfo."""
    scram = document.get("credentials", {}).get("SCRAM-SHA-256")
    custom = document.get("customData", {})
    mark = custom.get(MARK)
    return User(
        name=str(document["user"]),
        mark=mark if isinstance(mark, str) else None,
        closed=bool(custom.get(CLOSED)),
        roles=_pairs(document["roles"]),
        mechanisms=frozenset(document.get("mechanisms", ())),
        scram=scram and Scram(scram["salt"], int(scram["iterationCount"]), scram["storedKey"]),
        custom=custom,
    )


def role_of(document: Mapping[str, Any]) -> Role:
    """From an entry of rolesInfo with showPrivileges."""
    return Role(
        name=str(document["role"]),
        rights=rights_of(document["privileges"]),
        inherits=_pairs(document["roles"]),
    )


def rights_of(privileges: Iterable[Mapping[str, Any]]) -> frozenset[Right]:
    """Privileges as single rights, so that their order and grouping do not matter."""
    return frozenset(
        (_resource(privilege["resource"]), str(action))
        for privilege in privileges
        for action in privilege["actions"]
    )


def _resource(resource: Mapping[str, Any]) -> str:
    if set(resource) == {"db", "collection"}:
        return f"{resource['db']}.{resource['collection']}"
    return " ".join(sorted(resource))  # cluster, anyResource, system_buckets: never ours


def _pairs(roles: Iterable[Mapping[str, Any]]) -> frozenset[tuple[str, str]]:
    return frozenset((str(role["db"]), str(role["role"])) for role in roles)


def initial(asked: DesiredInstance) -> Facts:
    """The facts of a server that `render` has just made."""
    return Facts(version="", settings=settings(asked))
