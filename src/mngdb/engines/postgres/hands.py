"""As whom a part is brought back into the live server.

Whoever owns something in a database has code in it that runs while the part is made: the constraint
of a table, a domain, a generated column, an index over an expression, a materialized view. In a
superuser's session that code is the superuser; SET ROLE helps nothing, for code can reset it. So
the work is done by a login of this one restore that is no superuser, and a member of the owners.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress

from msgspec import Struct
from psycopg.sql import SQL, Composed, Identifier, Literal

from mngdb import stopping
from mngdb.engines.postgres import scram
from mngdb.engines.postgres.client import Connection, Session, execute, rows
from mngdb.engines.postgres.render import RESTORER
from mngdb.errors import MngdbError, StepError
from mngdb.secret import Secret

_ME = Identifier(RESTORER)
#: Seconds until a killed command's session has gone: longer than the server takes to see it.
_GONE, _PAUSE = 15.0, 0.2
_BUSY = "SELECT count(*) FROM pg_stat_activity WHERE usename = %s"
_THERE = "SELECT oid::int8 FROM pg_roles WHERE rolname = %s"
_PLACES = """
SELECT DISTINCT datname FROM pg_shdepend s JOIN pg_database d ON d.oid = dbid
WHERE refclassid = 'pg_authid'::regclass AND refobjid::int8 = %s
"""
_SPACES = "SELECT spcname::text FROM pg_tablespace WHERE spcname !~ '^pg_'"
_SOON = "SELECT (now() + '10 min')::text"
_OWNERS = """
SELECT r.rolname::text FROM pg_shdepend s JOIN pg_roles r ON r.oid = refobjid
WHERE refclassid = 'pg_authid'::regclass AND deptype = 'o'
  AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
UNION
SELECT r.rolname::text FROM pg_database JOIN pg_roles r ON r.oid = datdba
WHERE datname = current_database()
"""
_OWNER = """
SELECT rolname::text FROM pg_database JOIN pg_roles r ON r.oid = datdba WHERE datname = %s
"""
_ABOVE = """
SELECT rolname::text FROM pg_roles
WHERE rolname = ANY(%s) AND (rolsuper OR rolname IN (current_user, 'pg_database_owner'))
"""
#: Roles that give those who are members of them no more than what they own.
_PLAIN = """
SELECT r.rolname::text FROM pg_roles r WHERE r.rolname = ANY(%s) AND NOT EXISTS (
  SELECT FROM pg_roles p WHERE pg_has_role(r.oid, p.oid, 'MEMBER')
    AND (p.rolsuper OR p.rolcreaterole OR p.rolreplication OR p.rolbypassrls
      OR p.rolname = current_user OR (p.rolname ^@ 'pg_' AND p.rolname <> 'pg_database_owner')))
"""


class Owners(Struct, frozen=True):
    """Of those who own something: who is plain in the server, and whether anybody is among them
    besides superusers and ourselves."""

    plain: frozenset[str]
    others: bool


def owners(target: Session, every: Collection[str]) -> Owners:
    """What these roles are in a server. Raises StepError where one is not there,
    UnobservableError."""
    missing = sorted({*every} - {*roles(target)})
    if missing:
        raise StepError(
            f"the server has no role {', '.join(missing)}, which owns some of it",
            "create it (it may be NOLOGIN), then run the same command again; or restore beside, "
            "without naming a part",
        )
    above = set(target.names(_ABOVE, list(every)))
    return Owners(frozenset(target.names(_PLAIN, list(every))) - above, bool({*every} - above))


def roles(session: Session) -> list[str]:
    """All roles. Raises UnobservableError."""
    return session.names("SELECT rolname::text FROM pg_roles")


def owning(connection: Connection) -> set[str]:
    """Who owns something in a database, or all of it. Raises UnobservableError."""
    return {name for (name,) in rows(connection, _OWNERS)}


def owner(session: Session, database: str) -> str:
    """Who owns a database. Raises UnobservableError."""
    ((found,),) = session.rows(_OWNER, database)
    return str(found)


@contextmanager
def restorer(target: Session, members: Sequence[str]) -> Iterator[Session]:
    """In the block there is a login that is a member of these roles, and no more than that; the
    session's `inside` enters databases as it. Raises StepError, ConnectError."""
    tidy(target)
    secret = Secret(secrets.token_urlsafe(30))
    ((soon,),) = target.rows(_SOON)
    create = SQL(
        "CREATE ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS "
        "PASSWORD {} VALID UNTIL {}"
    ).format(_ME, Literal(scram.verifier(secret)), Literal(soon))
    grants = [SQL("GRANT {} TO {}").format(Identifier(one), _ME) for one in members]
    spaces = [
        SQL("GRANT CREATE ON TABLESPACE {} TO {}").format(Identifier(one), _ME)
        for one in target.names(_SPACES)
    ]
    # who is no superuser gives things to it, and takes them away, as a member alone
    above = target.superuser
    ours = [] if above else [SQL("GRANT {} TO CURRENT_USER").format(_ME)]
    target.execute(create, *grants, *spaces, *ours)
    try:
        yield target.like(RESTORER, secret)
    except BaseException:
        with suppress(MngdbError):  # the next command removes it
            tidy(target)
        raise
    tidy(target)


def tidy(target: Session) -> None:
    """Remove the login and what it still owns. Raises StepError where it is at work."""
    found = target.rows(_THERE, RESTORER)
    if not found:
        return
    alone(target)
    drop: Composed = SQL("DROP OWNED BY {} CASCADE").format(_ME)
    for database in target.names(_PLACES, found[0][0]):
        with target.inside(database) as inside:
            execute(inside, drop)
    target.execute(drop, SQL("DROP ROLE {}").format(_ME))


def alone(target: Session) -> None:
    """Wait until nobody is logged in by it: a killed command's session ends by itself. Raises
    StepError where somebody stays."""
    until = time.monotonic() + _GONE
    while target.rows(_BUSY, RESTORER) != [(0,)]:
        if time.monotonic() > until:
            raise StepError("another command brings a part back into this server", "wait for it")
        stopping.sleep(_PAUSE)
