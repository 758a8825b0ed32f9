"""A table in a restored server is made ready to be dumped under its new name.

The server is disposable, so that its own statements give the new names: to the table, and to all
that has a name of its own beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, LiteralString

from msgspec import Struct
from psycopg import sql

from mngdb.engines.postgres.client import Connection, execute, only_tables, rows
from mngdb.errors import UsageError
from mngdb.part import Part
from mngdb.spec.problems import did_you_mean

#: Bytes of a name, at most.
_LONGEST = 63
_FIND = """
SELECT c.oid::int8, relkind::text, ARRAY(
    SELECT inhparent::regclass::text FROM pg_inherits WHERE inhrelid = c.oid ORDER BY inhseqno),
  relispartition, EXISTS (SELECT FROM pg_inherits WHERE inhparent = c.oid)
FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE nspname = %s AND relname = %s
"""
_ELSEWHERE = """
SELECT DISTINCT nspname::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE relname = %s AND relkind IN ('r', 'p') ORDER BY 1
"""
_TABLES = """
SELECT nspname || '.' || relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE relkind IN ('r', 'p') AND nspname NOT IN ('pg_catalog', 'information_schema')
"""
#: The table and its partitions.
_FAMILY = "SELECT relid::oid::int8 FROM pg_partition_tree(%s::oid::regclass)"
_NAMES = """
SELECT nspname::text, relname::text FROM pg_class c
JOIN pg_namespace n ON n.oid = relnamespace WHERE c.oid = ANY(%s::oid[])
"""
#: Names of earlier copies.
_USED = """
SELECT nspname::text, relname::text FROM pg_class
  JOIN pg_namespace n ON n.oid = relnamespace WHERE strpos(relname, %(suffix)s) > 0
UNION ALL
SELECT nspname::text, stxname::text FROM pg_statistic_ext
  JOIN pg_namespace n ON n.oid = stxnamespace WHERE strpos(stxname, %(suffix)s) > 0
"""
#: What has a name beside theirs: how it is called in ALTER, its schema and its name.
_BESIDE = """
SELECT 'INDEX', nspname::text, relname::text FROM pg_index
  JOIN pg_class c ON c.oid = indexrelid JOIN pg_namespace n ON n.oid = relnamespace
  WHERE indrelid = ANY(%(family)s::oid[])
UNION ALL
SELECT 'SEQUENCE', nspname::text, relname::text FROM pg_depend d
  JOIN pg_class c ON c.oid = d.objid AND relkind = 'S' JOIN pg_namespace n ON n.oid = relnamespace
  WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
    AND refobjid = ANY(%(family)s::oid[]) AND deptype IN ('a', 'i')
UNION ALL
SELECT 'STATISTICS', nspname::text, stxname::text FROM pg_statistic_ext
  JOIN pg_namespace n ON n.oid = stxnamespace WHERE stxrelid = ANY(%(family)s::oid[])
"""
#: Foreign keys that lead out of the family, or with `inwards` into it.
_LEADING_OUT = """
SELECT conrelid::regclass::text, conname::text FROM pg_constraint
WHERE contype = 'f' AND conparentid = 0
  AND conrelid = ANY(%(family)s::oid[]) AND confrelid <> ALL(%(family)s::oid[])
"""
_NEEDING = """
SELECT conrelid::regclass::text || ' (foreign key)' FROM pg_constraint
WHERE contype = 'f' AND conparentid = 0
  AND confrelid = ANY(%(family)s::oid[]) AND conrelid <> ALL(%(family)s::oid[])
UNION
SELECT ev_class::regclass::text || ' (view)' FROM pg_depend d
JOIN pg_rewrite r ON r.oid = d.objid WHERE d.classid = 'pg_rewrite'::regclass
  AND refclassid = 'pg_class'::regclass AND refobjid = ANY(%(family)s::oid[])
  AND ev_class <> ALL(%(family)s::oid[])
ORDER BY 1
"""
_SIZE = "SELECT sum(pg_total_relation_size(one::regclass))::int8 FROM unnest(%s::oid[]) one"


class Table(Struct, frozen=True):
    """A table that is ready. `options` have pg_dump choose it."""

    options: tuple[str, ...]
    rows: int
    size: int
    notes: tuple[str, ...]


def name(part: Part, own: str, taken: Callable[[str], bool]) -> str:
    """What a part will be called that was called `own`. Raises UsageError where there is something
    called so already."""
    if not part.renamed and not taken(own):
        return own
    wanted = part.renamed or fitted(own, part.suffix)
    if len(wanted.encode()) > _LONGEST:
        raise UsageError(f"the name {wanted!r} has more than {_LONGEST} bytes")
    if taken(wanted):
        raise UsageError(f"the live server has {wanted} already", "choose another name: --as NAME")
    return wanted


def fitted(own: str, suffix: str) -> str:
    """A name with a suffix, cut so that it is no longer than names may be."""
    head = own.encode()[: _LONGEST - len(suffix.encode())].decode(errors="ignore")
    return head + suffix


def used(live: Connection, suffix: str) -> set[tuple[str, str]]:
    """Schemas and names that copies with this suffix have already."""
    query: LiteralString = _USED.replace("%(suffix)s", "{0}")
    return set(rows(live, _said(query, sql.Literal(suffix))))


def find(
    inside: Connection,
    schema: str,
    own: str,
    wanted: str,
    suffix: str,
    used: set[tuple[str, str]],
) -> Table:
    """Look for a table, and make it ready to be called `wanted`, with nothing beside it that has
    one of the names `used`. Raises UsageError where there is none, StepError."""
    found = rows(inside, _FIND, schema, own)
    if not found or found[0][1] not in {"r", "p"}:
        raise UsageError(*_missing(inside, schema, own, bool(found)))
    ((oid, kind, parents, partition, has_children),) = found
    notes = []
    table = sql.Identifier(schema, own)
    for parent in parents:  # it would be attached to the live one
        leave = "ALTER TABLE {1} DETACH PARTITION {0}" if partition else _LEAVE
        execute(inside, _said(leave, table, _plain(parent)))
        notes.append(f"it is no {'partition' if partition else 'child'} of {parent} any more")
    if has_children and kind == "r":
        notes.append("tables that inherit from it are not brought along")
    family = [one for (one,) in rows(inside, _FAMILY, oid)] if kind == "p" else [oid]
    only_tables(inside)
    count = sql.SQL("SELECT count(*) FROM {}{}").format(
        sql.SQL("ONLY " if kind == "r" else ""), table
    )
    ((number,),) = rows(inside, count)
    ((size,),) = rows(inside, _SIZE, family)
    options: list[str] = []
    if wanted != own:
        notes += _set_apart(inside, family, suffix, (schema, own), wanted, used)
        options.append("--no-publications")
    else:
        needing = [one for (one,) in _of(inside, _NEEDING, family)]
        if needing:
            notes.append(f"what needs it is not brought back with it: {', '.join(needing)}")
    for place, one in rows(inside, _NAMES, family):
        options += ["--table", f"{quoted(place)}.{quoted(one)}"]
    return Table(tuple(options), number, size, tuple(notes))


_LEAVE: LiteralString = "ALTER TABLE {0} NO INHERIT {1}"


def _set_apart(
    inside: Connection,
    family: Sequence[int],
    suffix: str,
    own: tuple[str, str],
    wanted: str,
    used: set[tuple[str, str]],
) -> list[str]:
    """Give it, its partitions and all that has a name beside them new ones. A foreign key would
    change the live table that it leads to."""
    keys = _of(inside, _LEADING_OUT, family)
    for table, key in keys:
        drop = _said("ALTER TABLE {0} DROP CONSTRAINT {1}", _plain(table), sql.Identifier(key))
        execute(inside, drop)
    every: list[tuple[str, str, str]] = [
        *_of(inside, _BESIDE, family),
        *(("TABLE", place, one) for place, one in rows(inside, _NAMES, family)),
    ]
    for kind, place, one in every:
        new = wanted if (place, one) == own else fitted(one, suffix)
        number = 1
        while (place, new) in used:
            number += 1
            new = fitted(one, f"{suffix}_{number}")
        used.add((place, new))
        rename: LiteralString = "ALTER {0} {1} RENAME TO {2}"
        execute(
            inside, _said(rename, _plain(kind), sql.Identifier(place, one), sql.Identifier(new))
        )
    return [f"without its foreign keys: {', '.join(key for _, key in keys)}"] if keys else []


def _missing(inside: Connection, schema: str, own: str, other: bool) -> tuple[str, str | None]:
    if other:
        return f"{schema}.{own} is not a table", "restore beside, and copy what you need"
    places = [one for (one,) in rows(inside, _ELSEWHERE, own)]
    if places:
        hint = f"schemas that had one of this name: {', '.join(places)}"
        return f"there was no table {schema}.{own} at that moment", hint
    name = f"{schema}.{own}"
    near = did_you_mean(name, [one for (one,) in rows(inside, _TABLES)])
    return f"there was no table {name} at that moment{near}", None


def _of(inside: Connection, query: LiteralString, family: Sequence[int]) -> list[tuple[Any, ...]]:
    """The rows of a query about the family."""
    return rows(inside, _said(query.replace("%(family)s", "{0}"), sql.Literal(list(family))))


def _said(text: LiteralString, *words: sql.Composable) -> sql.Composed:
    return sql.SQL(text).format(*words)


def _plain(text: str) -> sql.Composable:
    """What the server itself gave as part of a statement: a name that it has quoted."""
    return sql.SQL(text)


def quoted(one: str) -> str:
    """A name as SQL and pg_dump take it, whatever is in it."""
    doubled = one.replace('"', '""')
    return f'"{doubled}"'
