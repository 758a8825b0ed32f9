"""What is true on a PostgreSQL server, typed. Nothing is judged here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from psycopg import sql

from mngdb.engines.postgres import client, render, scram
from mngdb.engines.postgres.client import Session
from mngdb.errors import ConnectError, UnobservableError
from mngdb.model import Access, Asked
from mngdb.spec.postgres import PostgresGrant

#: Stands in the comment of every role that mngdb makes, before the stack's name.
MARK = "mngdb: an app of stack "

Counts = Mapping[tuple[str, str, str], int]


@dataclass(frozen=True)
class Setting:
    """A row of pg_settings. `unit` is PostgreSQL's (8kB, ms, …); `hot`: taken by a reload."""

    value: str
    unit: str
    kind: str
    hot: bool


@dataclass(frozen=True)
class Role:
    """A login role. `password` says whether the vault's secret is the role's."""

    mark: str
    login: bool = True
    special: tuple[str, ...] = ()
    """Attributes beyond LOGIN: SUPERUSER, CREATEDB, CREATEROLE, REPLICATION, BYPASSRLS."""
    connections: int = -1
    password: bool = True
    settings: Mapping[str, str] = field(default_factory=dict)
    member_of: tuple[str, ...] = ()


@dataclass(frozen=True)
class Inside:
    """Rights and objects in one database. Grantee '' is PUBLIC."""

    extensions: frozenset[str] = frozenset({"plpgsql"})
    totals: Mapping[str, int] = field(default_factory=dict)
    """Objects of each kind (table, sequence, schema) that belong to no extension."""
    granted: Counts = field(default_factory=dict)
    """(kind, grantee, privilege) to the number of objects that name it."""
    defaults: frozenset[tuple[str, str, str, str]] = frozenset()
    """Default privileges: (for role, kind, grantee, privilege)."""
    owners: Mapping[str, int] = field(default_factory=dict)
    """Owner to the number of tables, sequences and views that belong to no extension."""


@dataclass(frozen=True)
class Database:
    """A database: its owner, and who may do what with it (grantee '' is PUBLIC)."""

    owner: str
    granted: frozenset[tuple[str, str]]
    inside: Inside | None = None


@dataclass(frozen=True)
class Facts:
    """Everything that `reconcile` judges."""

    version: str
    superuser: bool
    checksums: bool
    settings: Mapping[str, Setting]
    roles: Mapping[str, Role]
    databases: Mapping[str, Database]
    admin_password: bool = True
    statistics: bool = False
    """Whether pg_stat_statements is there, in the administrator's database."""


def observe(session: Session, asked: Asked) -> Facts:
    """Look at the server; one connection, and one more at a time for the databases inside."""
    version, superuser = session.rows(
        "SELECT current_setting('server_version'), rolsuper FROM pg_roles "
        "WHERE rolname = current_user"
    )[0]
    settings = {
        name: Setting(value, unit or "", kind, context not in {"postmaster", "internal"})
        for name, value, unit, kind, context in session.rows(
            "SELECT name, setting, unit, vartype, context FROM pg_settings"
        )
    }
    roles = _roles(session, asked, bool(superuser))
    return Facts(
        version=version.split()[0],
        superuser=superuser,
        checksums=settings["data_checksums"].value == "on",
        settings=settings,
        roles=roles,
        databases=_databases(session, asked, roles),
        admin_password=_admin_password(session, asked, bool(superuser)),
        statistics=bool(
            session.rows("SELECT 1 FROM pg_extension WHERE extname = 'pg_stat_statements'")
        ),
    )


def _roles(session: Session, asked: Asked, superuser: bool) -> dict[str, Role]:
    """The apps' roles and those that carry this stack's mark."""
    verifiers: dict[str, str | None] = {}
    if superuser:
        verifiers = dict(session.rows("SELECT rolname, rolpassword FROM pg_authid"))
    found = {}
    for name, mark, login, special, connections, settings, member_of in session.rows(
        """
        SELECT r.rolname, coalesce(shobj_description(r.oid, 'pg_authid'), ''), r.rolcanlogin,
               array_remove(ARRAY[CASE WHEN r.rolsuper THEN 'SUPERUSER' END,
                                  CASE WHEN r.rolcreatedb THEN 'CREATEDB' END,
                                  CASE WHEN r.rolcreaterole THEN 'CREATEROLE' END,
                                  CASE WHEN r.rolreplication THEN 'REPLICATION' END,
                                  CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' END], NULL),
               r.rolconnlimit, coalesce(s.setconfig, '{}'),
               ARRAY(SELECT g.rolname::text FROM pg_auth_members m
                     JOIN pg_roles g ON g.oid = m.roleid WHERE m.member = r.oid ORDER BY 1)
        FROM pg_roles r
        LEFT JOIN pg_db_role_setting s ON s.setrole = r.oid AND s.setdatabase = 0
        WHERE r.rolname = ANY(%s) OR shobj_description(r.oid, 'pg_authid') = %s
        """,
        list(asked.instance.grants),
        MARK + asked.stack,
    ):
        secret = asked.secrets.get(name)
        if secret is None:
            same = True
        elif superuser:
            same = scram.matches(secret, verifiers.get(name))
        else:
            same = _can_log_in(session.access, asked, name)
        found[name] = Role(
            mark,
            login,
            tuple(special),
            connections,
            same,
            dict(one.split("=", 1) for one in settings),
            tuple(member_of),
        )
    return found


def _can_log_in(at: Access, asked: Asked, app: str) -> bool:
    """Without the right to read verifiers, whether a secret fits shows only at the door."""
    right = cast(PostgresGrant, asked.instance.grants[app])
    access = replace(
        at, user=app, password=asked.secrets[app], database=right.database, socket=None
    )
    try:
        with client.open_connection(access, 5, access.database):
            return True
    except ConnectError as error:
        if error.kind == "auth":
            return False
        if error.kind in {"database", "limit", "hba"}:
            return True  # the password was taken before these are looked at
        raise UnobservableError(f"cannot tell whether {app}'s secret fits: {error}") from None


def _admin_password(session: Session, asked: Asked, superuser: bool) -> bool:
    if not (asked.managed and superuser):
        return True  # we are in with it, or it is not ours to set
    stored = session.rows("SELECT rolpassword FROM pg_authid WHERE rolname = %s", render.ADMIN)
    return bool(stored) and scram.matches(asked.secrets["admin"], stored[0][0])


def _databases(session: Session, asked: Asked, roles: Mapping[str, Role]) -> dict[str, Database]:
    """The databases that the file names, those that an app's role owns, and the server's own."""
    named = {cast(PostgresGrant, right).database for right in asked.instance.grants.values()}
    rows = session.rows(
        """
        SELECT d.datname, o.rolname,
               ARRAY(SELECT coalesce(g.rolname, '') || chr(10) || a.privilege_type
                     FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
                     LEFT JOIN pg_roles g ON g.oid = a.grantee)
        FROM pg_database d JOIN pg_roles o ON o.oid = d.datdba
        WHERE d.datname = ANY(%s) OR o.rolname = ANY(%s)
        """,
        [*named, "postgres", "template1"],
        list(roles),
    )
    found = {}
    for name, owner, granted in rows:
        inside = None
        if name in named or owner in roles:
            with session.inside(name) as connection:
                inside = _inside(connection, [*roles, ""])
        pairs = (tuple(one.split("\n")) for one in granted)
        found[name] = Database(owner, frozenset((who, what) for who, what in pairs), inside)
    return found


_OBJECTS = """
  objects AS (
    SELECT CASE WHEN c.relkind = 'S' THEN 'sequence' ELSE 'table' END AS kind, c.relacl AS acl,
           acldefault(CASE WHEN c.relkind = 'S' THEN 's'::"char" ELSE 'r'::"char" END, c.relowner)
             AS basic, c.relowner AS owner
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'v', 'm', 'p', 'f', 'S')
      AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                      AND d.objid = c.oid AND d.deptype = 'e')
    UNION ALL
    SELECT 'schema', n.nspacl, acldefault('n', n.nspowner), n.nspowner
    FROM pg_namespace n
    WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_namespace'::regclass
                      AND d.objid = n.oid AND d.deptype = 'e')
  )
"""


def _inside(connection: Any, grantees: list[str]) -> Inside:
    """Everything in one round trip: counts stay small however many tables there are."""
    query = sql.SQL(
        "WITH "
        + _OBJECTS
        + """
        SELECT 'extension', extname, NULL, NULL, 1 FROM pg_extension
        UNION ALL SELECT 'total', kind, NULL, NULL, count(*) FROM objects GROUP BY kind
        UNION ALL SELECT 'owner', r.rolname, NULL, NULL, count(*)
          FROM objects o JOIN pg_roles r ON r.oid = o.owner GROUP BY r.rolname
        UNION ALL SELECT 'granted', o.kind, coalesce(g.rolname, ''), a.privilege_type, count(*)
          FROM objects o, aclexplode(coalesce(o.acl, o.basic)) a
          LEFT JOIN pg_roles g ON g.oid = a.grantee
          WHERE coalesce(g.rolname, '') = ANY(%s) AND a.grantee <> o.owner
          GROUP BY 2, 3, 4
        UNION ALL SELECT 'default', f.rolname || chr(10) || CASE d.defaclobjtype
            WHEN 'r' THEN 'table' WHEN 'S' THEN 'sequence' WHEN 'n' THEN 'schema' ELSE 'other' END,
            coalesce(g.rolname, ''), a.privilege_type, 1
          FROM pg_default_acl d JOIN pg_roles f ON f.oid = d.defaclrole,
               aclexplode(d.defaclacl) a LEFT JOIN pg_roles g ON g.oid = a.grantee
          WHERE d.defaclnamespace = 0 AND a.grantee <> d.defaclrole
        """
    )
    extensions, totals, owners = set(), {}, {}
    granted, defaults = {}, set()
    for what, first, grantee, privilege, count in client.rows(connection, query, grantees):
        if what == "extension":
            extensions.add(first)
        elif what == "total":
            totals[first] = count
        elif what == "owner":
            owners[first] = count
        elif what == "granted":
            granted[first, grantee, privilege] = count
        else:
            role, kind = first.split("\n")
            defaults.add((role, kind, grantee, privilege))
    return Inside(frozenset(extensions), totals, granted, frozenset(defaults), owners)


def blank(asked: Asked) -> Facts:
    """A server that `render` has just made: its settings are as wanted, nothing is in it."""
    site = asked.site
    default = frozenset({("", "CONNECT"), ("", "TEMPORARY")})
    template = frozenset({("", "CONNECT")})
    return Facts(
        version=site.program.version if site else "",
        superuser=True,
        checksums=True,
        settings={},
        roles={},
        databases={
            "postgres": Database(render.ADMIN, default, None),
            "template1": Database(render.ADMIN, template, None),
        },
        admin_password=False,
    )


#: What CREATE DATABASE gives; the rest is in `Inside`'s defaults.
NEW = Database("", frozenset({("", "CONNECT"), ("", "TEMPORARY")}), Inside(totals={"schema": 1}))
