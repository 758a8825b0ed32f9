"""What a table that is brought back has to do with others: the tables that its foreign keys lead
to, publications, large objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import LiteralString

from msgspec import Struct
from psycopg.sql import SQL, Composable, Composed, Identifier

from mngdb.engines.postgres.client import Connection, execute, rows

#: The table and its partitions, by its schema and name.
_FAMILY: LiteralString = """
WITH top AS (
  SELECT c.oid, relkind FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
  WHERE nspname = %s AND relname = %s
), family AS (
  SELECT relid::oid AS oid FROM top, pg_partition_tree(top.oid) WHERE relkind = 'p'
  UNION SELECT oid FROM top
)
"""
_PARENTS: LiteralString = """{0}
SELECT DISTINCT nspname::text, relname::text FROM pg_constraint k
JOIN pg_class c ON c.oid = confrelid JOIN pg_namespace n ON n.oid = relnamespace
WHERE contype = 'f' AND conrelid IN (SELECT oid FROM family)
  AND confrelid NOT IN (SELECT oid FROM family) ORDER BY 1, 2
"""
#: A superuser, and whoever does not own the table, needs nothing for it.
_FORCED = """
SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE nspname = %s AND relname = %s AND relrowsecurity AND relforcerowsecurity
  AND pg_has_role(relowner, 'USAGE') AND current_setting('is_superuser') = 'off'
"""
_PUBLISHED: LiteralString = """{0}
SELECT pubname::text, nspname::text, relname::text, {1}, {2}
FROM pg_publication_rel r JOIN pg_publication p ON p.oid = prpubid
JOIN pg_class c ON c.oid = prrelid JOIN pg_namespace n ON n.oid = relnamespace
WHERE prrelid IN (SELECT oid FROM family) ORDER BY 1, 2, 3
"""
#: Since version 15.
_FILTER: LiteralString = "pg_get_expr(prqual, prrelid)"
_COLUMNS: LiteralString = (
    "ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = prrelid "
    "AND attnum = ANY(prattrs) ORDER BY attnum)"
)
_OPEN = "SELECT pubname::text FROM pg_publication WHERE NOT puballtables"
#: Columns that may name large objects: of type oid, or of a domain over it, such as lo.
_NAMING = """
SELECT attname::text FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid
JOIN pg_namespace n ON n.oid = relnamespace JOIN pg_type t ON t.oid = atttypid
WHERE nspname = %s AND relname = %s AND attnum > 0 AND NOT attisdropped
  AND 'oid'::regtype IN (t.oid, t.typbasetype) ORDER BY attnum
"""
_NAMED: LiteralString = """
SELECT DISTINCT {0}::oid::int8 FROM {1} WHERE {0}::oid IN (SELECT oid FROM pg_largeobject_metadata)
"""
_GONE = """
SELECT count(*) FROM unnest(%s::int8[]) one
WHERE NOT EXISTS (SELECT FROM pg_largeobject_metadata WHERE oid::int8 = one)
"""


class Published(Struct, frozen=True):
    """A table in a publication that names it: of which rows and columns, where not of all."""

    publication: str
    schema: str
    table: str
    filter: str | None
    columns: list[str] | None

    @property
    def joins(self) -> Composed:
        """The statement that puts it there."""
        parts: list[Composable] = [
            SQL("ALTER PUBLICATION {} ADD TABLE ONLY {}").format(
                Identifier(self.publication), Identifier(self.schema, self.table)
            )
        ]
        if self.columns:
            parts.append(SQL("({})").format(SQL(", ").join(map(Identifier, self.columns))))
        if self.filter:
            parts.append(SQL("WHERE ({})").format(_plain(self.filter)))
        return SQL(" ").join(parts)


class Around(Struct, frozen=True):
    """`parents`: schemas and names of the tables that its foreign keys lead to."""

    parents: tuple[tuple[str, str], ...]
    published: tuple[Published, ...]
    notes: tuple[str, ...]


def look(inside: Connection, live: Connection, schema: str, table: str, *, copy: bool) -> Around:
    """See what a table of a restored server had to do with others, and what of that is in the live
    one still; a `copy` is in no publication. Raises UnobservableError."""
    query = _PARENTS.format(_FAMILY)
    parents = tuple((place, name) for place, name in rows(inside, query, schema, table))
    details = (_FILTER, _COLUMNS) if inside.info.server_version >= 150_000 else ("NULL", "NULL")
    query = _PUBLISHED.format(_FAMILY, *details)
    found = [] if copy else rows(inside, query, schema, table)
    every = [Published(*one) for one in found]
    there = {name for (name,) in rows(live, _OPEN)}
    published = tuple(one for one in every if one.publication in there)
    notes = []
    if published:
        notes.append(
            f"it is put back into its publications: {_names(published)}; subscribers see it after "
            "ALTER SUBSCRIPTION … REFRESH PUBLICATION"
        )
    if gone := [one for one in every if one.publication not in there]:
        notes.append(f"publications that it was in are gone or list no tables: {_names(gone)}")
    return Around(parents, published, (*notes, *_large_objects(inside, live, schema, table)))


def _names(published: Sequence[Published]) -> str:
    return ", ".join(sorted({one.publication for one in published}))


def _large_objects(inside: Connection, live: Connection, schema: str, table: str) -> list[str]:
    """Large objects that it names and that are gone from the live server."""
    found = []
    for (column,) in rows(inside, _NAMING, schema, table):
        text = SQL(_NAMED).format(Identifier(column), Identifier(schema, table))
        oids = [one for (one,) in rows(inside, text)]
        ((gone,),) = rows(live, _GONE, oids)
        if gone:
            found.append(
                f"{gone} of the large objects that its column {column} refers to are gone from the "
                "live server and do not come along: restore beside, and copy them with lo_export "
                "and lo_import"
            )
    return found


def unforce(connection: Connection, parents: Sequence[tuple[str, str]]) -> list[Composed]:
    """Let those of a transaction who own these tables see all of their rows, which a foreign key is
    compared with; returns what ends that. Raises StepError, UnobservableError."""
    forced = [Identifier(*one) for one in parents if rows(connection, _FORCED, *one)]
    change: LiteralString = "ALTER TABLE {} {} ROW LEVEL SECURITY"
    for one in forced:
        execute(connection, SQL(change).format(one, SQL("NO FORCE")))
    return [SQL(change).format(one, SQL("FORCE")) for one in forced]


def _plain(text: str) -> SQL:
    """What the server itself gave as part of a statement: an expression that it has written."""
    return SQL(text)
