"""Database users and custom roles: one of each per app, and mngdb's own administrator.

The role `mngdb-APP` inherits readWrite or read on the app's databases; with readWrite, it may also
change what it may make there, and drop it. Users carry the stack's mark as a label; roles cannot,
so the journal knows ours. Passwords are never told by Atlas: the journal knows, by a hash, which
one it was given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec import Struct

from mngdb.model import Action, Notice, about
from mngdb.secret import SECOND, Secret, app_of
from mngdb.spec.mongodb import MongodbGrant, role_name
from mngdb.targets.atlas.api import Json
from mngdb.targets.atlas.errors import AtlasError
from mngdb.targets.atlas.journal import Journal, intent
from mngdb.targets.atlas.session import (
    ADMIN,
    BESIDE,
    MARK,
    AtlasStep,
    Found,
    Make,
    Session,
    Wanted,
    marked,
    marks,
    take_over,
)

#: Where users live, and the kinds of the journal's notes.
_IN = "admin"
PASSWORD, ROLE = "password", "role"
#: Less than atlasAdmin. The first copies restored collections back and finds what a unique index
#: refuses, the second makes indexes and validates, the third sees sessions and statistics.
_ADMIN_ROLES = [
    {"roleName": name, "databaseName": _IN}
    for name in ("readWriteAnyDatabase", "dbAdminAnyDatabase", "clusterMonitor")
]
#: What an app that writes may do beyond readWrite. Atlas' custom roles have no indexStats.
_ACTIONS = ("COLL_MOD", "DROP_DATABASE", "VALIDATE")
_ABOUT = "made by mngdb for"


def inherited(right: MongodbGrant) -> str:
    """The built-in role that gives a right."""
    return "read" if right.access == "readonly" else "readWrite"


def rights(right: MongodbGrant) -> frozenset[tuple[str, str]]:
    """The built-in role and the actions of an app's role, each with its database."""
    actions = () if right.access == "readonly" else _ACTIONS
    return frozenset((one, name) for name in right.names for one in (inherited(right), *actions))


def has(role: Json) -> frozenset[tuple[str, str]]:
    """As `rights`, of a role that there is; an action on the server or on one collection is on no
    database, but on ''."""
    found = {(str(one["role"]), str(one["db"])) for one in role.get("inheritedRoles") or ()}
    for action in role.get("actions") or ():
        resources: list[Json] = action.get("resources") or [{}]
        for at in resources:
            whole = not at.get("cluster") and not at.get("collection")
            found.add((str(action["action"]), str(at.get("db") or "") if whole else ""))
    return frozenset(found)


def ours(wanted: Wanted, user: Json) -> bool:
    """Whether this stack made it."""
    return wanted.ours(marks(user.get("labels")).get(MARK))


def steps(wanted: Wanted, found: Found, journal: Journal, make: Make) -> Iterator[AtlasStep]:
    """What is gone first, then app by app its role and its login, then the administrator."""
    users = {str(one["username"]): one for one in found.users if one.get("databaseName") == _IN}
    roles = {str(one["roleName"]): one for one in found.roles}
    for name in departed(wanted, users):
        yield make("revoke", name, "the login of an app that left the file", _drop(name, roles))
    for app, right in wanted.asked.instance.granted(MongodbGrant).items():
        if app in wanted.asked.unusable:
            continue
        role = roles.get(role_name(app))
        theirs = role is not None and not _made(wanted, journal, app, right, role)
        opened = wanted.asked.logins(app)
        strange = [n for n in opened if n in users and not ours(wanted, users[n])]
        if strange and not wanted.allows(strange[0]):
            yield take_over(make, strange[0], "a database user")
            continue
        if theirs and not wanted.allows(role_name(app)) and not wanted.allows(app):
            yield take_over(make, role_name(app), "a custom role")
            continue
        yield from about(_role(app, right, role, make, taken=theirs), app, "role")
        for login, secret in opened.items():
            given = Login(login, secret, _says(right), [_role_of(app)])
            yield from about(_user(wanted, given, users.get(login), journal, make), app, "user")
        for login in {app, app + SECOND} & users.keys() - opened.keys():
            if ours(wanted, users[login]):
                yield make("revoke", login, "its password was rotated", _drop(login, {}))
    if administered(wanted, found):
        yield take_over(make, ADMIN, "a database user")
    else:
        secret = wanted.asked.secrets["admin"]
        given = Login(ADMIN, secret, "administrator", _ADMIN_ROLES)
        yield from _user(wanted, given, users.get(ADMIN), journal, make)


def administered(wanted: Wanted, found: Found) -> bool:
    """Whether the project has another's administrator, which the command does not take over."""
    theirs = (one for one in found.users if one.get("username") == ADMIN)
    return any(not ours(wanted, one) for one in theirs) and not wanted.allows(ADMIN)


def departed(wanted: Wanted, users: dict[str, Json]) -> list[str]:
    """Logins of ours whose app left the file."""
    known = {ADMIN, *wanted.asked.instance.grants}
    return [
        name
        for name, user in sorted(users.items())
        if app_of(name) not in known and ours(wanted, user) and here(wanted, user)
    ]


def notices(wanted: Wanted, found: Found) -> Iterator[Notice]:
    """Users that this stack did not make and that may come to this cluster."""
    names = {ADMIN, *wanted.asked.instance.grants}
    for user in found.users:
        name = str(user["username"])
        if app_of(name) in names or ours(wanted, user) or not here(wanted, user):
            continue
        roles = ", ".join(f"{r['roleName']}@{r['databaseName']}" for r in user.get("roles", ()))
        text = f"the database user {name} is not in the file ({roles or 'no roles'})"
        yield Notice(wanted.known, text, "make it an app, or delete it in Atlas")


def admit(session: Session) -> None:
    """Let this stack's logins into the clusters beside the live one, and into no others. Raises
    AtlasError."""
    wanted, names = session.wanted, _clusters(session.wanted, session.journal)
    for user in session.api.every(*session.group("databaseUsers")):
        name, scopes = str(user["username"]), _scopes_of(user)
        if not ours(wanted, user) or wanted.cluster not in scopes or scopes == names:
            continue
        kept = {key: user[key] for key in ("databaseName", "username", "roles")}
        fields = {**kept, "groupId": session.project, "scopes": _as_scopes(names)}
        session.api.patch(fields, *session.group("databaseUsers", str(user["databaseName"]), name))


def _clusters(wanted: Wanted, journal: Journal) -> set[str]:
    """The cluster, and those of restored data beside it."""
    return {wanted.cluster} | {n for n, of in journal.of(BESIDE).items() if of == wanted.cluster}


def _scopes_of(user: Json) -> set[str]:
    return {str(one.get("name")) for one in user.get("scopes") or ()}


def _as_scopes(names: set[str]) -> list[Json]:
    return [{"name": one, "type": "CLUSTER"} for one in sorted(names)]


def here(wanted: Wanted, user: Json) -> bool:
    """Whether a user may come to this cluster: it has no scopes, or one of this name."""
    scopes = _scopes_of(user)
    return not scopes or wanted.cluster in scopes


def _says(right: MongodbGrant) -> str:
    what = "read" if right.access == "readonly" else "read and write"
    return f"login, {what} on {', '.join(right.names)}"


def _role_of(app: str) -> Json:
    return {"roleName": role_name(app), "databaseName": _IN}


def _role(
    app: str, right: MongodbGrant, role: Json | None, make: Make, *, taken: bool
) -> Iterator[AtlasStep]:
    """`taken`: it is there, and the command takes it over."""
    name, path = role_name(app), ("customDBRoles", "roles")
    wanted, kind = rights(right), inherited(right)
    text = f"{kind} on {', '.join(right.names)}"
    where = [{"cluster": False, "db": one, "collection": ""} for one in right.names]
    actions = sorted({one for one, _ in wanted} - {kind})
    fields = {
        "actions": [{"action": one, "resources": where} for one in actions],
        "inheritedRoles": [{"role": kind, "db": one} for one in right.names],
    }

    def create(session: Session) -> None:
        note = _noted(session.wanted, name)
        with session.journal.making(ROLE, note, intent()):
            session.api.post({"roleName": name, **fields}, *session.group(*path))
        session.journal.write(ROLE, note, name)

    def change(session: Session) -> None:
        session.api.patch(fields, *session.group(*path, name))
        keep(session)

    def keep(session: Session) -> None:
        session.journal.write(ROLE, _noted(session.wanted, name), name)

    if role is None:
        yield make("create", f"role {name}", text, create)
        return
    found = has(role)
    if found != wanted:
        action: Action = "revoke" if found - wanted else "grant"
        yield make(action, f"role {name}", f"{text} only", change)
    elif taken:
        yield make("change", f"role {name}", "mark as this stack's", keep)


def _made(wanted: Wanted, journal: Journal, app: str, right: MongodbGrant, role: Json) -> bool:
    """Whether this stack made a role. Of one that was being made when the command was killed only
    the intent is known: the same content is it."""
    note = _noted(wanted, role_name(app))
    if not journal.intended(ROLE, note):
        return journal.knows(ROLE, note)
    return has(role) == rights(right)


def settle(session: Session, found: Found) -> None:
    """Note that roles are this stack's which a killed command had made, and could not note."""
    wanted, journal = session.wanted, session.journal
    roles = {str(one["roleName"]): one for one in found.roles}
    for app, right in wanted.asked.instance.granted(MongodbGrant).items():
        name = role_name(app)
        note = _noted(wanted, name)
        role = roles.get(name) if journal.intended(ROLE, note) else None
        if role is not None and _made(wanted, journal, app, right, role):
            journal.write(ROLE, note, name)


class Login(Struct, frozen=True):
    """A database user as it should be: its name, password, what it is in words, its roles."""

    name: str
    secret: Secret
    text: str
    roles: list[Json]


def _user(
    wanted: Wanted, given: Login, user: Json | None, journal: Journal, make: Make
) -> Iterator[AtlasStep]:
    name, secret, text, roles = given.name, given.secret, given.text, given.roles
    clusters = _clusters(wanted, journal)

    def fields(session: Session, before: Json) -> Json:
        return {
            "databaseName": _IN,
            "username": name,
            "groupId": session.project,
            "roles": roles,
            "scopes": _as_scopes(clusters),
            "labels": marked(before.get("labels"), wanted.mark),
            "description": f"{_ABOUT} the stack {wanted.asked.stack}",
            "password": secret.reveal(),
        }

    def create(session: Session) -> None:
        session.api.post(fields(session, {}), *session.group("databaseUsers"))
        session.journal.sealed(PASSWORD, _noted(wanted, name), secret)

    def change(before: Json) -> Callable[[Session], None]:
        def run(session: Session) -> None:
            path = session.group("databaseUsers", _IN, name)
            session.api.patch(fields(session, before), *path)
            session.journal.sealed(PASSWORD, _noted(wanted, name), secret)

        return run

    if user is None:
        yield make("create", name, text, create)
        return
    reasons = []
    held = {(str(one["roleName"]), str(one["databaseName"])) for one in user.get("roles", ())}
    if held != {(str(one["roleName"]), str(one["databaseName"])) for one in roles}:
        reasons.append(f"{text} (has {', '.join(f'{r}@{d}' for r, d in sorted(held))})")
    if _scopes_of(user) != clusters:
        reasons.append(f"only on the cluster {' and '.join(sorted(clusters))}")
    if not journal.matches(PASSWORD, _noted(wanted, name), secret):
        reasons.append("the vault's password")
    if not ours(wanted, user):
        reasons.append("mark as this stack's")
    if user.get("deleteAfterDate"):
        # the schema knows no way to take an end back but to make the user anew
        yield make("change", name, "make it anew without an end", _renew(name, create))
    elif reasons:
        yield make("change", name, " and ".join(reasons), change(user))


def _noted(wanted: Wanted, name: str) -> str:
    """What the journal calls something of the project."""
    return f"{wanted.project}/{name}"


def _renew(name: str, create: Callable[[Session], None]) -> Callable[[Session], None]:
    def run(session: Session) -> None:
        session.api.delete(*session.group("databaseUsers", _IN, name))
        create(session)

    return run


def _drop(name: str, roles: dict[str, Json]) -> Callable[[Session], None]:
    """The user before its role, which it uses; a role that is not ours, or that another cluster's
    app uses, stays."""
    role = role_name(app_of(name))

    def run(session: Session) -> None:
        session.api.delete(*session.group("databaseUsers", _IN, name))
        session.journal.forget(PASSWORD, _noted(session.wanted, name))
        if role in roles and session.journal.knows(ROLE, _noted(session.wanted, role)):
            _drop_role(session, role)

    return run


def _drop_role(session: Session, role: str) -> bool:
    """False: it stays, since somebody uses it."""
    try:
        session.api.delete(*session.group("customDBRoles", "roles", role))
    except AtlasError as error:
        if error.status not in {400, 409}:
            raise
        return False
    session.journal.forget(ROLE, _noted(session.wanted, role))
    return True


def remove(session: Session, found: Found) -> Iterator[Notice]:
    """Delete this stack's users and roles; says what stays. Raises AtlasError."""
    wanted, journal = session.wanted, session.journal
    for user in found.users:
        if ours(wanted, user):
            path = (str(user["databaseName"]), str(user["username"]))
            session.api.delete(*session.group("databaseUsers", *path))
    grants = wanted.asked.instance.granted(MongodbGrant)
    known = {role_name(app): (app, right) for app, right in grants.items()}
    for role in found.roles:
        name = str(role["roleName"])
        note = _noted(wanted, name)
        of_file = name in known and _made(wanted, journal, *known[name], role)
        mine = of_file or (journal.knows(ROLE, note) and not journal.intended(ROLE, note))
        if mine and not _drop_role(session, name):
            text = f"the custom role {name} stays: a user that this stack did not create has it"
            yield Notice(wanted.known, text, "delete both in Atlas: Database Access")
