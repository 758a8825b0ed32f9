"""Tables, indexes and sequences of a PostgreSQL server that are not as they should be."""

from __future__ import annotations

from mngdb.checks.catalogue import checks
from mngdb.checks.postgres.inside import nowhere
from mngdb.facts.postgres import PostgresFacts
from mngdb.findings import Check

CHECKS: tuple[Check[PostgresFacts], ...] = checks(
    __file__,
    {
        "postgres.index-valid": nowhere("indexes_invalid", "none is invalid"),
        "postgres.index-twice": nowhere("indexes_twice", "no duplicates"),
        "postgres.constraint-valid": nowhere("constraints_unchecked", "none is NOT VALID"),
        "postgres.sequence-room": nowhere(
            "sequences_full", "at most 80 % used, the column's type counted"
        ),
        "postgres.table-logged": nowhere("unlogged", "no unlogged table"),
        "postgres.table-autovacuum": nowhere("vacuum_off", "enabled for every table"),
        "postgres.table-dead-rows": nowhere(
            "dead_rows", "dead rows are at most half of the live rows"
        ),
        "postgres.table-analyzed": nowhere(
            "never_analyzed", "every table above 10000 rows was analyzed"
        ),
    },
)
