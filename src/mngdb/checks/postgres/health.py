"""How a PostgreSQL server fares right now."""

from __future__ import annotations

from msgspec.structs import replace

from mngdb.checks import patch_level
from mngdb.checks.catalogue import checks
from mngdb.checks.postgres.network import exposure
from mngdb.checks.postgres.settings import text
from mngdb.facts.postgres import PostgresFacts
from mngdb.findings import Check, Judgement, judged, listed
from mngdb.words import many

#: Halfway to the 2^31 ids after which the server stops taking writes.
_HALF = 1 << 30
_OLD = 10_000_000
#: What reads mngdb's own slot again.
_OURS = (
    "'mngdb up' starts the agent, which reads {slot}; do not drop it: it keeps what is not stored "
    "yet"
)
_OTHERS = "of the others: start the consumer, or SELECT pg_drop_replication_slot(NAME)"


def _version(facts: PostgresFacts) -> Judgement:
    found = text(facts, "server_version").split()[0]
    return patch_level.judge("PostgreSQL", found, facts.version, exposure(facts))


def _wraparound(facts: PostgresFacts) -> Judgement:
    ages = {one.name: max(one.xid_age, one.multixact_age) for one in facts.bases.value}
    oldest = max(ages, key=lambda name: ages[name])
    share = ages[oldest] / (1 << 31)
    return judged(ages[oldest] < _HALF, f"{oldest}: {share:.0%} of the IDs used")


def _horizon(facts: PostgresFacts) -> Judgement:
    age = facts.activity.value["horizon"]
    return judged(age < _OLD, f"oldest snapshot: {age} transactions")


def _slots(facts: PostgresFacts) -> Judgement:
    found = facts.slots.value
    ours = [one for one in found if one.partition(" (")[0] == facts.archive]
    judgement = listed(found, "all active")
    if not ours:
        return judgement
    remedies = [_OURS.format(slot=facts.archive), *[_OTHERS] * (len(found) > len(ours))]
    return replace(judgement, remedy="; ".join(remedies))


def _collations(facts: PostgresFacts) -> Judgement:
    bad = [
        f"{one.name}: {one.collation_mismatch}"
        for one in facts.bases.value
        if one.collation_mismatch
    ]
    return listed(bad, "all databases match")


def _rotten(facts: PostgresFacts) -> Judgement:
    bad = [f"{b.name}: {b.checksum_failures}" for b in facts.bases.value if b.checksum_failures]
    return listed(bad, "none")


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
    words = f"{timed} timed, {asked} requested"
    return judged(asked <= max(timed, 10), words)


CHECKS: tuple[Check[PostgresFacts], ...] = checks(
    __file__,
    {
        "postgres.version": _version,
        "postgres.wraparound": _wraparound,
        "postgres.vacuum-horizon": _horizon,
        "postgres.prepared": lambda facts: listed(
            facts.prepared.value, "none older than 10 minutes"
        ),
        "postgres.slots": _slots,
        "postgres.collation-version": _collations,
        "postgres.checksum-failures": _rotten,
        "postgres.deadlocks": _deadlocks,
        "postgres.connections": _connections,
        "postgres.idle-transactions": _idle,
        "postgres.checkpoints": _checkpoints,
    },
)
