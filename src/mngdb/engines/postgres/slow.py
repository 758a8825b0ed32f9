"""What takes PostgreSQL's time: pg_stat_statements, and what it had counted before.

https://www.postgresql.org/docs/current/pgstatstatements.html
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from msgspec.structs import replace
from psycopg import sql

from mngdb.engines.postgres import client, plans, statements
from mngdb.engines.postgres.access import login
from mngdb.engines.postgres.client import Session
from mngdb.errors import ConnectError
from mngdb.facts.slow import Count, Slow, Snapshot, Span, Statement
from mngdb.model import Access, DesiredInstance
from mngdb.spec.agent import MONITOR
from mngdb.words import many

#: So many are explained: each takes a connection of its app.
_EXPLAINED = 20

#: What we ask as the apps, for plans, is left out. A statement that was
#: counted anew since the snapshot is known whole.
_QUERY = """
WITH base AS (
  SELECT * FROM unnest(%s::oid[], %s::oid[], %s::int8[], %s::bool[], %s::int8[], %s::float8[],
                       %s::int8[], %s::int8[])
    AS b(userid, dbid, queryid, toplevel, calls, total, rows, temporary)
), part AS (
  SELECT s.userid, s.dbid, s.query, s.calls - coalesce(b.calls, 0) AS calls,
         s.total_exec_time - coalesce(b.total, 0) AS total,
         CASE WHEN b.calls IS NULL THEN s.max_exec_time END AS worst,
         s.rows - coalesce(b.rows, 0) AS rows,
         s.temp_blks_written - coalesce(b.temporary, 0) AS temporary
  FROM {schema}.pg_stat_statements s LEFT JOIN base b
    ON (b.userid, b.dbid, b.queryid, b.toplevel) = (s.userid, s.dbid, s.queryid, s.toplevel)
    AND b.calls <= s.calls AND b.total <= s.total_exec_time {since}
)
SELECT coalesce(d.datname, ''), coalesce(r.rolname, ''), p.query, sum(p.calls)::int8,
       sum(p.total)::float8, sum(p.total)::float8 / sum(p.calls),
       CASE WHEN count(*) = count(p.worst) THEN max(p.worst)::float8 END,
       sum(p.rows)::float8 / sum(p.calls), sum(p.temporary)::int8
FROM part p LEFT JOIN pg_roles r ON r.oid = p.userid LEFT JOIN pg_database d ON d.oid = p.dbid
WHERE p.calls > 0 AND (p.userid <> current_user::regrole{own})
  AND r.rolname IS DISTINCT FROM {monitor}
  AND position({mark} IN left(p.query, 24)) = 0
GROUP BY 1, 2, 3 ORDER BY 5 DESC LIMIT %s
"""
#: What reading metrics costs is ours.
_OF_MONITOR = """
SELECT count(*) FROM {schema}.pg_stat_statements s JOIN pg_roles r ON r.oid = s.userid
WHERE r.rolname = %s
"""
#: Where the file names no app, they may all come as the login that we ask as. What looks at the
#: server itself is ours, or that of somebody like us.
_OWN = " OR p.query !~* '(^|[^a-z0-9_])pg_|^(begin|commit|rollback|set|show) '"
_BLOCK = 8192
#: Parts of a statement in which a quote is no value: names, comments; then the values.
_PARTS = re.compile(
    r"""("(?:[^"]|"")*"|--[^\n]*|/\*.*?\*/)|\b[eE]'(?:[^'\\]|''|\\.)*'|'(?:[^']|'')*'"""
    r"""|\$(\w*)\$.*?\$\2\$""",
    re.S,
)


def look(session: Session, asked: DesiredInstance, span: Span) -> Slow:
    """The most expensive statements. Plans are asked for as their apps; a span that begins later
    than the server's sums needs what was kept of these."""
    apps = {app: login(asked, session.access, app) for app in asked.instance.grants}
    place = statements.place(session)
    now = statements.now(session, place)
    base, note = _base(now, span)
    rule = sql.Composed([])
    if base is not None and place.since_each:
        rule = sql.SQL("AND s.stats_since <= to_timestamp({})").format(sql.Literal(base.at))
    own = sql.Composed([]) if apps else sql.SQL(_OWN)
    query = sql.SQL(_QUERY).format(
        schema=place.schema,
        since=rule,
        own=own,
        mark=sql.Literal(plans.MARK),
        monitor=sql.Literal(MONITOR),
    )
    asked_by_us = sql.SQL(_OF_MONITOR).format(schema=place.schema)
    ((left_out,),) = session.rows(asked_by_us, MONITOR)
    if left_out:
        note += f"; left out: {many(left_out, 'statement')} of the login {MONITOR}"
    counts = base.counts if base else ()
    columns = ([one[n] for one in counts] for n in range(len(Count._fields)))
    found = []
    for number, row in enumerate(session.rows(query, *columns, span.most)):
        database, app, text, calls, total, mean, worst, rows, temporary = row
        why = (f"spilled {temporary * _BLOCK >> 20} MB to disk: more work_mem",) * (temporary > 0)
        shown = without_values(text)
        one = Statement(database, app, shown, calls, total, mean, worst, rows, why)
        access = apps.get(app) if number < _EXPLAINED else None
        found.append(_explained(one, text, access))
    return Slow(tuple(found), note)


def _base(now: Snapshot, span: Span) -> tuple[Snapshot | None, str]:
    """What to take away from the sums, and the sentence that says since when the rest is."""
    if span.since is None:
        return None, f"since {_clock(now.reset)}"
    wanted = now.at - span.since
    if now.reset >= wanted:
        return None, f"since {_clock(now.reset)}, when the server's statistics were reset"
    found, reason = span.before(wanted)
    if found is None:
        return None, f"since {_clock(now.reset)}, not since {_clock(wanted)}: {reason}"
    if found.reset != now.reset:
        return None, f"since {_clock(now.reset)}, when the server's statistics were reset"
    notes = [f"since {_clock(found.at)}"]
    if found.least_ms:
        few = f"beyond the {len(found.counts):,} most expensive at that time"
        notes.append(f"statements {few} show up to {found.least_ms:,.0f} ms too high")
    if now.dropped > found.dropped:
        notes.append("the server has dropped statements that were rare (pg_stat_statements.max)")
    return found, "; ".join(notes)


def _clock(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M:%S} UTC"


def without_values(text: str) -> str:
    """The statement in one line, without constants: those of CREATE, ALTER, SET and the like stay
    in pg_stat_statements, which replaces them by $1 in the others."""
    return " ".join(_PARTS.sub(lambda found: found[1] or "'…'", text).split())


def _explained(one: Statement, text: str, access: Access | None) -> Statement:
    if access is None or not one.database:
        return one
    at = replace(access, database=one.database)
    try:
        with client.as_app(at, 5, one.database) as connection:
            said, missing = plans.explain(connection, text, one.database)
    except ConnectError as error:
        said, missing = [f"no plan available: {error.message}"], []
    return replace(one, why=(*said, *one.why), missing=tuple(missing))
