"""Rights on what the server itself is made of: catalogs, functions like pg_read_file, parameters.

initdb writes down what it grants on its own objects (pg_init_privs); whoever has more was given it
later. https://www.postgresql.org/docs/current/catalog-pg-init-privs.html
"""
# ruff: noqa: S608 - queries are put together from what stands in this file

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from mngdb.data import text
from mngdb.engines.postgres.facts import Granted
from mngdb.words import many

if TYPE_CHECKING:
    from psycopg.sql import Composable, Composed

#: Objects with an oid below this are initdb's (FirstNormalObjectId).
INITIAL = 16384
_MEMBER = (
    " OR p.proacl IS NOT NULL AND EXISTS (SELECT FROM pg_depend e WHERE e.deptype = 'e' "
    "AND e.classid = 'pg_proc'::regclass AND e.objid = p.oid)"
)
#: The schema public is looked at with the schemas of apps. What information_schema grants is not
#: written down: everybody reads its views, but for those that begin with an underscore.
#: What is as initdb left it is put aside before its rights are taken apart, and names are made for
#: what is left: this is asked of every database.
_BEYOND = text(__file__, "system_rights.sql").replace("{initial}", str(INITIAL))
#: Functions and types of apps: who may pass a right on them on. Tables, sequences and schemas are
#: looked at with the rest of an app's rights.
_OPTIONS = f"""
    SELECT p.proowner, a.grantee, a.grantor, a.privilege_type, true, true,
           'ROUTINE ' || p.oid::regprocedure
    FROM pg_proc p, aclexplode(p.proacl) a
    WHERE p.oid >= {INITIAL} AND p.proacl IS NOT NULL AND a.is_grantable AND a.grantee <> p.proowner
    UNION ALL
    SELECT t.typowner, a.grantee, a.grantor, a.privilege_type, true, true,
           'TYPE ' || t.oid::regtype
    FROM pg_type t, aclexplode(t.typacl) a
    WHERE t.oid >= {INITIAL} AND t.typacl IS NOT NULL AND a.is_grantable AND a.grantee <> t.typowner
"""
_SPACES = """
    SELECT t.spcowner, a.grantee, a.grantor, a.privilege_type, a.is_grantable, false,
           format('TABLESPACE %I', t.spcname)
    FROM pg_tablespace t, aclexplode(t.spcacl) a WHERE a.grantee <> t.spcowner
"""
#: Parameters belong to nobody: what stands there was granted, superusers need nothing.
_PARAMETERS = """
    SELECT a.grantor, a.grantee, a.grantor, a.privilege_type, a.is_grantable, false,
           'PARAMETER ' || array_to_string(ARRAY(
             SELECT quote_ident(part) FROM unnest(string_to_array(p.parname, '.')) part), '.')
    FROM pg_parameter_acl p, aclexplode(p.paracl) a
"""


def beyond(*, members: bool) -> str:
    """A query of rights inside one database that initdb did not give; with `members` also those on
    functions of extensions that their scripts did not give."""
    return _BEYOND.replace("{members}", _MEMBER if members else "")


def shared(version: int) -> str:
    """As `beyond`, of what is the whole server's."""
    return _SPACES + (f" UNION ALL {_PARAMETERS}" if version >= 150000 else "")


def look(connection: Any, *, whole: bool = False) -> tuple[Granted, ...]:
    """What roles other than superusers were given beyond initdb's; `whole`: the server's shared
    objects too. One round trip."""
    from psycopg import sql

    from mngdb.engines.postgres import client

    parts = [beyond(members=False), _OPTIONS]
    parts += [shared(connection.info.server_version)] if whole else []
    query = f"""
        SELECT coalesce(g.rolname, ''), CASE WHEN x.grantor <> x.owner AND NOT b.rolsuper
                 THEN b.rolname ELSE '' END, x.privilege, x.is_grantable, x.option, x.target
        FROM ({" UNION ALL ".join(parts)}) x LEFT JOIN pg_roles g ON g.oid = x.grantee
        LEFT JOIN pg_roles b ON b.oid = x.grantor
        WHERE NOT coalesce(g.rolsuper, false) ORDER BY 1, 6, 3 LIMIT 10000"""
    found = client.rows(connection, sql.SQL(query).format())
    return tuple(Granted(*row) for row in found)


def extras(
    found: Iterable[Granted], ours: Collection[str]
) -> Iterator[tuple[str, str, list[Composed]]]:
    """Of each role that is ours, '' for PUBLIC: its name, what it has beyond initdb's in words,
    and the statements that revoke it."""
    by_role: dict[str, list[Granted]] = {}
    for one in found:
        if one.to in ours:
            by_role.setdefault(one.to, []).append(one)
    for role, rights in sorted(by_role.items()):
        # passed on by somebody else: revoked in that role's name, as long as it has the right
        rights.sort(key=lambda one: (not one.by, one.by))
        yield role, said(rights), _revoked(role, rights, ours)


def said(rights: Sequence[Granted], most: int = 3) -> str:
    """What rights these are, for people."""
    words = [
        ("passing on of " if one.option else "") + f"{one.privilege.lower()} on {_lower(one.on)}"
        for one in rights
    ]
    more = len(words) - most
    return ", ".join(words[:most]) + (f" and {many(more, 'right')} more" if more > 0 else "")


def _lower(target: str) -> str:
    kind, _, name = target.partition(" ")
    return f"{kind.lower()} {name}"


def _revoked(role: str, rights: Iterable[Granted], ours: Collection[str]) -> list[Composed]:
    from psycopg.sql import SQL, Identifier

    whom: Composable = Identifier(role) if role else SQL("PUBLIC")
    statements: list[Composed] = []
    for one in rights:
        option = SQL("GRANT OPTION FOR " if one.option else "")
        revoke = SQL("REVOKE {}{} ON {} FROM {} CASCADE").format(
            option, _told(one.privilege), _told(one.on), whom
        )
        if not one.by:
            statements.append(revoke)
        elif one.by not in ours:  # what one of ours passed on goes with its own, by CASCADE
            give_up = SQL("SET LOCAL ROLE {}").format(Identifier(one.by))
            statements += [give_up, revoke, SQL("SET LOCAL ROLE NONE").format()]
    return statements


def _told(text: str) -> Composable:
    """What the server itself wrote, with names quoted."""
    from psycopg.sql import SQL

    return SQL(text)
