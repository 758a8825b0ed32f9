"""The maintenance database `postgres`: every login may enter it, and may do nothing there.

Tools look for a database that is there whatever they are about to make: `createdb`, Django's test
runner, Flyway. Where it is closed, Django 5.1 and later with a connection pool runs its tests in
the app's own database. On a server of ours it holds pg_stat_statements and nothing else.

https://www.postgresql.org/docs/current/manage-ag-templatedbs.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from psycopg.sql import Composed

    from mngdb.engines.postgres.client import Session
    from mngdb.engines.postgres.facts import Database, Maintenance
    from mngdb.engines.postgres.roles import MakeStep
    from mngdb.model import Step

NAME = "postgres"
_WHAT = f"database {NAME}"
#: Who reads metrics needs the views of pg_stat_statements.
_READERS = "pg_monitor"
#: What everybody may do beyond entering: make large objects, use schemas other than the system's.
#: Large objects that there are have owners; it takes these to make one.
REACH = """
    SELECT format('SCHEMA %I', n.nspname) FROM pg_namespace n
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
      AND has_schema_privilege('public', n.oid, 'USAGE,CREATE')
    UNION ALL
    SELECT format('FUNCTION %s', p.oid::regprocedure) FROM pg_proc p
    WHERE p.pronamespace = 'pg_catalog'::regnamespace
      AND p.proname IN ('lo_create', 'lo_creat', 'lo_from_bytea', 'lo_import')
      AND has_function_privilege('public', p.oid, 'EXECUTE')
"""
_LOOK = f"""
SELECT ARRAY({REACH}), NOT EXISTS (
  SELECT FROM pg_namespace n WHERE n.nspname = 'public' AND NOT EXISTS (
    SELECT FROM aclexplode(n.nspacl) a
    WHERE a.grantee = '{_READERS}'::regrole AND a.privilege_type = 'USAGE'))
"""  # noqa: S608 - of constants
#: What everybody may do as initdb leaves it.
_INITIAL = (
    "SCHEMA public",
    "FUNCTION lo_creat(integer)",
    "FUNCTION lo_create(oid)",
    "FUNCTION lo_from_bytea(oid,bytea)",
)


def look(session: Session) -> Maintenance:
    """What everybody may do there. The session is in it."""
    from mngdb.engines.postgres.facts import Maintenance

    ((reach, readers),) = session.rows(_LOOK)
    return Maintenance(tuple(reach), readers)


def initial() -> Maintenance:
    """As initdb leaves it."""
    from mngdb.engines.postgres.facts import Maintenance

    return Maintenance(_INITIAL, readers=False)


def steps(make: MakeStep, found: Database, inside: Maintenance) -> Iterator[Step[Session]]:
    """Open it to everybody, and take from everybody all else."""
    from psycopg.sql import SQL, Identifier

    everybody = {privilege for who, privilege in found.granted if who == ""}
    lost = sorted({word.lower().removesuffix("*") for word in everybody} - {"connect"})
    opened = SQL("GRANT CONNECT ON DATABASE {} TO PUBLIC").format(Identifier(NAME))
    use = SQL("GRANT USAGE ON SCHEMA public TO {}").format(Identifier(_READERS))
    statements: list[Composed] = []
    if everybody - {"CONNECT"}:
        statements.append(SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(Identifier(NAME)))
    for one in inside.reach:
        # the server wrote and quoted these names itself
        statements.append(SQL("REVOKE ALL ON {} FROM PUBLIC").format(SQL(one)))
        kind, _, name = one.partition(" ")
        lost.append("large objects" if kind == "FUNCTION" else f"schema {name}")
    if statements:
        statements += [opened, *([] if inside.readers else [use])]
        text = f"PUBLIC: all but CONNECT ({', '.join(dict.fromkeys(lost))})"
        yield make("revoke", _WHAT, text, lambda s: s.execute(*statements))
        return
    if "CONNECT" not in everybody:
        text = "PUBLIC: CONNECT, and nothing else"
        yield make("grant", _WHAT, text, lambda s: s.execute(opened))
    if not inside.readers:
        yield make("grant", _WHAT, f"{_READERS}: pg_stat_statements", lambda s: s.execute(use))
