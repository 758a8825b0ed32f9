"""Why an app cannot work with PostgreSQL, found by doing what the app does."""

from __future__ import annotations

import psycopg

from mngdb.engines.postgres.client import first_line, open_connection
from mngdb.model import Access
from mngdb.spec.postgres import PostgresGrant


def diagnose(access: Access, grant: PostgresGrant) -> str | None:
    """One sentence on what is wrong, or None. Leaves nothing behind: all is rolled back."""
    with open_connection(access, 5, access.database) as connection:
        try:
            with connection.transaction(force_rollback=True):
                if grant.access == "owner":
                    connection.execute("CREATE TABLE mngdb_doctor (id int)")
                    connection.execute("INSERT INTO mngdb_doctor VALUES (1)")
                else:
                    connection.execute("SELECT 1")
            if grant.access == "owner":
                return None
            return _tables(connection, grant)
        except psycopg.errors.DiskFull:
            return "PostgreSQL's disk is full: it reads, but takes no writes"
        except psycopg.errors.ReadOnlySqlTransaction:
            return "the server takes no writes: it is a replica, or read-only by its settings"
        except psycopg.errors.InsufficientPrivilege as error:
            return f"{access.user} lacks a right in {grant.database}: {first_line(error)}"
        except psycopg.Error as error:
            return f"PostgreSQL refused the app's work: {first_line(error)}"


def _tables(connection: psycopg.Connection[tuple[object, ...]], grant: PostgresGrant) -> str | None:
    """Whether an app that does not own the tables may use all of them."""
    wanted = "SELECT" if grant.access == "readonly" else "SELECT,INSERT,UPDATE,DELETE"
    refused = connection.execute(
        """
        SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
          AND EXISTS (SELECT FROM unnest(string_to_array(%s, ',')) w
                      WHERE NOT has_table_privilege(c.oid, w))
        ORDER BY 1 LIMIT 1
        """,
        (wanted,),
    ).fetchone()
    if refused is None:
        return None
    return f"{wanted.replace(',', ', ')} is refused on the table {refused[0]}; run 'mngdb up'"
