"""What takes PostgreSQL's time: pg_stat_statements.

https://www.postgresql.org/docs/current/pgstatstatements.html
"""

from __future__ import annotations

from dataclasses import replace

from psycopg import sql

from mngdb.engines.postgres import client, plans
from mngdb.engines.postgres.client import Session
from mngdb.engines.postgres.locks import hidden
from mngdb.errors import ConnectError, UnobservableError
from mngdb.facts.slow import Slow, Statement
from mngdb.model import Access

#: Our own questions for plans are left out: they are asked as the apps.
_QUERY = """
SELECT coalesce(d.datname, ''), coalesce(r.rolname, ''), s.query, sum(s.calls)::int8,
       sum(s.total_exec_time)::float8, sum(s.total_exec_time)::float8 / sum(s.calls),
       max(s.max_exec_time)::float8, sum(s.rows)::float8 / sum(s.calls),
       sum(s.temp_blks_written)::int8
FROM {}.pg_stat_statements s LEFT JOIN pg_roles r ON r.oid = s.userid
     LEFT JOIN pg_database d ON d.oid = s.dbid
WHERE s.calls > 0 AND s.userid <> current_user::regrole AND s.query NOT LIKE 'EXPLAIN (GENERIC%%'
GROUP BY 1, 2, 3 ORDER BY 5 DESC LIMIT %s
"""
_SINCE = """
SELECT to_char(stats_reset AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') FROM {}.pg_stat_statements_info
"""
_BLOCK = 8192


def look(session: Session, apps: dict[str, Access], most: int) -> Slow:
    """The most expensive statements. `apps` are the logins that may ask for their plans."""
    schemas = session.rows(
        "SELECT extnamespace::regnamespace::text FROM pg_extension "
        "WHERE extname = 'pg_stat_statements'"
    )
    if not schemas:
        raise UnobservableError(
            "pg_stat_statements is not installed in the administrator's database",
            "'mngdb up' installs it on servers that it runs; elsewhere: CREATE EXTENSION",
        )
    schema = sql.SQL(schemas[0][0])  # regnamespace has quoted it where it must be
    ((since,),) = session.rows(sql.SQL(_SINCE).format(schema))
    found = []
    for row in session.rows(sql.SQL(_QUERY).format(schema), most):
        database, app, text, calls, total, mean, worst, rows, temporary = row
        why = (f"spilled {temporary * _BLOCK >> 20} MB to disk: more work_mem",) * (temporary > 0)
        one = Statement(database, app, hidden(text), calls, total, mean, worst, rows, why)
        found.append(_explained(one, text, apps.get(app)))
    return Slow(tuple(found), f"since {since} UTC")


def _explained(one: Statement, text: str, access: Access | None) -> Statement:
    if access is None or not one.database:
        return one
    at = replace(access, database=one.database)
    try:
        with client.open_connection(at, 5, one.database, admin=False) as connection:
            said, missing = plans.explain(connection, text, one.database)
    except ConnectError as error:
        said, missing = [f"no plan is to be had: {error.message}"], []
    return replace(one, why=(*said, *one.why), missing=tuple(missing))
