"""What the roles of a login come to in a database: what `init --from` writes into the file, and how
an adopted server is compared with it. Pure.

https://www.mongodb.com/docs/manual/reference/built-in-roles/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mngdb.engines.mongodb.facts import Role, User
from mngdb.spec.mongodb import MongodbGrant

#: What the built-in role `read` may do in MongoDB 6 to 8.
READ = frozenset(
    {
        "changeStream",
        "collStats",
        "dbHash",
        "dbStats",
        "find",
        "killCursors",
        "listCollections",
        "listIndexes",
        "planCacheRead",
    }
)
#: What `readWrite` may do beyond that; convertToCapped is what creates a capped collection.
#: System collections (system.js, …) are in neither: their resource is named apart.
WRITE = frozenset(
    {
        "compactStructuredEncryptionData",
        "convertToCapped",
        "createCollection",
        "createIndex",
        "dropCollection",
        "dropIndex",
        "insert",
        "remove",
        "renameCollectionSameDB",
        "update",
    }
)
#: Built-in roles of a database that permit all of READ, and all of both.
_READ_ROLES = frozenset({"read"})
_WRITE_ROLES = frozenset({"readWrite", "dbOwner"})
#: The same of the database admin, for every database.
_READ_ANY = frozenset({"readAnyDatabase"})
_WRITE_ANY = frozenset({"readWriteAnyDatabase", "root", "__system", "restore"})
#: With these, a login is an administrator's.
POWERS = frozenset(
    {
        "root",
        "__system",
        "userAdmin",
        "userAdminAnyDatabase",
        "dbAdminAnyDatabase",
        "readAnyDatabase",
        "readWriteAnyDatabase",
        "clusterAdmin",
        "clusterManager",
        "hostManager",
        "backup",
        "restore",
    }
)
_ADMIN = "admin"
_SYSTEM = frozenset({_ADMIN, "local", "config"})


def held(user: User, roles: Mapping[str, Role]) -> dict[str, str]:
    """Database to `readwrite` or `readonly`, of what a login may do in whole databases. `roles`:
    those of the database admin by name."""
    found: dict[str, str] = {}
    for database, access in _held(user.roles, roles, set()):
        if database not in _SYSTEM and found.get(database) != "readwrite":
            found[database] = access
    return found


def enough(user: User, roles: Mapping[str, Role], grant: MongodbGrant) -> bool:
    """Whether a login of others may do all that the grant stands for."""
    names = {name for database, name in user.roles if database == _ADMIN}
    if names & _WRITE_ANY or (grant.access == "readonly" and names & _READ_ANY):
        return True
    found = held(user, roles)
    return all(found.get(name) in {"readwrite", grant.access} for name in grant.names)


def _held(
    given: frozenset[tuple[str, str]], roles: Mapping[str, Role], seen: set[str]
) -> Iterator[tuple[str, str]]:
    for database, name in sorted(given):
        if name in _WRITE_ROLES:
            yield database, "readwrite"
        elif name in _READ_ROLES:
            yield database, "readonly"
        elif database == _ADMIN and name in roles and name not in seen:
            seen.add(name)
            yield from _of_rights(roles[name])
            yield from _held(roles[name].inherits, roles, seen)


def _of_rights(role: Role) -> Iterator[tuple[str, str]]:
    for resource in sorted({where for where, _ in role.rights}):
        database = resource.removesuffix(".")
        if not database or "." in database or not resource.endswith("."):
            continue  # one collection, or the cluster
        actions = {action for where, action in role.rights if where == resource}
        if actions >= READ | WRITE:
            yield database, "readwrite"
        elif actions >= READ:
            yield database, "readonly"
