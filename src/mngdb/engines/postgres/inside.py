"""What is true inside one database: extensions, objects' owners, rights, default privileges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import sql

from mngdb.data import text
from mngdb.engines.postgres import client, system_rights
from mngdb.engines.postgres.facts import Inside

#: An owner puts what he likes into an extension of his (ALTER EXTENSION … ADD): what extensions
#: brought is a superuser's.
#: One row per count: they stay few however many tables there are. A privilege that its holder may
#: pass on ends in `*`.
_QUERY = text(__file__, "inside.sql")
#: Functions of PostgreSQL and of its extensions that run SQL which they are given as text.
_RUN_SQL = (
    *(f"{what}_to_xml{end}" for what in ("query", "cursor", "table", "schema", "database")
      for end in ("", "schema", "_and_xmlschema")),
    *("ts_stat", "ts_rewrite", "xpath_table", "connectby"),
    *("crosstab", "crosstab2", "crosstab3", "crosstab4"),
    *("dblink", "dblink_exec", "dblink_open", "dblink_send_query", "dblink_connect"),
)  # fmt: skip
_KINDS = {"r": "table", "S": "sequence", "n": "schema"}


def look(connection: Any, grantees: Sequence[str], owner: str = "") -> Inside:
    """Everything in two round trips. `owner` is the app whose database the file says it is, if
    any. An object without an ACL gives nothing to others; a privilege that may be passed on is
    told of everybody."""
    extensions, totals, owners, refused, code = set(), {}, {}, {}, {}
    granted, defaults = {}, set()
    query = sql.SQL(_QUERY).format()
    for what, first, grantee, privilege, more, count in client.rows(
        connection, query, list(grantees), list(_RUN_SQL), owner
    ):
        if what == "extension":
            extensions.add(first)
        elif what == "total":
            totals[first] = count
        elif what == "owner":
            owners[first] = count
        elif what == "code":
            code[first, grantee] = count
        elif what == "refused":
            refused[first] = count
        elif what == "granted":
            granted[first, grantee, privilege] = count
        else:
            defaults.add((first, more[1:], _KINDS[more[0]], grantee, privilege))
    return Inside(
        extensions=frozenset(extensions),
        totals=totals,
        granted=granted,
        defaults=frozenset(defaults),
        owners=owners,
        system=system_rights.look(connection),
        code=code,
        refused=refused,
    )
