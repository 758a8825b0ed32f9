"""A server that others made, as the file can say it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from mngdb.engines.mongodb import indexes, levels, look
from mngdb.engines.mongodb.access import USERS_IN
from mngdb.engines.mongodb.client import Refused, Session
from mngdb.engines.mongodb.facts import FoundIndex, Role, User, role_of, user_of
from mngdb.errors import ConnectError
from mngdb.facts.found import FoundApp, FoundServer, made_by
from mngdb.spec.mongodb import Index

_SYSTEM = frozenset({"admin", "local", "config"})
#: Collections of a database that are looked into: more are told as a number.
_MOST = 500


def found(session: Session, seen: Callable[[int, int], None]) -> FoundServer:
    """Users, roles and indexes. What the login may not ask is a note. Raises ConnectError, also
    where nobody logged in and the server wants a login."""
    _require_login(session)
    notes: list[str] = []
    keys: dict[str, Any] = {"version": _version(session)}
    apps: list[FoundApp] = []
    users, roles = _users(session, notes), _roles(session, notes)
    for database, user in users:
        if database == USERS_IN and user.name != session.access.user:
            apps.append(_app(user, roles))
        elif database != USERS_IN:
            notes.append(
                f"login {user.name} of the database {database} ({_listed(user)}): the file has "
                f"logins of the database {USERS_IN} only; it stays as it is"
            )
    databases = _databases(session, notes, seen)
    if databases:
        keys["databases"] = databases
    marks = frozenset(user.mark for _, user in users if user.mark)
    return FoundServer(tuple(apps), keys, tuple(notes), marks)


def _require_login(session: Session) -> None:
    """Raises ConnectError."""
    if session.access.user:
        return
    try:
        session.command("listDatabases", nameOnly=True)
    except Refused:
        access = session.access
        raise ConnectError(
            f"MongoDB at {access.host}:{access.port} requires a login and the URL names no user",
            "mongodb://USER@HOST",
            "auth",
        ) from None


def _version(session: Session) -> str:
    version = str(session.command("buildInfo")["version"])
    return ".".join(version.split(".")[:2])


def _users(session: Session, notes: list[str]) -> list[tuple[str, User]]:
    refused = ""
    for everywhere in (True, False):
        where: object = {"forAllDBs": True} if everywhere else 1
        try:
            users = session.command("usersInfo", where)["users"]
        except Refused as error:
            refused = refused or error.message
            continue
        if refused:
            notes.append(f"logins of other databases than {USERS_IN} could not be seen: {refused}")
        return [(str(one["db"]), user_of(one)) for one in users]
    notes.append(
        f"the logins could not be seen: {refused}; give {session.access.user} the role "
        "userAdminAnyDatabase, and run it again"
    )
    return []


def _roles(session: Session, notes: list[str]) -> dict[str, Role]:
    try:
        found = session.command("rolesInfo", showPrivileges=True)["roles"]
    except Refused as error:
        notes.append(f"roles that are not built in could not be seen: {error.message}")
        return {}
    return {role.name: role for role in map(role_of, found)}


def _app(user: User, roles: Mapping[str, Role]) -> FoundApp:
    if user.mark:
        return FoundApp(user.name, None, (made_by(user.mark),))
    names = {name for database, name in user.roles if database == USERS_IN}
    if powers := names & levels.POWERS:
        why = f"an administrator ({', '.join(sorted(powers))}); an app is never one"
        return FoundApp(user.name, None, (why,))
    held = levels.held(user, roles)
    if not held:
        return FoundApp(user.name, None, (f"the file has no word for {_listed(user)}",))
    # the database of its own name, then one that it may write to
    database, access = min(
        held.items(), key=lambda one: (one[0] != user.name, one[1] != "readwrite", one[0])
    )
    same = sorted(one for one in held if held[one] == access and one != database)
    right: dict[str, Any] = {"databases": [database, *same]} if same else {"database": database}
    right |= {"access": access} if access == "readonly" else {}
    notes = [f"roles: {_listed(user)}"]
    others = sorted(held.keys() - {database, *same})
    if others:
        notes.append(f"also {', '.join(f'{held[one]} on {one}' for one in others)}, which stays")
    if user.mechanisms and "SCRAM-SHA-256" not in user.mechanisms:
        notes.append("mend: it logs in by SCRAM-SHA-1, not SCRAM-SHA-256")
    return FoundApp(user.name, right, tuple(notes))


def _listed(user: User) -> str:
    return ", ".join(f"{name}@{database}" for database, name in sorted(user.roles)) or "no role"


def _databases(
    session: Session, notes: list[str], seen: Callable[[int, int], None]
) -> dict[str, Any]:
    try:
        listed = session.command("listDatabases", nameOnly=True)["databases"]
    except Refused as error:
        notes.append(f"the databases could not be seen: {error.message}")
        return {}
    found: dict[str, Any] = {}
    names = sorted({str(one["name"]) for one in listed} - _SYSTEM)
    for number, name in enumerate(names):
        seen(number, len(names))
        try:
            there = dict(_indexes(session, name, notes))
        except Refused as error:
            notes.append(f"the indexes of {name} could not be seen: {error.message}")
            continue
        if there:
            found[name] = {"indexes": there}
    return found


def _indexes(
    session: Session, database: str, notes: list[str]
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    names = [
        name
        for name, about in sorted(session.collections(database).items())
        if about["type"] == "collection" and not name.startswith("system.")
    ]
    if len(names) > _MOST:
        notes.append(f"{database} has {len(names)} collections: the indexes of {_MOST} are here")
    for collection in names[:_MOST]:
        documents = look.indexes(session.command, database, collection)
        kept = []
        for one in documents:
            if one.name == "_id_":
                continue
            index = _index(one)
            if index is None:
                notes.append(
                    f"index {database}.{collection}.{one.name}: the file has no words for its "
                    "options; it stays as it is"
                )
            else:
                kept.append(index)
        if kept:
            yield collection, kept


def _index(one: FoundIndex) -> dict[str, Any] | None:
    """As the file takes it; None: it has no words for it."""
    document = one.document
    if not _writable(document.get("partialFilterExpression")):
        return None
    keys = {field: way for part in indexes.keys_of(one) for field, way in _plain(part).items()}
    found: dict[str, Any] = {"keys": keys}
    found |= {key: True for key in ("unique", "sparse") if document.get(key)}
    if "expireAfterSeconds" in document:
        found["ttl"] = f"{int(document['expireAfterSeconds'])}s"
    if "partialFilterExpression" in document:
        found["partial"] = document["partialFilterExpression"]
    try:
        index = Index.model_validate(found)
        if index.label != one.name:
            index = Index.model_validate(found := {**found, "name": one.name})
    except ValidationError:
        return None
    same = indexes.keys_wanted(index) == indexes.keys_of(one)
    return found if same and not indexes.differences(index, one) else None


def _writable(value: Any) -> bool:
    """Whether YAML has a word for a value."""
    if isinstance(value, Mapping):
        return all(map(_writable, value.values()))
    if isinstance(value, list):
        return all(map(_writable, value))
    return value is None or isinstance(value, str | bool | int | float)


def _plain(part: tuple[str, Any]) -> dict[str, Any]:
    field, way = part
    return dict.fromkeys(way, "text") if isinstance(way, tuple) else {field: way}
