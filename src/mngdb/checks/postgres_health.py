"""How a PostgreSQL server fares right now."""

from __future__ import annotations

from mngdb.checks import patch_level
from mngdb.checks.postgres_door import exposure
from mngdb.checks.postgres_settings import text
from mngdb.facts.postgres import PostgresFacts
from mngdb.findings import Check, Judgement, judged, listed
from mngdb.words import many

#: Halfway to the 2^31 ids after which the server stops taking writes.
_HALF = 1 << 30
_OLD = 10_000_000


def _version(facts: PostgresFacts) -> Judgement:
    found = text(facts, "server_version").split()[0]
    return patch_level.judge("PostgreSQL", found, facts.version, exposure(facts))


def _wraparound(facts: PostgresFacts) -> Judgement:
    ages = {one.name: max(one.xid_age, one.multixact_age) for one in facts.bases.value}
    oldest = max(ages, key=lambda name: ages[name])
    share = ages[oldest] / (1 << 31)
    return judged(ages[oldest] < _HALF, f"{oldest} has used {share:.0%} of the ids there are")


def _horizon(facts: PostgresFacts) -> Judgement:
    age = facts.activity.value["horizon"]
    return judged(age < _OLD, f"the oldest snapshot is {age} transactions old")


def _collations(facts: PostgresFacts) -> Judgement:
    bad = [
        f"{one.name}: {one.collation_mismatch}"
        for one in facts.bases.value
        if one.collation_mismatch
    ]
    return listed(bad, "every database sorts as when its indexes were built")


def _rotten(facts: PostgresFacts) -> Judgement:
    bad = [f"{b.name}: {b.checksum_failures}" for b in facts.bases.value if b.checksum_failures]
    return listed(bad, "no page failed")


def _deadlocks(facts: PostgresFacts) -> Judgement:
    bad = []
    for one in facts.bases.value:
        a_day = one.deadlocks / max(1.0, one.days)
        if a_day > 1:
            days = max(1, round(one.days))
            bad.append(f"{one.name}: {one.deadlocks} in {many(days, 'day')}")
    return listed(bad, "at most one a day")


def _connections(facts: PostgresFacts) -> Judgement:
    found, limit = facts.activity.value["clients"], int(text(facts, "max_connections"))
    return judged(found <= 0.8 * limit, f"{found} of {limit}")


def _idle(facts: PostgresFacts) -> Judgement:
    found, limit = facts.activity.value["idle_in_transaction"], int(text(facts, "max_connections"))
    return judged(found <= 0.1 * limit, f"{found} of {limit} connections")


def _checkpoints(facts: PostgresFacts) -> Judgement:
    timed, asked = facts.checkpoints.value
    # the first ones come from the first hours' imports
    words = f"{timed} by time, {asked} by the amount of log or by command"
    return judged(asked <= max(timed, 10), words)


_MONITORING = "postgresql.org: The Cumulative Statistics System"
_VACUUM = "postgresql.org: Routine Vacuuming"

CHECKS: tuple[Check[PostgresFacts], ...] = (
    Check(
        "postgres.version",
        "its version is the file's, still gets fixes, and has no known security hole",
        "critical",
        _version,
        patch_level.EXPECTED,
        f"{patch_level.REMEDY}; a new major version is a new server and a dump",
        ("A1", "postgresql.org: Versioning Policy", "postgresql.org: Security", "pgdsat 1.5"),
    ),
    Check(
        "postgres.wraparound",
        "transaction ids are far from running out",
        "critical",
        _wraparound,
        "less than half of the ids used",
        "VACUUM (FREEZE) in that database; first end what holds it back",
        (_VACUUM,),
    ),
    Check(
        "postgres.vacuum-horizon",
        "nothing keeps vacuum from clearing away",
        "high",
        _horizon,
        f"no session, slot or prepared transaction older than {_OLD} transactions",
        "end the session, drop the slot, ROLLBACK PREPARED",
        (_VACUUM,),
    ),
    Check(
        "postgres.prepared",
        "no prepared transaction was forgotten",
        "high",
        lambda facts: listed(facts.prepared.value, "none older than 10 minutes"),
        "none older than 10 minutes or 1000000 transactions",
        "COMMIT PREPARED or ROLLBACK PREPARED, in its database",
        ("postgresql.org: PREPARE TRANSACTION",),
    ),
    Check(
        "postgres.slots",
        "every replication slot is in use",
        "high",
        lambda facts: listed(facts.slots.value, "none without a reader"),
        "no slot that keeps log for nobody",
        "start its reader, or SELECT pg_drop_replication_slot(NAME)",
        ("A10", "postgresql.org: Replication Slots"),
    ),
    Check(
        "postgres.collation-version",
        "indexes of text are in the order that the system now sorts by",
        "high",
        _collations,
        "the recorded version of the collation is the actual one",
        "REINDEX DATABASE NAME, then ALTER DATABASE NAME REFRESH COLLATION VERSION",
        ("postgresql.org: ALTER DATABASE",),
    ),
    Check(
        "postgres.checksum-failures",
        "no page failed its checksum",
        "critical",
        _rotten,
        "0",
        "restore from a backup; test the disk and the memory",
        ("A10", "postgresql.org: Data Checksums"),
    ),
    Check(
        "postgres.deadlocks",
        "deadlocks are rare",
        "low",
        _deadlocks,
        "at most one a day in each database",
        "the log names both statements; apps must lock in the same order",
        ("A12", _MONITORING),
    ),
    Check(
        "postgres.connections",
        "there is room for more connections",
        "high",
        _connections,
        "at most 80 % of max_connections in use",
        "postgres: {max_connections: …}, or smaller pools; pg_stat_activity shows who",
        ("B11", _MONITORING),
    ),
    Check(
        "postgres.idle-transactions",
        "connections do not idle inside transactions",
        "medium",
        _idle,
        "at most 10 % of max_connections",
        "apps that commit; apps: {APP: {postgres: {idle_in_transaction_timeout: 1m}}}",
        ("A12", _MONITORING),
    ),
    Check(
        "postgres.checkpoints",
        "checkpoints come by the clock",
        "low",
        _checkpoints,
        "no more by the amount of log than by time, the first 10 apart",
        "a larger max_wal_size: postgres: {settings: {max_wal_size: 8GB}}",
        ("postgresql.org: WAL Configuration",),
    ),
)
