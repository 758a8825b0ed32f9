"""Foreign keys without an index: each row that is deleted from the table they point to has the
server read the whole table that they are in.

https://www.postgresql.org/docs/current/ddl-constraints.html#DDL-CONSTRAINTS-FK
"""

from __future__ import annotations

from typing import Any, NamedTuple

import psycopg

#: Reading fewer rows than this one by one is as fast.
_FEW = 1000
#: All names are qualified: it is asked in sessions of apps, too. An index serves whose first
#: columns are those of the key, in any order; one without the rows that have no key serves as well.
_UNSERVED = """
SELECT /* mngdb */ k.conname, pg_catalog.format('%%I.%%I', n.nspname, t.relname),
       c.names, t.reltuples,
       pg_catalog.format('%%I.%%I', rn.nspname, r.relname)
FROM pg_catalog.pg_constraint k
JOIN pg_catalog.pg_class t ON t.oid OPERATOR(pg_catalog.=) k.conrelid
JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) t.relnamespace
JOIN pg_catalog.pg_class r ON r.oid OPERATOR(pg_catalog.=) k.confrelid
JOIN pg_catalog.pg_namespace rn ON rn.oid OPERATOR(pg_catalog.=) r.relnamespace
CROSS JOIN LATERAL (
  SELECT pg_catalog.array_agg(a.attname::pg_catalog.text ORDER BY p.at) AS names
  FROM pg_catalog.unnest(k.conkey) WITH ORDINALITY p (number, at)
  JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) k.conrelid
    AND a.attnum OPERATOR(pg_catalog.=) p.number
) c
WHERE k.contype OPERATOR(pg_catalog.=) 'f' AND k.conparentid OPERATOR(pg_catalog.=) 0
  AND t.reltuples OPERATOR(pg_catalog.>=) %s
  AND (%s::pg_catalog.text IS NULL
       OR pg_catalog.format('%%I.%%I', rn.nspname, r.relname) OPERATOR(pg_catalog.=) %s)
  AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_index x
    JOIN pg_catalog.pg_class i ON i.oid OPERATOR(pg_catalog.=) x.indexrelid
    JOIN pg_catalog.pg_am m ON m.oid OPERATOR(pg_catalog.=) i.relam
    WHERE x.indrelid OPERATOR(pg_catalog.=) k.conrelid AND x.indisvalid
      AND (m.amname OPERATOR(pg_catalog.=) 'btree' OR m.amname OPERATOR(pg_catalog.=) 'hash')
      AND (x.indpred IS NULL OR pg_catalog.pg_get_expr(x.indpred, x.indrelid)
           OPERATOR(pg_catalog.=) pg_catalog.format('(%%I IS NOT NULL)', c.names[1]))
      AND (x.indkey::pg_catalog.int2[])[0:pg_catalog.cardinality(k.conkey)
             OPERATOR(pg_catalog.-) 1] OPERATOR(pg_catalog.@>) k.conkey)
ORDER BY t.reltuples DESC, 1
"""


class ForeignKey(NamedTuple):
    """A key without an index. `table` and `target`, to which it points, are quoted where they must
    be."""

    name: str
    table: str
    columns: list[str]
    rows: float
    target: str


def unserved(connection: psycopg.Connection[Any], target: str | None = None) -> list[ForeignKey]:
    """Those of tables with many rows, the largest first; `target`: those that point to it. Raises
    psycopg.Error."""
    found = connection.execute(_UNSERVED, [_FEW, target, target]).fetchall()
    return [ForeignKey(*row) for row in found]
