"""What of a database only a superuser may make, and its apps therefore cannot own.

A database is brought back by a login that is no superuser (`hands`). Foreign data wrappers, servers
and user mappings come before its content, and casts after it: the administrator makes those, and
nothing of an app's runs by that (`transfer`). The rest is left out.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from psycopg.sql import SQL

from mngdb.engines.postgres.client import Connection, execute, rows
from mngdb.errors import UsageError

#: So many of each are named.
_NAMED = 5
#: A cast is its types' owners' to make, unless it only says that two types have the same bytes.
_CASTS = """
SELECT c.oid::text FROM pg_cast c JOIN pg_type s ON s.oid = castsource
JOIN pg_type t ON t.oid = casttarget
WHERE c.oid >= 16384 AND (castmethod = 'b' OR NOT EXISTS (
  SELECT FROM pg_roles r WHERE NOT rolsuper AND r.oid IN (s.typowner, t.typowner)))
"""
#: With what depends on it; what an extension has comes with that.
_LEFT = """
WITH RECURSIVE made(class, id) AS (
  SELECT 'pg_language'::regclass::oid, oid FROM pg_language
  UNION ALL SELECT 'pg_am'::regclass, oid FROM pg_am
  UNION ALL SELECT 'pg_opclass'::regclass, oid FROM pg_opclass
  UNION ALL SELECT 'pg_opfamily'::regclass, oid FROM pg_opfamily
  UNION ALL SELECT 'pg_ts_parser'::regclass, oid FROM pg_ts_parser
  UNION ALL SELECT 'pg_ts_template'::regclass, oid FROM pg_ts_template
  UNION ALL SELECT 'pg_type'::regclass, oid FROM pg_type
    WHERE typtype = 'b' AND typinput <> 'array_in'::regproc
  UNION ALL SELECT 'pg_proc'::regclass, p.oid FROM pg_proc p JOIN pg_language l ON l.oid = prolang
    LEFT JOIN pg_aggregate ON aggfnoid = p.oid
    WHERE proleakproof OR aggtranstype = 'internal'::regtype
      OR (prokind <> 'a' AND NOT lanpltrusted)
), gone(class, id) AS (
  SELECT class, id FROM made WHERE id >= 16384 AND NOT EXISTS (
    SELECT FROM pg_depend WHERE classid = class AND objid = id AND deptype = 'e')
  UNION
  SELECT classid, objid FROM pg_depend JOIN gone ON refclassid = class AND refobjid = id
  WHERE deptype IN ('n', 'a', 'i')
)
SELECT (one).type, (one).identity,
  class IN ('pg_class'::regclass, 'pg_attrdef'::regclass, 'pg_constraint'::regclass,
            'pg_rewrite'::regclass, 'pg_trigger'::regclass, 'pg_policy'::regclass)
FROM (SELECT class, pg_identify_object(class, id, 0) AS one FROM gone) found ORDER BY 1, 2
"""
#: What comes with something else, and goes with it.
_WITHIN = frozenset({"operator of access method", "function of access method"})
_SUBSCRIPTIONS = """
SELECT subname::text FROM pg_subscription s JOIN pg_database d ON d.oid = subdbid
WHERE datname = current_database() ORDER BY 1
"""


class Apart(Struct, frozen=True):
    """What is not brought with the content. `casts`: their OIDs, in digits."""

    casts: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()


def subscriptions(inside: Connection) -> tuple[str, ...]:
    """A note, where a database has subscriptions: a second one would take the first one's place at
    the publisher. Raises UnobservableError."""
    names = [name for (name,) in rows(inside, _SUBSCRIPTIONS)]
    return (f"its subscriptions are not brought back: {_some(names)}",) if names else ()


def set_apart(inside: Connection) -> Apart:
    """Drop what is left out from a database of a server that is there for this alone. Raises
    UsageError where a table, a view or the like depends on it, UnobservableError, StepError."""
    casts = frozenset(oid for (oid,) in rows(inside, _CASTS))
    found = [one for one in rows(inside, _LEFT) if one[0] not in _WITHIN]
    needed = sorted(f"{kind} {name}" for kind, name, data in found if data)
    left = [(kind, name) for kind, name, data in found if not data]
    if needed:
        raise UsageError(
            f"only a superuser may create {_some([f'{k} {n}' for k, n in left])}, which "
            f"{_some(needed)} depends on: mngdb brings nothing back as a superuser, since code of "
            "apps runs then",
            "restore beside, without naming a part, and copy what you need with pg_dump and psql",
        )
    if not left:
        return Apart(casts)
    for kind, name in left:
        execute(inside, SQL("DROP {} IF EXISTS {} CASCADE").format(_plain(kind), _plain(name)))
    some = _some([f"{kind} {name}" for kind, name in left])
    return Apart(casts, (f"left out, as only a superuser may create it: {some}",))


def _plain(text: str) -> SQL:
    """What the server itself gave as part of a statement: a name that it has quoted."""
    return SQL(text)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if names[_NAMED:] else ""
    return ", ".join(names[:_NAMED]) + more
