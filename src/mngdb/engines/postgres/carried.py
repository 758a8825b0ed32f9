"""Settings of a database, a login, or a login in a database, that keep an app from its work."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg.sql import Identifier

from mngdb.engines.postgres.client import connect
from mngdb.errors import ConnectError, UnobservableError
from mngdb.model import Access

#: What a session of the app begins with, the winning setting first.
_CARRIED = """
SELECT r.rolname, d.datname, split_part(one, '=', 1), substr(one, strpos(one, '=') + 1)
FROM pg_db_role_setting s LEFT JOIN pg_database d ON d.oid = s.setdatabase
     LEFT JOIN pg_roles r ON r.oid = s.setrole, unnest(s.setconfig) one
WHERE (s.setdatabase = 0 OR d.datname = current_database())
  AND (s.setrole = 0 OR r.rolname = session_user) AND split_part(one, '=', 1) = ANY(%s)
ORDER BY s.setrole = 0, s.setdatabase = 0 LIMIT 1
"""
_PATIENCE = 5.0
#: What the server says when a setting ended a statement or a session, and which one.
_BY_STATE = {
    "57014": "statement_timeout",
    "55P03": "lock_timeout",
    "25P04": "transaction_timeout",
    "25006": "default_transaction_read_only",
}
LIBRARIES = ("local_preload_libraries", "session_preload_libraries")


def named_by(state: str | None) -> tuple[str, ...]:
    """The setting that may be behind an error's SQLSTATE."""
    return (_BY_STATE[state],) if state in _BY_STATE else ()


def culprit(access: Access, names: Sequence[str]) -> tuple[str, str] | None:
    """The one of these settings that a session of this login begins with, for people, and the
    statement that takes it away; None: its database and its login carry none of them."""
    if not names:
        return None
    try:
        # begins with settings of our own, which win over it
        with connect(access, _PATIENCE) as found:
            rows = found.rows(_CARRIED, list(names))
    except (ConnectError, UnobservableError):
        return None
    if not rows:
        return None
    role, database, name, value = rows[0]
    words = [f"ROLE {_quoted(role)}"] if role else []
    words += [f"DATABASE {_quoted(database)}"] if database else []
    place = " IN ".join(words) or "ROLE ALL"
    what = [f"the login {role}"] if role else []
    what += [f"the database {database}"] if database else []
    whose = " in ".join(what) or "every login"
    return f"{whose} has the setting {name} = '{value}'", f"ALTER {place} RESET {name}"


def _quoted(name: str) -> str:
    return Identifier(name).as_string(None)
