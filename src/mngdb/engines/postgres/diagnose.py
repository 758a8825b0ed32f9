"""Why an app cannot work with PostgreSQL, found by doing what the app does."""

from __future__ import annotations

from typing import Any, NoReturn

import psycopg
from msgspec.structs import replace
from psycopg.sql import SQL, Identifier

from mngdb.engines.postgres import carried
from mngdb.engines.postgres.available import lacks
from mngdb.engines.postgres.causes import first_line
from mngdb.engines.postgres.client import as_app
from mngdb.errors import ConnectError, LackingError, StepError
from mngdb.model import Access, DesiredInstance
from mngdb.secret import app_of
from mngdb.spec.postgres import PostgresGrant
from mngdb.words import named

# `slow` does not count what begins with plans.MARK as the app's.

#: Privileges on every table that an app needs, and those that it must not have.
_WORK = "SELECT,INSERT,UPDATE,DELETE"
_NEEDS = {"owner": _WORK, "readwrite": _WORK, "readonly": "SELECT"}
_EXCESS = {"owner": "", "readwrite": "TRUNCATE", "readonly": "INSERT,UPDATE,DELETE,TRUNCATE"}
_READ_ONLY = "default_transaction_read_only"
_TABLES = """
    SELECT /* mngdb */ n.nspname, format('%%I.%%I', n.nspname, c.relname), n.usable, c.missing,
           c.excess, c.owner
    FROM (SELECT oid, nspname, has_schema_privilege(oid, 'USAGE') AS usable FROM pg_namespace
          WHERE nspname !~ '^pg_' AND nspname <> 'information_schema') n
    JOIN (SELECT relnamespace, relname, pg_get_userbyid(relowner) AS owner,
                 (SELECT min(w) FROM unnest(string_to_array(%s, ',')) w
                  WHERE NOT has_table_privilege(t.oid, w)) AS missing,
                 (SELECT min(w) FROM unnest(string_to_array(%s, ',')) w
                  WHERE has_table_privilege(t.oid, w)) AS excess
          FROM pg_class t WHERE relkind IN ('r', 'p') AND NOT EXISTS
            (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = t.oid
             AND d.deptype = 'e')) c ON c.relnamespace = n.oid
    WHERE NOT n.usable OR c.missing IS NOT NULL OR c.excess IS NOT NULL
    ORDER BY 2 LIMIT 1
"""

#: Databases of disabled logins that are named like an app's own, by owner.
_BEHIND = """
    SELECT /* mngdb */ rolname, array_agg(datname::text ORDER BY datname)
    FROM pg_database JOIN pg_roles ON pg_roles.oid = datdba
    WHERE NOT rolcanlogin AND NOT pg_has_role(datdba, 'USAGE') AND datname <> ALL(%s)
      AND EXISTS (SELECT FROM unnest(%s::text[]) one WHERE starts_with(datname, one))
    GROUP BY 1 ORDER BY 1 LIMIT 1
"""
#: Of such databases so many are named.
_SHOWN = 3

#: Whether there is something to work with: a table, or the right to create a schema.
_ANYTHING = """
    SELECT /* mngdb */ has_database_privilege(current_database(), 'CREATE') OR EXISTS (
      SELECT FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace
      WHERE t.relkind IN ('r', 'p') AND nspname !~ '^pg_' AND nspname <> 'information_schema'
        AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                        AND d.objid = t.oid AND d.deptype = 'e'))
"""


def diagnose(access: Access, asked: DesiredInstance, app: str) -> str | None:
    """One sentence on what is wrong and `up` mends, or None. Leaves nothing behind: all is rolled
    back. Raises ConnectError when no login succeeds, or when the disk is full (kind `disk`), and
    StepError for what `up` does not mend: a setting in the way, an extension that is missing."""
    grant = asked.instance.granted(PostgresGrant)[app]
    for name in grant.names:
        wrong = _in_database(replace(access, database=name), grant, asked.instance.adopt)
        if wrong:
            return f"in the database {name}: {wrong}" if name != grant.database else wrong
    return None


def _in_database(access: Access, grant: PostgresGrant, adopt: bool) -> str | None:
    try:
        return _examined(access, grant, adopt)
    except ConnectError as error:
        if error.kind == "database" and "is missing" not in error.message:
            hint = _hand_over(access) if adopt and grant.access == "owner" else error.hint
            raise ConnectError(error.message, hint, error.kind) from None
        found = carried.culprit(access, carried.LIBRARIES) if error.kind == "library" else None
        if found is None:
            raise
        raise ConnectError(f"{found[0]}: {error.message}", found[1], error.kind) from None


def _examined(access: Access, grant: PostgresGrant, adopt: bool) -> str | None:
    """`adopt`: others may have given it more than the file."""
    with as_app(access, 5, access.database) as connection:
        try:
            home = _home(connection)
            return (
                _power(connection, access, grant, adopt)
                or _work(connection, access, grant, home, adopt)
                or _lacking(connection, grant)
                or _left_behind(connection, access, grant)
            )
        except psycopg.errors.DiskFull:
            text = "PostgreSQL's disk is full: reads work, writes fail"
            raise ConnectError(text, "free space on it", "disk") from None
        except psycopg.errors.ReadOnlySqlTransaction as error:
            _by_setting(access, error, *_no_writes(connection, access))
        except psycopg.errors.InsufficientPrivilege as error:
            text = f"{access.user} lacks a right in {access.database}: {first_line(error)}"
            return _lacks(text, access, grant, adopt)
        except psycopg.Error as error:
            said = f"PostgreSQL refused the app's work: {first_line(error)}"
            _by_setting(access, error, said, f"mngdb logs {access.instance}")


def _no_writes(connection: psycopg.Connection[Any], access: Access) -> tuple[str, str]:
    """Why a server takes no writes, and what helps."""
    (replica,) = connection.execute("SELECT /* mngdb */ pg_is_in_recovery()").fetchone() or (False,)
    if replica:
        return "the server is a replica: it takes no writes", f"mngdb logs {access.instance}"
    helps = f"there, as a superuser: ALTER SYSTEM RESET {_READ_ONLY}; SELECT pg_reload_conf()"
    if access.proof:
        helps = "'mngdb up' resets it, unless the file sets it"
    return f"the server takes no writes: it has the setting {_READ_ONLY} = 'on'", helps


def _by_setting(access: Access, error: psycopg.Error, said: str, helps: str) -> NoReturn:
    """Raises StepError: what is `said`, or which setting of the app's login or database is behind
    the error; `up` leaves those of databases to their owners."""
    found = carried.culprit(access, carried.named_by(error.sqlstate))
    if found is None:
        raise StepError(said, helps) from None
    raise StepError(f"{found[0]}: {first_line(error)}", found[1]) from None


def _home(connection: psycopg.Connection[Any]) -> tuple[str | None, str]:
    """The schema in which the app makes its tables, and its search_path. From now on names mean the
    server's own functions and tables: those of a database's owner could have anything said of other
    apps."""
    home, path = connection.execute(
        "SELECT /* mngdb */ pg_catalog.current_schema(), pg_catalog.current_setting('search_path')"
    ).fetchone() or (None, "")
    connection.execute("SET /* mngdb */ search_path = pg_catalog, pg_temp")
    return home, path


def _no_home(access: Access, path: str) -> NoReturn:
    """Raises StepError: whose search_path names no schema that there is; `up` changes neither."""
    found = carried.culprit(access, ["search_path"])
    what = found[0] if found else f"the search_path is '{path}'"
    text = f"{what}: it names no schema of {access.database}, so {access.user} cannot create tables"
    raise StepError(text, found[1] if found else "CREATE SCHEMA, of a name that it has")


def _work(
    connection: psycopg.Connection[Any],
    access: Access,
    grant: PostgresGrant,
    at: tuple[str | None, str],
    adopt: bool,
) -> str | None:
    home, path = at
    if grant.access == "owner":
        if home is None:
            _no_home(access, path)
        # what is no owner yet, is told by `plan`, and works with the tables that there are
        creates = not adopt or _creates(connection, home)
        if not creates and connection.execute(_ANYTHING).fetchone() == (False,):
            text = f"{access.user} does not own the database, and may create no tables there"
            raise StepError(text, _hand_over(access))
        if creates:
            table = Identifier(home, "mngdb_doctor")
            with connection.transaction(force_rollback=True):
                connection.execute(SQL("CREATE /* mngdb */ TABLE {} (id int)").format(table))
                connection.execute(SQL("INSERT /* mngdb */ INTO {} VALUES (1)").format(table))
    if grant.access == "readwrite":
        (stopped,) = connection.execute(
            "SELECT /* mngdb */ current_setting('transaction_read_only') = 'on'"
        ).fetchone() or (False,)
        if stopped:
            raise psycopg.errors.ReadOnlySqlTransaction("it takes no writes")
    excess = "" if adopt else _EXCESS[grant.access]
    found = connection.execute(_TABLES, (_NEEDS[grant.access], excess)).fetchone()
    if found is None:
        return None
    schema, table, usable, missing, excess, owner = found
    if not usable:
        return _lacks(f"{access.user} may not use the schema {schema}", access, grant, adopt)
    if missing:
        whose = f", which belongs to {owner}" if grant.access == "owner" else ""
        text = f"{missing} is refused on the table {table}{whose}"
        return _lacks(text, access, grant, adopt)
    return f"{access.user} is {grant.access}, but may {excess} on the table {table}"


def _creates(connection: psycopg.Connection[Any], schema: str) -> bool:
    (found,) = connection.execute(
        "SELECT /* mngdb */ has_schema_privilege(%s, 'CREATE')", (schema,)
    ).fetchone() or (False,)
    return bool(found)


def _lacks(text: str, access: Access, grant: PostgresGrant, adopt: bool) -> str:
    """What is said of a right that is missing. Raises StepError where others own the database: it
    changes hands only by its name."""
    if adopt and grant.access == "owner":
        raise StepError(text, _hand_over(access))
    return text


def _hand_over(access: Access) -> str:
    return f"mngdb up --allow {named(f'database {access.database}')}"


def _power(
    connection: psycopg.Connection[Any], access: Access, grant: PostgresGrant, adopt: bool
) -> str | None:
    """What no app should be able to do, or this one should."""
    (special,) = connection.execute(
        "SELECT /* mngdb */ concat_ws(', ', CASE WHEN rolsuper THEN 'SUPERUSER' END, "
        "CASE WHEN rolcreatedb THEN 'CREATEDB' END, CASE WHEN rolcreaterole THEN 'CREATEROLE' END, "
        "CASE WHEN rolreplication THEN 'REPLICATION' END, "
        "CASE WHEN rolbypassrls THEN 'BYPASSRLS' END) FROM pg_roles WHERE rolname = current_user"
    ).fetchone() or ("",)
    has = set(filter(None, special.split(", ")))
    wanted = {"CREATEDB"} if grant.create_databases else set[str]()
    if wanted - has:
        return f"{access.user} may not create databases"
    if has - wanted and not adopt:
        more = ", ".join(sorted(has - wanted))
        return f"{access.user} has more rights than an app: {more}"
    return None


def _lacking(connection: psycopg.Connection[Any], grant: PostgresGrant) -> str | None:
    """An extension that the file gives the app and the database does not have. Raises
    LackingError where 'up' cannot install it."""
    if not grant.extensions:
        return None
    found = connection.execute(
        "SELECT /* mngdb */ one, EXISTS (SELECT FROM pg_available_extensions WHERE name = one) "
        "FROM unnest(%s::text[]) one WHERE one NOT IN (SELECT extname FROM pg_extension) LIMIT 1",
        (grant.extensions,),
    ).fetchone()
    if found is None:
        return None
    name, available = found
    if available:
        return f"the extension {name} is not installed"
    raise LackingError(
        lacks(name), "'mngdb plan' names its package; or remove it from 'extensions'"
    )


def _left_behind(
    connection: psycopg.Connection[Any], access: Access, grant: PostgresGrant
) -> str | None:
    """Raises LackingError for databases that the file names by their beginning and that a login
    made whose app left the file, by a new name of the app for one."""
    if grant.access != "owner" or not grant.prefixes:
        return None
    found = connection.execute(_BEHIND, ([*grant.names], [*grant.prefixes])).fetchone()
    if found is None:
        return None
    owner, names = found
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    some, app = ", ".join(names[:_SHOWN]) + more, app_of(access.user)
    raise LackingError(
        f"{some}: named like the databases of {app}, and owned by {owner}, whose login is disabled",
        f"under 'databases' of {app}, name each that is to be its own",
    )
