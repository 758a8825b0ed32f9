"""The logins of apps: made, mended, ended. Pure; the steps run later, on a session."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct
from psycopg import sql
from psycopg.sql import SQL, Identifier, Literal

from mngdb.engines import logins
from mngdb.engines.postgres import alike, handover, scram
from mngdb.engines.postgres.client import Session
from mngdb.engines.postgres.facts import Carried, Role
from mngdb.model import Action, DesiredInstance, Step
from mngdb.secret import SECOND, Secret, app_of
from mngdb.spec.postgres import PostgresGrant
from mngdb.words import many

MakeStep = Callable[[Action, str, str, Callable[[Session], None]], Step[Session]]
_ME = SQL("CURRENT_USER")
#: Settings of a role that the file has keys for.
TIMEOUTS = {
    "statement_timeout": "statement_timeout",
    "lock_timeout": "lock_timeout",
    "idle_in_transaction_session_timeout": "idle_in_transaction_timeout",
}


def login_of(asked: DesiredInstance, name: str, found: Role) -> logins.Login:
    """A role as the policy for logins sees it."""
    known = asked.login_secret(name) is not None and app_of(name) not in asked.unknown
    agrees = found.password is True and known
    return logins.Login(name, found.mark, found.login, agrees)


class Wanted(Struct, frozen=True):
    """A login of an app as it should be."""

    comment: str
    secret: Secret | None
    """None: it is closed, while the app's other login is open."""
    grant: PostgresGrant
    owner: str = ""
    """The role that each session of it becomes, which then owns what it makes; '': none."""
    owns: Secret | None = None
    """The secret of that role, where it is open."""
    exposed: bool = False
    """Whether another login is open, whose sessions are this role and may change its password."""
    like: tuple[Carried, ...] | None = None
    """Settings that a person gave that role; None: they are not ours to give."""

    @property
    def member_of(self) -> frozenset[str]:
        """The roles that it has to be a member of."""
        return frozenset({self.owner} if self.owner else ())

    @property
    def special(self) -> tuple[str, ...]:
        """The attributes that it has to have beyond LOGIN."""
        return ("CREATEDB",) if self.grant.create_databases else ()

    def settings(self) -> dict[str, str]:
        """The settings that its sessions begin with; '' for the server's default."""
        return settings(self.grant) | ({"role": self.owner} if self.owner else {})


def create(make: MakeStep, login: str, wanted: Wanted, superuser: bool) -> Step[Session]:
    """A new login with nothing but its secret, its limits and its mark."""
    name, secret = Identifier(login), wanted.secret
    opened = SQL("NOLOGIN").format()
    if secret is not None:
        opened = SQL("LOGIN PASSWORD {}").format(Literal(scram.verifier(secret)))
    statements = [
        SQL("CREATE ROLE {} CONNECTION LIMIT {} {}").format(
            name, Literal(wanted.grant.limit), SQL(" ").join([opened, *map(SQL, wanted.special)])
        ),
        SQL("COMMENT ON ROLE {} IS {}").format(name, Literal(wanted.comment)),
    ]
    if not superuser:
        # who may make roles is not yet one who may act for them
        statements.append(SQL("GRANT {} TO {}").format(name, _ME))
    statements += [_join(login, owner) for owner in wanted.member_of]
    statements += _set(login, {k: v for k, v in wanted.settings().items() if v})
    statements += [statement for _, statement in _alike(login, wanted, ())]
    text = "login with the secret of the app"
    if secret is None:
        text = f"owns what {login}{SECOND} makes; the login is disabled"
    elif wanted.owner:
        text = f"second login of {wanted.owner}"
    text += "; may create databases" if wanted.special else ""
    return make("create", f"role {login}", text, lambda s: s.execute(*statements))


def _join(login: str, owner: str) -> sql.Composed:
    return SQL("GRANT {} TO {}").format(Identifier(owner), Identifier(login))


def mend(make: MakeStep, login: str, wanted: Wanted, found: Role) -> Iterator[Step[Session]]:
    """What differs in a role that there is."""
    name, what, grant = Identifier(login), f"role {login}", wanted.grant
    alter = SQL("ALTER ROLE {} {}").format
    parts: list[tuple[str, sql.Composed]] = []
    if found.comment != wanted.comment:
        comment = SQL("COMMENT ON ROLE {} IS {}").format(name, Literal(wanted.comment))
        parts.append(("mark as this stack's", comment))
    if not found.within_reach:
        parts.append(("within the administrator's reach", SQL("GRANT {} TO {}").format(name, _ME)))
    if wanted.secret is not None:
        parts += _opened(login, wanted.secret, found)
    if found.connections != grant.limit:
        limit = SQL("CONNECTION LIMIT {}").format(Literal(grant.limit))
        text = f"connection limit {found.connections} → {grant.limit}"
        parts.append((text, alter(name, limit)))
    for word in wanted.special:
        if word not in found.special:
            parts.append(("may create databases", alter(name, SQL(word))))
    groups = dict(found.member_of)
    for group in sorted(wanted.member_of - groups.keys()):
        parts.append((f"member of {group}", _join(login, group)))
    settings = wanted.settings()
    drift = {k: v for k, v in settings.items() if found.settings.get(k) != (v or None)}
    if drift:
        text = ", ".join(f"{key} = {value or 'default'}" for key, value in drift.items())
        parts += [(text, statement) for statement in _set(login, drift)]
    parts += _alike(login, wanted, found.carried)
    taken = wanted.exposed and found.login and found.password is False
    if parts:
        statements = [statement for _, statement in parts]
        texts = ", ".join(dict.fromkeys(text for text, _ in parts))
        yield make("change", what, texts, lambda s: _change(s, login, statements, taken=taken))
    if wanted.secret is None and found.login:
        text = "its password was rotated; login disabled"
        yield make("revoke", what, text, lambda s: _close(s, login, wanted))
    extra = [(group, by) for group, by in found.member_of if group not in wanted.member_of]
    special = [word for word in found.special if word not in wanted.special]
    yield from excess(make, login, special, extra)


def _change(
    session: Session, login: str, statements: Sequence[sql.Composed], *, taken: bool
) -> None:
    """`taken`: somebody gave the login a password of their own, and what that let in ends."""
    if taken:
        handover.shut(session, login)
        statements = [*statements, SQL("ALTER ROLE {} LOGIN").format(Identifier(login))]
    handover.change(session, login, *statements)


def _close(session: Session, login: str, wanted: Wanted) -> None:
    """End a login. Until its last session was gone, that could change the password of the role that
    it is: who knew the old password would keep the new one from the app."""
    handover.shut(session, login)
    secret, owner = wanted.owns, wanted.owner
    if secret is None or (ours := _is(session, owner, secret)):
        return
    _change(session, owner, [password(owner, secret)], taken=ours is False)


def _is(session: Session, login: str, secret: Secret) -> bool | None:
    """Whether a login has this password; None: the server does not tell us."""
    if not session.superuser:
        return None
    rows = session.rows("SELECT rolpassword FROM pg_authid WHERE rolname = %s", login)
    return any(scram.matches(secret, stored) for (stored,) in rows)


def _alike(
    login: str, wanted: Wanted, found: Sequence[Carried]
) -> Iterator[tuple[str, sql.Composed]]:
    """What gives a second login the settings of the first, in words and as statements."""
    if wanted.like is not None:
        yield from alike.differing(login, wanted.like, found, wanted.settings())


def _opened(login: str, secret: Secret, found: Role) -> Iterator[tuple[str, sql.Composed]]:
    """What keeps a login from being open to its secret."""
    alter = SQL("ALTER ROLE {} {}").format
    name = Identifier(login)
    if not found.login:
        yield "may log in again", alter(name, SQL("LOGIN"))
    if found.expires:
        yield "does not expire", alter(name, SQL("VALID UNTIL 'infinity'"))
    if found.password is False:
        yield "set the secret", password(login, secret)


def excess(
    make: MakeStep, app: str, special: Sequence[str], member_of: Sequence[tuple[str, str]]
) -> Iterator[Step[Session]]:
    """Attributes and memberships that a role must not have."""
    name, what = Identifier(app), f"role {app}"
    if special:
        off = [SQL("NO" + word) for word in special]
        statement = SQL("ALTER ROLE {} {}").format(name, SQL(" ").join(off))
        yield make("revoke", what, ", ".join(special), lambda s: handover.take(s, app, statement))
    if member_of:
        leave = [
            SQL("REVOKE {} FROM {} GRANTED BY {} CASCADE").format(
                Identifier(group), name, Identifier(by)
            )
            for group, by in member_of
        ]
        groups = ", ".join(dict.fromkeys(group for group, _ in member_of))
        # a session that is somebody else by SET ROLE would stay so
        yield make(
            "revoke", what, f"membership of {groups}", lambda s: handover.take(s, app, *leave)
        )


def said_to_own(found: Role) -> str:
    """`5 objects in shop`; '' for a role that owns nothing."""
    places = [
        many(count, "object") + (f" in {database}" if database else "")
        for database, count in found.owns.items()
    ]
    more = f" and {len(places) - 3} more databases" if len(places) > 3 else ""
    return ", ".join(places[:3]) + more


def password(role: str, secret: Secret) -> sql.Composed:
    """The statement that gives a role its secret, as a verifier."""
    return SQL("ALTER ROLE {} PASSWORD {}").format(
        Identifier(role), Literal(scram.verifier(secret))
    )


def settings(grant: PostgresGrant) -> dict[str, str]:
    """Role settings in milliseconds; '' for the server's default."""
    times = {name: getattr(grant, key) for name, key in TIMEOUTS.items()}
    return {k: str(int(v.total_seconds() * 1000)) if v else "" for k, v in times.items()}


def _set(app: str, wanted: dict[str, str]) -> list[sql.Composed]:
    return [
        SQL("ALTER ROLE {} SET {} = {}").format(Identifier(app), Identifier(k), Literal(v))
        if v
        else SQL("ALTER ROLE {} RESET {}").format(Identifier(app), Identifier(k))
        for k, v in wanted.items()
    ]
