"""Tables, indexes and sequences of a PostgreSQL server that are not as they should be."""

from __future__ import annotations

from mngdb.checks.postgres_inside import nowhere
from mngdb.facts.postgres import PostgresFacts
from mngdb.findings import Check

_VACUUM = "postgresql.org: Routine Vacuuming"

CHECKS: tuple[Check[PostgresFacts], ...] = (
    Check(
        "postgres.index-valid",
        "every index is used and kept",
        "high",
        nowhere("indexes_invalid", "none is left half built"),
        "no invalid index: it costs every write and helps no read",
        "REINDEX INDEX CONCURRENTLY NAME, or DROP INDEX NAME",
        ("postgresql.org: CREATE INDEX",),
    ),
    Check(
        "postgres.index-twice",
        "no index is there twice",
        "low",
        nowhere("indexes_twice", "no two are alike"),
        "no two indexes with the same columns and options",
        "DROP INDEX CONCURRENTLY NAME, of one of them",
        ("B10", "postgresql.org: Indexes"),
    ),
    Check(
        "postgres.constraint-valid",
        "every constraint holds for all rows",
        "low",
        nowhere("constraints_unchecked", "none is NOT VALID"),
        "no constraint that old rows were never checked against",
        "ALTER TABLE NAME VALIDATE CONSTRAINT NAME",
        ("postgresql.org: ALTER TABLE",),
    ),
    Check(
        "postgres.sequence-room",
        "no sequence is about to run out",
        "high",
        nowhere("sequences_full", "at most 80 % used, the column's type counted"),
        "at most 80 % of what sequence and column can hold",
        "ALTER TABLE NAME ALTER COLUMN id TYPE bigint",
        ("postgresql.org: CREATE SEQUENCE",),
    ),
    Check(
        "postgres.table-logged",
        "no table is emptied by a crash",
        "medium",
        nowhere("unlogged", "no unlogged table"),
        "no UNLOGGED table: a crash empties it, a replica has none of it",
        "ALTER TABLE NAME SET LOGGED",
        ("A10", "postgresql.org: CREATE TABLE"),
    ),
    Check(
        "postgres.table-autovacuum",
        "no table is left out by autovacuum",
        "medium",
        nowhere("vacuum_off", "none has it turned off"),
        "no table with autovacuum_enabled = false",
        "ALTER TABLE NAME RESET (autovacuum_enabled)",
        (_VACUUM,),
    ),
    Check(
        "postgres.table-dead-rows",
        "vacuum keeps up with every table",
        "medium",
        nowhere("dead_rows", "none with more than half as many dead rows as live ones"),
        "dead rows at most half of the live ones, above 10000",
        "VACUUM NAME; what holds it back shows in vacuum-horizon",
        (_VACUUM,),
    ),
    Check(
        "postgres.table-analyzed",
        "the planner knows every larger table",
        "low",
        nowhere("never_analyzed", "every one above 10000 rows was analyzed"),
        "no table above 10000 rows that was never analyzed",
        "ANALYZE NAME",
        (_VACUUM,),
    ),
)
