"""Databases and what is in them change hands. Nothing is dropped; what is half done, the next `up`
finishes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from msgspec import Struct
from psycopg.sql import SQL, Composable, Composed, Identifier, Literal

from mngdb.data import text
from mngdb.engines.postgres import client
from mngdb.engines.postgres.client import Session
from mngdb.errors import StepError
from mngdb.secret import SECOND, app_of


class Stays(Struct, frozen=True):
    """The rights that an app keeps in a database that it no longer owns. What an owner was granted
    goes to the next one with the object, so that this is granted in the transaction that takes it:
    the app is never without."""

    app: str
    table: str
    """Its privileges on each table, as GRANT takes them."""
    sequence: str
    connecting: Composed
    """Grants what lets it into the database."""
    entering: Composed
    """Grants, in there, what lets it into the schemas."""
    everything: tuple[Composed, ...]
    """Grant, in there, all of its rights."""


def from_role(
    database: str, before: str, owner: str, stays: Stays | None = None
) -> Callable[[Session], None]:
    """Everything that `before` owns in a database goes to `owner`. REASSIGN OWNED takes the role's
    other databases along: these are given back in the same transaction. A function that ran with
    the rights of `before` does not run with those of `owner`: it gets its caller's."""
    granted = stays.everything if stays else ()

    def run(session: Session) -> None:
        others = session.rows(
            "SELECT d.datname FROM pg_database d JOIN pg_roles o ON o.oid = d.datdba "
            "WHERE o.rolname = %s AND d.datname <> %s",
            before,
            database,
        )
        give_back = [owned_by(name, before) for (name,) in others]
        reassign = SQL("REASSIGN OWNED BY {} TO {}").format(Identifier(before), Identifier(owner))
        who = before.replace("'", "''")
        disarm = SQL("DO {}").format(Literal(_INVOKER.replace("{before}", who)))
        if owns(session, [before]).get(before, {}).get(database, 0) > _PORTION:
            _ahead(session, database, before, owner, stays)
        all_at_once = (disarm, reassign, *give_back, *granted)
        take(session, before, *all_at_once, database=database, ends=None)

    return run


def from_admin(database: str, owner: str) -> Callable[[Session], None]:
    """A database of the administrator and what the administrator made in it go to `owner`, the
    database last: what a crash leaves, the next `up` hands over."""

    def run(session: Session) -> None:
        statements = [_objects(owner), owned_by(database, owner)]
        if not session.superuser:  # it needs the new owner's rights on the database's schemas
            statements.reverse()
        with session.inside(database) as connection:
            for one in statements:  # each by itself: the first one commits
                client.execute(connection, one)

    return run


def _ahead(session: Session, database: str, before: str, owner: str, stays: Stays | None) -> None:
    """Hand over the schemas, tables and the like of a role that owns many: REASSIGN OWNED is one
    transaction, and would need more locks than the server has. It is left what this cannot get."""
    tables = _objects(owner, before, rank="<= 2", stays=stays)
    for _ in range(_TRIES):
        try:
            with session.inside(database, lock_timeout="300ms") as connection:
                client.execute(connection, tables)
        except client.WaitedError:
            end_sessions(session, before)
        except StepError:  # without a superuser's rights, REASSIGN OWNED may do more
            return
        else:
            return


def owned_by(database: str, owner: str) -> Composed:
    """ALTER DATABASE … OWNER TO."""
    return SQL("ALTER DATABASE {} OWNER TO {}").format(Identifier(database), Identifier(owner))


def drop_role(session: Session, name: str) -> None:
    """End a login, and drop its role unless it owns something: its functions, views and triggers
    would run with the rights of whoever got them. Then it stays, and may do nothing else."""
    shut(session, name)
    if owns(session, [name]):
        return
    role = Identifier(name)
    # the rights that it has, in whichever database
    privileges = SQL("DROP OWNED BY {}").format(role)
    databases = session.rows(
        "SELECT DISTINCT d.datname FROM pg_shdepend s JOIN pg_database d ON d.oid = s.dbid "
        "JOIN pg_roles r ON r.oid = s.refobjid "
        "WHERE s.refclassid = 'pg_authid'::regclass AND r.rolname = %s AND d.datallowconn",
        name,
    )
    for database in sorted({database for (database,) in databases} - {session.main.info.dbname}):
        with session.inside(database) as connection:
            client.execute(connection, privileges)
    session.execute(privileges, SQL("DROP ROLE {}").format(role))


def owns(session: Session, names: list[str]) -> dict[str, dict[str, int]]:
    """Role to database ('' for what is the whole server's) to the number of objects that it owns.
    Default privileges and user mappings are no data: they go with the role."""
    found: dict[str, dict[str, int]] = {}
    for name, database, count in session.rows(_OWNS, names) if names else ():
        found.setdefault(name, {})[database] = count
    return found


def shut(session: Session, name: str) -> None:
    """End a login: no password, no login, no session left."""
    take(session, name, SQL("ALTER ROLE {} NOLOGIN PASSWORD NULL").format(Identifier(name)))


def take(
    session: Session,
    role: str,
    *statements: Composed,
    database: str | None = None,
    ends: str | None = "",
) -> None:
    """Take something from a role whatever its sessions hold: one that changed its own role in an
    open transaction would keep us waiting and work on. They end where they are in the way. Once it
    is taken, those in the database `ends` end ('' for any, None for none: rights on what is in a
    database are looked at with each statement). `database` is where the statements are run. Raises
    StepError."""
    _insist(session, role, statements, database, every=True)
    if ends is not None:
        end_sessions(session, role, ends)


def change(session: Session, role: str, *statements: Composed) -> None:
    """Change a login of an app whatever its sessions hold: one that changed a role of its own in an
    open transaction ends, those of others are waited for. Raises StepError."""
    _insist(session, role, statements)


def _insist(
    session: Session,
    role: str,
    statements: Sequence[Composed],
    database: str | None = None,
    *,
    every: bool = False,
) -> None:
    """Run statements although sessions of a role's app wait with locks on it, or change it all the
    time. `every`: all of the role's sessions end where it has to be waited for. Raises
    StepError."""
    first = [SQL(_SOON).format()]
    for _ in range(_TRIES):
        try:
            with _at(session, database) as connection:
                client.execute(connection, *first, *statements)
        except client.WaitedError:
            _end(session, _both(role), SQL(_HOLDS))
            if database is None and session.superuser:
                first = [SQL(_SOON).format(), SQL(_ALONE).format()]
            if every:
                end_sessions(session, role)  # it may be back at once, until it is shut out
        else:
            return
    with _at(session, database) as connection:
        client.execute(connection, *statements)


def _both(role: str) -> list[str]:
    """The logins of a role's app: the second one's sessions are the first, and change it."""
    app = app_of(role)
    return [app, app + SECOND]


_OWNS = """
SELECT r.rolname, coalesce(d.datname, ''), count(*)
FROM pg_shdepend s JOIN pg_roles r ON r.oid = s.refobjid
     LEFT JOIN pg_database d ON d.oid
       = CASE WHEN s.classid = 'pg_database'::regclass THEN s.objid ELSE s.dbid END
WHERE s.refclassid = 'pg_authid'::regclass AND s.deptype = 'o' AND r.rolname = ANY(%s)
  AND s.classid NOT IN ('pg_default_acl'::regclass, 'pg_user_mapping'::regclass)
GROUP BY 1, 2 ORDER BY 1, 2
"""
#: Attempts that wait for a lock only briefly, and how long.
_TRIES = 5
_SOON = "SET LOCAL lock_timeout = '300ms'"
_SESSIONS = """
SELECT pg_terminate_backend(pid{patience}) FROM pg_stat_activity
WHERE usename = ANY({roles}) AND pid <> pg_backend_pid() AND {which}
"""
#: Nobody else changes roles until the end of the transaction; and who has, in one that is open.
_ALONE = "LOCK TABLE pg_authid, pg_auth_members, pg_db_role_setting IN SHARE ROW EXCLUSIVE MODE"
_HOLDS = """pid IN (SELECT pid FROM pg_locks WHERE granted AND mode = 'RowExclusiveLock' AND
relation IN ('pg_authid'::regclass, 'pg_auth_members'::regclass, 'pg_db_role_setting'::regclass))"""


def _at(session: Session, database: str | None) -> AbstractContextManager[Any]:
    return nullcontext(session.changing()) if database is None else session.inside(database)


def end_sessions(session: Session, role: str, database: str = "") -> None:
    """End what a login has open, in one database alone where it is given."""
    _end(session, [role], SQL("{} IN ('', datname)").format(Literal(database)))


def _end(session: Session, roles: list[str], which: Composable) -> None:
    """End sessions of these logins, those for which a condition holds."""
    # since 14 it waits until the session is gone
    patience = SQL(", 5000" if session.main.info.server_version >= 140000 else "")
    session.execute(SQL(_SESSIONS).format(patience=patience, roles=Literal(roles), which=which))


def own_rights(database: str, owner: str) -> Callable[[Session], None]:
    """An owner whose own rights on its tables and schemas were revoked has them again."""
    role = owner.replace("'", "''")
    again = SQL("DO {}").format(Literal(_OWN_RIGHTS.replace("{owner}", role)))

    def run(session: Session) -> None:
        with session.inside(database) as connection:
            client.execute(connection, again)

    return run


def _objects(
    owner: str, before: str | None = None, rank: str = "> 0", stays: Stays | None = None
) -> Composed:
    """The objects of `before`, by default the administrator, one by one: REASSIGN OWNED refuses for
    the first superuser and would take that one's other databases along for the rest. It commits
    after some, since each holds locks until then, and has to be sent by itself."""
    who = "current_user" if before is None else "'{}'".format(before.replace("'", "''"))
    text = _OBJECTS.replace("{owner}", owner.replace("'", "''")).replace("{before}", who)
    text = text.replace("{rank}", rank).replace("{portion}", str(_PORTION))
    text = text.replace("{app}", stays.app.replace("'", "''") if stays else "")
    text = text.replace("{table}", stays.table if stays else "")
    text = text.replace("{sequence}", stays.sequence if stays else "")
    return SQL("DO {}").format(Literal(text))


_OBJECTS = text(__file__, "handover.sql")
#: Objects that change hands in one transaction. A table has a lock, and so has each of its indexes;
#: there is room for 64 times max_connections, unless the server's settings say less.
_PORTION = 100
_INVOKER = """
DECLARE statement text;
BEGIN
  FOR statement IN
    SELECT format('ALTER ROUTINE %s SECURITY INVOKER', p.oid::regprocedure)
    FROM pg_proc p JOIN pg_roles r ON r.oid = p.proowner
    WHERE p.prosecdef AND r.rolname = '{before}'
  LOOP EXECUTE statement; END LOOP;
END
"""

_OWN_RIGHTS = """
DECLARE statement text;
BEGIN
  FOR statement IN
    WITH me AS (SELECT oid, rolname FROM pg_roles WHERE rolname = '{owner}')
    SELECT format('GRANT ALL ON SCHEMA %I TO %I', n.nspname, me.rolname)
    FROM pg_namespace n JOIN me ON me.oid = n.nspowner WHERE n.nspacl IS NOT NULL
    UNION ALL
    SELECT format('GRANT ALL ON TABLE %I.%I TO %I', n.nspname, c.relname, me.rolname)
    FROM pg_class c JOIN me ON me.oid = c.relowner JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND c.relacl IS NOT NULL
  LOOP EXECUTE statement; END LOOP;
END
"""
