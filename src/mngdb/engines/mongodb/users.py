"""One role per app, and two logins by turns: what they should be, and the steps that make them so.

Logins live in the database admin, as on Atlas. Each carries the stack's name in its customData,
so a login whose app left the file is known as ours. Rights come from one role per app, named
`mngdb-APP`, with single actions on the app's own database.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import uuid
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from mngdb import secret
from mngdb.engines import logins
from mngdb.engines.mongodb import levels
from mngdb.engines.mongodb.access import ADMIN, USERS_IN, secret_of
from mngdb.engines.mongodb.facts import CLOSED, MARK, Facts, Right, Role, Scram, User
from mngdb.errors import SecretError, StepError
from mngdb.model import Action, DesiredInstance, Notice, Step, about
from mngdb.spec.agent import MONITOR
from mngdb.spec.mongodb import MongodbGrant, role_name

if TYPE_CHECKING:
    from mngdb.engines.mongodb.client import Session

#: What apps may that read: also how often an index was used.
READ = levels.READ | {"indexStats"}
#: What apps may beyond that which write: also change and validate what they may make, and drop it
#: all, as migration tools and tests do.
WRITE = levels.WRITE | {"collMod", "dropDatabase", "validate"}
#: What the custom roles of a provider do not have.
UNHOSTED = frozenset({"indexStats"})
_MECHANISMS = frozenset({"SCRAM-SHA-256"})
#: What metrics are made of: the server's own statistics, and the ends of the oplog.
_MONITOR = frozenset({(USERS_IN, "clusterMonitor"), ("local", "read")})
#: A role is written before the login that needs it; the login's majority write covers both.
_QUICK = {"w": 1}
#: Unauthorized, CommandNotFound, AtlasError: a provider's own administrator.
_MAY_NOT = frozenset({13, 59, 8000})

Make = Callable[[Action, str, str, Callable[["Session"], None], bool], "Step[Session]"]


def ids(asked: DesiredInstance) -> frozenset[str]:
    """What the server calls the file's logins and their roles, and the administrator."""
    apps = asked.instance.grants
    names = {ADMIN, MONITOR, *apps, *(app + secret.SECOND for app in apps)}
    return frozenset(f"{USERS_IN}.{one}" for name in names for one in (name, role_name(name)))


def rights(grant: MongodbGrant) -> frozenset[Right]:
    """Every right that the file gives an app."""
    actions = READ if grant.access == "readonly" else READ | WRITE
    return frozenset((f"{name}.", action) for name in grant.names for action in actions)


def says(grant: MongodbGrant) -> str:
    """The grant in words."""
    what = "read" if grant.access == "readonly" else "read and write"
    return f"{what} on {', '.join(grant.names)}"


def steps(asked: DesiredInstance, facts: Facts, make: Make) -> Iterator[Step[Session]]:
    """Logins and rights: what is gone first, then what is there, app by app; last the logins that
    gave way to another of the same app."""
    for user in departed(asked, facts):
        yield from _leave(asked, facts, user, make)
    for name in _named(asked):
        found = facts.users.get(name)
        login = login_of(asked, facts, found) if found else None
        if login and logins.needs_consent(asked, login):
            yield logins.take_over(asked, login)
            if found and name in asked.instance.grants and asked.instance.adopt:
                yield from about(_widened(asked, facts, found, make), name)
        elif name == MONITOR:
            yield from _monitor(asked, found, make)
        else:
            yield from about(_app(asked, facts, name, make), secret.app_of(name))
    for user in resting(asked, facts):
        if user.roles or not user.closed:
            text = "its password was rotated; login disabled"
            yield from about(
                [make("revoke", user.name, text, _close(asked, user), False)],
                secret.app_of(user.name),
            )


def notices(asked: DesiredInstance, facts: Facts) -> Iterator[Notice]:
    """Closed logins that are still there, and adopted ones of another password."""
    for app in asked.instance.grants if asked.instance.adopt else ():
        there = facts.users.get(app)
        theirs = there and there.mark is None and there.scram and app not in asked.unknown
        if there and theirs and not knows(there, asked.secrets.get(app)):
            yield logins.other_password(asked, app)
    for user in departed(asked, facts):
        login = login_of(asked, facts, user)
        if logins.unwanted(asked, login) != "drop":
            yield logins.closed(asked, login)
    yield from logins.namesakes(
        asked, (login_of(asked, facts, one) for one in facts.users.values())
    )


def departed(asked: DesiredInstance, facts: Facts) -> list[User]:
    """Logins of ours whose app left the file."""
    others = (facts.users[name] for name in sorted(facts.users.keys() - set(_named(asked))))
    return [
        user
        for user in others
        if secret.app_of(user.name) not in asked.instance.grants and _ours(asked, facts, user)
    ]


def _ours(asked: DesiredInstance, facts: Facts, user: User) -> bool:
    fate = logins.unwanted(asked, login_of(asked, facts, user))
    return fate in {"drop", "close", "closed"}


def resting(asked: DesiredInstance, facts: Facts) -> list[User]:
    """Logins of ours that are not the ones by which their apps come now."""
    both = (name for app in asked.instance.grants for name in (app, app + secret.SECOND))
    named = {*_named(asked)}
    found = [facts.users[name] for name in both if name not in named and name in facts.users]
    return [user for user in found if _ours(asked, facts, user)]


def login_of(asked: DesiredInstance, facts: Facts, user: User) -> logins.Login:
    """A user as the policy for logins sees it."""
    usable = bool(user.roles or role_name(user.name) in facts.roles or not user.closed)
    return logins.Login(user.name, user.mark, usable, _agrees(asked, user))


def _agrees(asked: DesiredInstance, user: User) -> bool:
    return knows(user, asked.login_secret(user.name))


def _mark(asked: DesiredInstance, user: User) -> str:
    login = logins.Login(user.name, user.mark, agrees=_agrees(asked, user))
    return logins.mark(asked, login)


def _named(asked: DesiredInstance) -> list[str]:
    """The logins that the file asks for, without the apps' while it is closed."""
    grants = () if asked.instance.closed else asked.instance.grants
    apps = (name for app in grants for name in asked.logins(app))
    return [*([MONITOR] if asked.instance.monitored else []), *apps]


def _monitor(asked: DesiredInstance, user: User | None, make: Make) -> Iterator[Step[Session]]:
    """The login that metrics are read by."""
    detail = "login, read metrics"
    roles = [{"db": database, "role": name} for database, name in sorted(_MONITOR)]

    def create(session: Session) -> None:
        session.command(
            "createUser",
            MONITOR,
            pwd=secret_of(asked, MONITOR).reveal(),
            roles=roles,
            mechanisms=sorted(_MECHANISMS),
            customData={MARK: asked.mark},
        )

    def give(session: Session) -> None:
        session.command("updateUser", MONITOR, roles=roles)

    if user is None:
        yield make("create", MONITOR, detail, create, False)
        return
    if user.roles != _MONITOR:
        yield make("change", MONITOR, detail, give, False)
    reasons = list(_outdated(asked, user))
    if reasons:
        yield make("change", MONITOR, " and ".join(reasons), _update(asked, user), False)


def _leave(asked: DesiredInstance, facts: Facts, user: User, make: Make) -> Iterator[Step[Session]]:
    role = role_name(user.name)
    has_role = role in facts.roles

    def drop(session: Session) -> None:
        if has_role:
            session.command("dropRole", role)
        _end(session, user.name)  # while it still has a name
        session.command("dropUser", user.name)

    fate = logins.unwanted(asked, login_of(asked, facts, user))
    if fate == "drop":
        yield make("drop", user.name, "the login of an app that left the file", drop, True)
    if fate == "close":
        run = _close(asked, user, role if has_role else "")
        yield make("revoke", user.name, "every right; its login is disabled", run, False)


def _close(asked: DesiredInstance, user: User, role: str = "") -> Callable[[Session], None]:
    """End a login, and the role that was its own where it is given."""

    def run(session: Session) -> None:
        session.command(
            "updateUser",
            user.name,
            pwd=secret.generate().reveal(),  # known to nobody
            mechanisms=sorted(_MECHANISMS),
            roles=[],
            customData={**user.custom, MARK: asked.mark, CLOSED: True},
        )
        if role:
            session.command("dropRole", role)
        _end(session, user.name)

    return run


def _create(
    asked: DesiredInstance, login: str, grant: MongodbGrant, role: Role | None
) -> Callable[[Session], None]:
    app = secret.app_of(login)

    def run(session: Session) -> None:
        if role is None or role.inherits or role.rights != rights(grant):
            _write_role(session, app, rights(grant), role is not None)
        session.command(
            "createUser",
            login,
            pwd=_password(asked, login),
            roles=[role_name(app)],
            mechanisms=sorted(_MECHANISMS),
            customData={MARK: asked.mark},
        )

    return run


def _app(asked: DesiredInstance, facts: Facts, login: str, make: Make) -> Iterator[Step[Session]]:
    """A login of an app."""
    app = secret.app_of(login)
    grant = asked.instance.granted(MongodbGrant)[app]
    user, role = facts.users.get(login), facts.roles.get(role_name(app))
    if user is None:
        detail = f"login, {says(grant)}"
        yield make("create", login, detail, _create(asked, login, grant, role), False)
    else:
        yield from _converge(asked, user, role, grant, make)


def _converge(
    asked: DesiredInstance, user: User, role: Role | None, grant: MongodbGrant, make: Make
) -> Iterator[Step[Session]]:
    login, app, wanted = user.name, secret.app_of(user.name), rights(grant)
    has = role.rights if role else frozenset()
    mine = (USERS_IN, role_name(app))

    def narrow(session: Session) -> None:
        _write_role(session, app, has & wanted, exists=True)
        _end(session, login)

    def revoke_roles(session: Session) -> None:
        roles = [{"db": db, "role": name} for db, name in sorted(user.roles - {mine})]
        session.command("revokeRolesFromUser", login, roles=roles)
        _end(session, login)

    if user.roles - {mine}:
        names = ", ".join(f"{name}@{db}" for db, name in sorted(user.roles - {mine}))
        yield make("revoke", login, f"the role {names}", revoke_roles, False)
    if role and (has - wanted or role.inherits):
        yield make("revoke", login, _words(has - wanted, role), narrow, False)
    if wanted - has or mine not in user.roles:

        def give(session: Session) -> None:
            _write_role(session, app, wanted, role is not None)
            session.command("grantRolesToUser", login, roles=[role_name(app)])

        yield make("grant", login, says(grant), give, False)
    reasons = list(_outdated(asked, user))
    if reasons:
        yield make("change", login, " and ".join(reasons), _update(asked, user), False)


def _widened(
    asked: DesiredInstance, facts: Facts, user: User, make: Make
) -> Iterator[Step[Session]]:
    """An adopted login gets the rights that it lacks, by a role of its own, and keeps what it
    has."""
    grant = asked.instance.granted(MongodbGrant)[user.name]
    role = facts.roles.get(role_name(user.name))
    if levels.enough(user, facts.roles, grant):
        return

    def give(session: Session) -> None:
        _write_role(session, user.name, rights(grant), role is not None)
        session.command("grantRolesToUser", user.name, roles=[role_name(user.name)])

    yield logins.mended(make("grant", user.name, says(grant), give, False))


def _end(session: Session, name: str) -> None:
    """What a login has under way (cursors, transactions, operations) ends. Each command that comes
    later is judged by the rights of then, so an administrator who may not do this needs not."""
    from mngdb.engines.mongodb.client import Refused

    try:
        session.command("killAllSessions", [{"user": name, "db": USERS_IN}])
    except Refused as error:
        if error.code not in _MAY_NOT:
            raise


def _words(extra: frozenset[Right], role: Role) -> str:
    """What goes, by resource: in the file's words where they fit, else action by action."""
    parts = [f"the role {name}@{db}" for db, name in sorted(role.inherits)]
    for resource in sorted({resource for resource, _ in extra}):
        actions = sorted(action for where, action in extra if where == resource)
        known = {READ | WRITE: "read and write", READ: "read", WRITE: "write"}
        words = known.get(frozenset(actions), ", ".join(actions))
        parts.append(f"{words} on {resource.removesuffix('.')}")
    return "; ".join(parts)


def _write_role(session: Session, app: str, allowed: frozenset[Right], exists: bool) -> None:
    databases = sorted({resource.removesuffix(".") for resource, _ in allowed})
    session.command(
        "updateRole" if exists else "createRole",
        role_name(app),
        privileges=[
            {
                "resource": {"db": database, "collection": ""},
                "actions": sorted(a for where, a in allowed if where == f"{database}."),
            }
            for database in databases
        ],
        roles=[],
        writeConcern=_QUICK if not exists else {"w": "majority"},
    )


def _outdated(asked: DesiredInstance, user: User) -> Iterator[str]:
    if not _agrees(asked, user):
        yield "a new secret"
    if user.mechanisms != _MECHANISMS:
        yield "SCRAM-SHA-256 only"
    if user.mark != _mark(asked, user):
        yield "mark as this stack's"
    elif user.closed:
        yield "enable the login"


def _update(asked: DesiredInstance, user: User) -> Callable[[Session], None]:
    def run(session: Session) -> None:
        custom = {key: value for key, value in user.custom.items() if key != CLOSED}
        session.command(
            "updateUser",
            user.name,
            pwd=_password(asked, user.name),
            mechanisms=sorted(_MECHANISMS),
            customData={**custom, MARK: _mark(asked, user)},
        )

    return run


def change_password(session: Session, new: secret.Secret) -> None:
    """Give the login of the session another password. Raises StepError."""
    from mngdb.engines.mongodb.client import Refused

    access = session.access
    where = access.options.get("authSource", USERS_IN)
    try:
        (found,) = session.command("usersInfo", access.user, on=where)["users"]
        session.command(
            "updateUser",
            access.user,
            on=where,
            pwd=new.reveal(),
            mechanisms=found["mechanisms"],  # without, it would have every one
        )
    except Refused as error:
        raise StepError(f"the password of {access.user} was not changed: {error.message}") from None


def hang_up(session: Session, login: str) -> None:
    """Log out every connection of a login, our own as well: it becomes another user with the same
    name, password and rights, and the server goes by a user's id. Raises StepError."""
    from bson import Binary

    from mngdb.engines.mongodb.client import Refused

    access = session.access
    where = access.options.get("authSource", USERS_IN) if login == access.user else USERS_IN
    change = {"$set": {"userId": Binary.from_uuid(uuid.uuid4())}}
    update = {"q": {"_id": f"{where}.{login}"}, "u": change}
    try:
        _end(session, login)
        session.command("update", "system.users", updates=[update])
    except Refused as error:
        raise StepError(f"the sessions of {login} were not ended: {error.message}") from None


def _password(asked: DesiredInstance, login: str) -> str:
    """The secret of the monitor, or that an app's login is open to."""
    if login == MONITOR:
        return secret_of(asked, login).reveal()
    return asked.logins(secret.app_of(login))[login].reveal()


def knows(user: User, wanted: secret.Secret | None) -> bool:
    """Whether the login's verifier is that of `wanted`. Nothing is sent, nobody logs in."""
    if user.scram is None or wanted is None:
        return False
    return hmac.compare_digest(_stored_key(wanted, user.scram), user.scram.stored_key)


@lru_cache(maxsize=4096)  # `up` judges the same logins twice, and each costs about 4 ms
def _stored_key(password: secret.Secret, scram: Scram) -> str:
    """RFC 5802, section 3: H(HMAC(SaltedPassword, "Client Key"))."""
    from pymongo.saslprep import saslprep

    try:
        prepared = str(saslprep(password.reveal())).encode()
    except ValueError as error:
        raise SecretError(f"a secret has a character that SCRAM does not allow: {error}") from None
    salt = base64.b64decode(scram.salt)
    salted = hashlib.pbkdf2_hmac("sha256", prepared, salt, scram.iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    return base64.b64encode(hashlib.sha256(client_key).digest()).decode()
