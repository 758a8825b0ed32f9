"""mngdb's own metrics of backups: how old they are, whether they are proved, what they take."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence

from mngdb.ops.backup import archived, history, keys, schedule
from mngdb.ops.backup.growth import growth
from mngdb.ops.backup.sources import KEY, MAC
from mngdb.ops.context import Context
from mngdb.samples import Family, Sample


def families(context: Context, followed: Sequence[str]) -> Iterator[Family]:
    """Of instances that the file has backed up, and of others that were. `followed`: those whose
    log is archived. Raises MngdbError, OSError."""
    now, state, wanted = time.time(), context.stack.state, context.stack.backup is not None
    runs = {name: one for name, one in schedule.runs(context).items() if one.done or wanted}
    done = [name for name, one in runs.items() if one.done]
    yield _by_instance(
        "mngdb_backup_age_seconds",
        "Age of the last backup, by instance; since 1970 where there is none",
        {name: now - one.done for name, one in runs.items()},
    )
    yield _by_instance(
        "mngdb_backup_stored_bytes",
        "Size of the last backup in the store, by instance",
        {name: float(runs[name].stored) for name in done},
    )
    yield _by_instance(
        "mngdb_archive_age_seconds",
        "How long ago everything was in the store that the server had written, by instance; "
        "since 1970 where nothing ever was",
        {name: archived.read(context, name).age(now) for name in followed},
    )
    last, passed = history.last(state), history.passed(state)
    yield _by_instance(
        "mngdb_drill_age_seconds",
        "How long ago a drill passed last, by instance that has a backup; since 1970 where none "
        "ever did",
        {name: now - (float(passed[name]["at"]) if name in passed else 0.0) for name in done},
    )
    yield _by_instance(
        "mngdb_drill_seconds",
        "How long the restore of the last drill that passed took, by instance",
        {name: float(one["rto"]) for name, one in passed.items()},
    )
    yield _by_instance(
        "mngdb_drill_usual_seconds",
        "How long the restore took in the drills before, by instance: the median",
        history.usual(state),
    )
    yield _by_instance(
        "mngdb_drill_passed",
        "Whether the last drill passed, by instance",
        {name: float(one["verdict"] == "pass") for name, one in last.items()},
    )
    if wanted:
        yield from _store(context)
        yield from _key(context, now)


def _store(context: Context) -> Iterator[Family]:
    found = growth(context.stack.state)
    if found is None:
        return
    for name, text, value in (
        ("bytes", "What the stack's backups take in the store", found.newest.stored),
        ("week_ago_bytes", "What they took a week ago", found.before),
        ("growth_bytes_per_second", "How fast they grew in the last week", found.rate),
        ("full_seconds", "Time until the store's disk is full if they go on so", found.full),
    ):
        if value is not None:
            yield _one(f"mngdb_store_{name}", text, float(value))


def _key(context: Context, now: float) -> Iterator[Family]:
    wrong = {one.secret for one in keys.problems(context)}
    fits = [
        Sample("mngdb_backup_secret_fits", (("secret", one),), float(one not in wrong))
        for one in (KEY, MAC)
    ]
    text = "Whether a secret of the backups is there, and fits them"
    yield Family("mngdb_backup_secret_fits", "gauge", text, fits)
    found = context.vault.get_many([KEY]).get(KEY)
    changed = found.changed if found is not None and found.secret is not None else None
    if changed is not None:
        text = "Age of the key that the backups are encrypted with"
        yield _one("mngdb_backup_key_age_seconds", text, max(0.0, now - changed))


def _by_instance(name: str, text: str, found: Mapping[str, float]) -> Family:
    samples = [Sample(name, (("instance", one),), value) for one, value in found.items()]
    return Family(name, "gauge", text, samples)


def _one(name: str, text: str, value: float) -> Family:
    return Family(name, "gauge", text, [Sample(name, (), value)])
