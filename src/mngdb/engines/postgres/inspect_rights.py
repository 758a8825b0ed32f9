"""Rights in one database that nobody looks for: on the server's own objects, to pass rights on, and
what runs an app's code in everybody's sessions. `{how}` is inspect_queries.may_be."""
# ruff: noqa: S608 - queries are put together from what stands in this file

from __future__ import annotations

from mngdb.engines.postgres import system_rights
from mngdb.engines.postgres.system_rights import INITIAL

#: The role that initdb made (BOOTSTRAP_SUPERUSERID): to name each of its functions takes a while.
BOOTSTRAP = 10
#: What is called where nobody named it: in pg_catalog, which every session looks through first, by
#: an event, or to make one of the server's own types into another.
_TRAPS = f"""
    SELECT format('%s by an app''s function', t.what) FROM (
      SELECT p.oid, 'FUNCTION ' || p.oid::regprocedure AS what
      FROM pg_proc p WHERE p.oid >= {INITIAL} AND p.pronamespace IN
        ('pg_catalog'::regnamespace, (SELECT oid FROM pg_namespace
         WHERE nspname = 'information_schema'))
      UNION ALL
      SELECT e.evtfoid, format('EVENT TRIGGER %I', e.evtname) FROM pg_event_trigger e
      UNION ALL
      SELECT c.castfunc, format('CAST (%s AS %s)', c.castsource::regtype, c.casttarget::regtype)
      FROM pg_cast c WHERE c.oid >= {INITIAL} AND c.castcontext <> 'e'
        AND c.castsource < {INITIAL} AND c.casttarget < {INITIAL}
      UNION ALL
      SELECT o.oprcode, 'OPERATOR ' || o.oid::regoperator FROM pg_operator o
      WHERE o.oid >= {INITIAL} AND o.oprnamespace = 'pg_catalog'::regnamespace
    ) t (function, what) JOIN pg_proc f ON f.oid = t.function
    JOIN pg_roles r ON r.oid = f.proowner WHERE NOT r.rolsuper
    UNION ALL
    SELECT format('EVENT TRIGGER %I of %I', e.evtname, r.rolname)
    FROM pg_event_trigger e JOIN pg_roles r ON r.oid = e.evtowner WHERE NOT r.rolsuper
    UNION ALL
    SELECT format('%s of %I', t.what, r.rolname) FROM (
      SELECT c.relowner, 'TABLE ' || c.oid::regclass FROM pg_class c
      WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relowner <> {BOOTSTRAP}
      UNION ALL
      SELECT p.proowner, 'FUNCTION ' || p.oid::regprocedure FROM pg_proc p
      WHERE p.oid < {INITIAL} AND p.proowner <> {BOOTSTRAP}
      UNION ALL
      SELECT n.nspowner, 'SCHEMA ' || n.oid::regnamespace FROM pg_namespace n
      WHERE n.oid < {INITIAL} AND n.nspname <> 'public'
    ) t (owner, what) JOIN pg_roles r ON r.oid = t.owner WHERE NOT r.rolsuper
"""

#: Who holds a right: everybody, logins by name, and those that a group lends it to.
_HOLDERS = """
    SELECT DISTINCT x.grantee, CASE WHEN x.grantee = 0 THEN 'PUBLIC'
        ELSE quote_ident(r.rolname) || CASE WHEN r.oid <> x.grantee
          THEN ' by ' || quote_ident(g.rolname) ELSE '' END END AS who
    FROM x LEFT JOIN pg_roles g ON g.oid = x.grantee LEFT JOIN pg_roles r
      ON r.rolcanlogin AND NOT r.rolsuper AND r.rolname <> current_user
        AND pg_has_role(r.oid, x.grantee, '{how}')
    WHERE x.grantee = 0 OR r.oid IS NOT NULL
"""
#: Rights by effect: a group without a login lends them to nobody.
_SYSTEM = f"""
    WITH x AS MATERIALIZED ({system_rights.beyond(members=True)}),
    holder AS MATERIALIZED ({_HOLDERS})
    SELECT format('%s ON %s TO %s', x.privilege, x.target, h.who)
    FROM x JOIN holder h ON h.grantee = x.grantee
"""
_OPTIONS = f"""
    WITH x AS MATERIALIZED (
      SELECT a.grantee, a.privilege_type || o.columns AS privilege, o.target FROM (
        SELECT 'SCHEMA ' || n.oid::regnamespace AS target, '' AS columns, n.nspowner AS owner,
               n.nspacl AS acl FROM pg_namespace n WHERE n.oid >= {INITIAL} OR n.nspname = 'public'
        UNION ALL
        SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END || c.oid::regclass, '',
               c.relowner, c.relacl FROM pg_class c WHERE c.oid >= {INITIAL}
          AND c.relkind IN ('r', 'v', 'm', 'p', 'f', 'S') AND c.relacl IS NOT NULL
        UNION ALL
        SELECT 'TABLE ' || c.oid::regclass, format(' (%I)', t.attname), c.relowner, t.attacl
        FROM pg_attribute t JOIN pg_class c ON c.oid = t.attrelid
        WHERE c.oid >= {INITIAL} AND t.attacl IS NOT NULL
        UNION ALL
        SELECT 'ROUTINE ' || p.oid::regprocedure, '', p.proowner, p.proacl
        FROM pg_proc p WHERE p.oid >= {INITIAL} AND p.proacl IS NOT NULL
        UNION ALL
        SELECT 'TYPE ' || t.oid::regtype, '', t.typowner, t.typacl
        FROM pg_type t WHERE t.oid >= {INITIAL} AND t.typacl IS NOT NULL
      ) o, aclexplode(o.acl) a WHERE a.is_grantable AND a.grantee <> o.owner),
    holder AS MATERIALIZED ({_HOLDERS})
    SELECT format('%s ON %s TO %s', x.privilege, x.target, h.who)
    FROM x JOIN holder h ON h.grantee = x.grantee
"""

#: Question to a query of names.
QUESTIONS: dict[str, str] = {"traps": _TRAPS, "system_rights": _SYSTEM, "grant_options": _OPTIONS}


def shared_options(version: int) -> str:
    """Who may pass on rights on databases, on what is the whole server's, and memberships."""
    spaces = system_rights.shared(version)
    return f"""
        WITH x AS MATERIALIZED (
          SELECT a.grantee, a.privilege_type AS privilege,
                 format('DATABASE %I', d.datname) AS target
          FROM pg_database d, aclexplode(d.datacl) a
          WHERE a.is_grantable AND a.grantee <> d.datdba
          UNION ALL
          SELECT s.grantee, s.privilege, s.target
          FROM ({spaces}) s (owner, grantee, grantor, privilege, grantable, option, target)
          WHERE s.grantable),
        holder AS MATERIALIZED ({_HOLDERS})
        SELECT format('%s ON %s TO %s', x.privilege, x.target, h.who) AS one
        FROM x JOIN holder h ON h.grantee = x.grantee
        UNION ALL
        SELECT DISTINCT format('ROLE %I TO %I', g.rolname, m.rolname)
        FROM pg_auth_members a JOIN pg_roles g ON g.oid = a.roleid
        JOIN pg_roles m ON m.oid = a.member
        WHERE a.admin_option AND NOT m.rolsuper AND m.rolname <> current_user
        ORDER BY 1 LIMIT 100"""


def shared_rights(version: int) -> str:
    """Rights on what is the whole server's, such as parameters and tablespaces."""
    spaces = system_rights.shared(version)
    return f"""
        WITH x AS MATERIALIZED (SELECT * FROM ({spaces})
          s (owner, grantee, grantor, privilege, grantable, option, target)),
        holder AS MATERIALIZED ({_HOLDERS})
        SELECT format('%s ON %s TO %s', x.privilege, x.target, h.who) AS one
        FROM x JOIN holder h ON h.grantee = x.grantee ORDER BY 1 LIMIT 100"""
