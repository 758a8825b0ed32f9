"""Who waits for whom in PostgreSQL, and how a session is ended.

https://www.postgresql.org/docs/current/functions-info.html (pg_blocking_pids),
https://www.postgresql.org/docs/current/view-pg-locks.html
"""

from __future__ import annotations

import re
import time

from msgspec.structs import replace
from psycopg import sql

from mngdb.engines.postgres.client import Session, rows
from mngdb.errors import ConnectError, StepError, UnobservableError, UsageError
from mngdb.facts.locks import PREPARED, Backend

#: pg_blocking_pids takes the lock manager's own locks: it is asked for those that wait, no others.
_QUERY = """
WITH waiting AS MATERIALIZED (
  SELECT pid, pg_blocking_pids(pid) AS blockers FROM pg_stat_activity
  WHERE wait_event_type = 'Lock'
)
SELECT a.pid, coalesce(a.usename, ''), coalesce(a.datname, ''), coalesce(host(a.client_addr), ''),
       a.backend_type, coalesce(a.state, ''),
       extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, a.backend_start))::float8,
       extract(epoch FROM clock_timestamp() - l.waitstart)::float8,
       l.locktype, l.mode, l.relation::int8, d.datname, a.query, coalesce(w.blockers, '{}')
FROM pg_stat_activity a LEFT JOIN waiting w USING (pid)
     LEFT JOIN LATERAL (SELECT * FROM pg_locks p WHERE p.pid = a.pid AND NOT p.granted
                        ORDER BY p.waitstart LIMIT 1) l ON true
     LEFT JOIN pg_database d ON d.oid = l.database
WHERE w.pid IS NOT NULL OR a.pid IN (SELECT unnest(blockers) FROM waiting)
"""
#: pg_blocking_pids calls every prepared transaction 0. Which one it is, the locks tell: they belong
#: to no process, and one of them is on its own number.
_PREPARED = """
SELECT w.pid, p.transaction::text, p.gid, p.owner, p.database,
       extract(epoch FROM clock_timestamp() - p.prepared)::float8
FROM pg_prepared_xacts p
     JOIN pg_locks own ON own.pid IS NULL AND own.granted AND own.transactionid = p.transaction
     JOIN pg_locks g ON g.pid IS NULL AND g.granted
                        AND g.virtualtransaction = own.virtualtransaction
     JOIN pg_locks w ON NOT w.granted
     AND (g.locktype, g.database, g.relation, g.page, g.tuple, g.transactionid, g.classid, g.objid,
          g.objsubid)
     IS NOT DISTINCT FROM (w.locktype, w.database, w.relation, w.page, w.tuple, w.transactionid,
                           w.classid, w.objid, w.objsubid)
ORDER BY p.prepared
"""
_NAMES = "SELECT oid::int8, oid::regclass::text FROM pg_class WHERE oid = ANY(%s::oid[])"
#: A statement that sets a password has it in its text.
_PASSWORD = re.compile(r"(password\s+)(E?'(?:[^']|'')*'|\$(\w*)\$.*?\$\3\$)", re.IGNORECASE | re.S)
#: Sessions that are the server's own work, or a replica's or a backup's.
_PROTECTED = re.compile(
    r"autovacuum|walsender|logical replication|background|checkpointer|archiver"
)
#: Seconds in which a session that was told to stop has to be gone.
_PATIENCE = 5.0


def need_sight(session: Session) -> None:
    """Raises UnobservableError where others' sessions are not shown: it would look as if none were
    there."""
    ((shown,),) = session.rows("SELECT pg_has_role('pg_read_all_stats', 'USAGE')")
    if not shown:
        user = session.access.user
        raise UnobservableError(
            f"sessions of others are not shown to {user} (GRANT pg_monitor TO {user})"
        )


def look(session: Session) -> tuple[Backend, ...]:
    """Every session that waits for a lock or that another one waits for. Raises
    UnobservableError."""
    need_sight(session)
    seen = session.rows(_QUERY)
    names = _names(session, [(row[11], row[10]) for row in seen if row[10] and row[11]])
    found = []
    for row in seen:
        pid, app, database, client, kind, state, age, waiting, lock, mode, oid, where = row[:12]
        relation = names.get((where, oid), f"relation {oid}" if oid else "")
        wants = "" if lock is None else _words(lock, mode, relation)
        query, blockers = row[12:]
        found.append(
            Backend(
                pid,
                app,
                database,
                client,
                kind,
                state,
                age or 0.0,
                waiting if lock else None,
                wants,
                hidden(query or ""),
                tuple(dict.fromkeys(blockers)),
            )
        )
    if any(0 in one.blockers for one in found):
        return _with_prepared(session, found)
    return tuple(found)


def _with_prepared(session: Session, found: list[Backend]) -> tuple[Backend, ...]:
    """The same with the prepared transactions that sessions wait for."""
    numbers: dict[str, int] = {}
    made: list[Backend] = []
    holds: dict[int, list[int]] = {}
    for waiter, number, gid, owner, database, age in session.rows(_PREPARED):
        if number not in numbers:
            numbers[number] = -1 - len(numbers)
            text = (
                sql.SQL("PREPARE TRANSACTION {}").format(sql.Literal(gid)).as_string(session.main)
            )
            made.append(
                Backend(
                    *(numbers[number], owner, database, "", PREPARED, "prepared", age, None, ""),
                    *(text, ()),
                )
            )
        holds.setdefault(waiter, []).append(numbers[number])
    others = (
        replace(one, blockers=(*(b for b in one.blockers if b), *holds.get(one.pid, ())))
        for one in found
    )
    return (*others, *made)


def _names(session: Session, tables: list[tuple[str, int]]) -> dict[tuple[str, int], str]:
    """Database and oid to the table's name, which only that database knows."""
    found: dict[tuple[str, int], str] = {}
    for database in {database for database, _ in tables}:
        oids = [oid for where, oid in tables if where == database]
        try:
            with session.inside(database) as connection:
                found |= {(database, oid): name for oid, name in rows(connection, _NAMES, oids)}
        except (ConnectError, UnobservableError):
            continue  # who waits for whom is known all the same; a locked catalog tells no names
    return found


def hidden(query: str) -> str:
    """The statement in one line, without a password."""
    return _PASSWORD.sub(r"\1'…'", " ".join(query.split()))


def _words(lock: str, mode: str, relation: str) -> str:
    if lock == "transactionid":
        return "a row that the other transaction changed"
    if not relation:
        return f"{mode} ({lock})"
    return f"{mode.removesuffix('Lock')} on {relation}" + (f" ({lock})" * (lock != "relation"))


def end(session: Session, pid: int, *, terminate: bool, force: bool) -> str:
    """Cancel the statement of a session, or end the session. What was done, in words.

    Raises UsageError for a session that there is not, or that is not an app's, StepError when it
    goes on all the same.
    """
    row = _one(session, pid)
    if row is None:
        raise UsageError(f"no session has the pid {pid}", "'mngdb sessions' shows them")
    kind, state, app, started = row
    if _PROTECTED.search(kind) and not force:
        raise UsageError(
            f"{pid} is a {kind}: ending it disrupts replication, backups or vacuum",
            "--force ends it anyway",
        )
    if state.startswith("idle") and not terminate:
        why = ": its transaction is open and idle" if "transaction" in state else ""
        raise UsageError(
            f"{pid} ({app or kind}) runs no statement to cancel{why}",
            f"mngdb locks kill {pid} --terminate ends the session; its open work is rolled back",
        )
    function = "pg_terminate_backend" if terminate else "pg_cancel_backend"
    session.rows(sql.SQL("SELECT {}(%s)").format(sql.Identifier(function)), pid)
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        now = _one(session, pid)
        if now is None or now[3] != started or (not terminate and now[1] != "active"):
            done = "ended" if terminate else "its statement is cancelled"
            return f"{pid} ({app or kind}): {done}"
        time.sleep(0.05)
    raise StepError(
        f"{pid} was told to stop but is still running",
        "it may be in a call that cannot be interrupted"
        if terminate
        else f"mngdb locks kill {pid} --terminate",
    )


def _one(session: Session, pid: int) -> tuple[str, str, str, object] | None:
    found = session.rows(
        # the view has no answer when the lock table is full
        "SELECT backend_type, coalesce(state, ''), coalesce(pg_get_userbyid(usesysid), ''), "
        "(backend_start, query_start)::text FROM pg_stat_get_activity(%s) WHERE pid IS NOT NULL",
        pid,
    )
    if not found:
        return None
    kind, state, user, started = found[0]
    return kind, state, user, started
