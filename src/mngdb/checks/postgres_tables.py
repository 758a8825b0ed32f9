"""Tables, indexes and sequences of a PostgreSQL server that are not as they should be."""

from __future__ import annotations

from mngdb.checks.catalogue import checks
from mngdb.checks.postgres_inside import nowhere
from mngdb.facts.postgres import PostgresFacts
from mngdb.findings import Check

CHECKS: tuple[Check[PostgresFacts], ...] = checks(
    __file__,
    {
        "postgres.index-valid": nowhere("indexes_invalid", "none is left half built"),
        "postgres.index-twice": nowhere("indexes_twice", "no two are alike"),
        "postgres.constraint-valid": nowhere("constraints_unchecked", "none is NOT VALID"),
        "postgres.sequence-room": nowhere(
            "sequences_full", "at most 80 % used, the column's type counted"
        ),
        "postgres.table-logged": nowhere("unlogged", "no unlogged table"),
        "postgres.table-autovacuum": nowhere("vacuum_off", "none has it turned off"),
        "postgres.table-dead-rows": nowhere(
            "dead_rows", "none with more than half as many dead rows as live ones"
        ),
        "postgres.table-analyzed": nowhere(
            "never_analyzed", "every one above 10000 rows was analyzed"
        ),
    },
)
