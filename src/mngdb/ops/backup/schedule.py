"""When backups and drills are due. What was missed is made up; what failed is tried again."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from mngdb import disk
from mngdb.ops.backup import archived, history, place
from mngdb.ops.backup.sources import origins
from mngdb.ops.context import Context
from mngdb.snapshot import Point
from mngdb.stores.manifest import Manifest
from mngdb.stores.sealing import fingerprint

#: In the stack's own folder: how the last backup of each instance went.
_FOLDER = "backup-runs"
#: Seconds after which one that failed is tried again: a backup, a drill.
_AGAIN, _DRILL_AGAIN = 900.0, 86_400.0
#: Where the log broke off: in how many times of what one takes there are two backups at most, in
#: how many seconds at least, and at most.
_SHARE, _RARELY, _SOON = 10.0, 10.0, 300.0
#: Seconds within which the backups of all stacks begin.
_SPREAD = 300


class Run(Struct, frozen=True):
    """The last attempts at one instance. Moments in seconds since the epoch; 0: never."""

    tried: float = 0.0
    done: float = 0.0
    """When the last one that succeeded was finished."""
    error: str = ""
    """Why the last one failed; empty: it did not."""
    stored: int = 0
    """Bytes in the store of the last one."""
    branch: str = ""
    position: int = 0
    """From where the log leads on from it."""
    before: float = 0.0
    """When the one before it was finished."""
    seconds: float = 0.0
    """What it took."""
    keys: str = ""
    """The fingerprint of the public keys that it is encrypted for."""
    store: str = ""
    """Where they went. What is in another store says nothing of this one."""
    first: float = 0.0
    """When the first one there was finished."""
    snapshot: str = ""
    """The last one that succeeded."""
    moment: float = 0.0
    """The one that it shows."""
    former: tuple[str, ...] = ()
    """Other stores, where they went before."""
    until: float = 0.0
    """The newest moment that can be restored, of backups that are kept where the instance lives."""
    looked: float = 0.0
    """When somebody looked there."""
    useless: bool = False
    """Whether it cannot be restored, or nothing leads on from it any more."""

    @property
    def healed(self) -> bool:
        """Whether the last attempt succeeded, and it was made after the last `broken`."""
        return bool(self.tried) and self.done >= self.tried

    def led_on(self, log: archived.Archived) -> bool:
        """Whether the log that is archived now leads on from the last backup, in one store, and
        one key opens both."""
        same = (log.branch, log.keys) == (self.branch, self.keys)
        return same and self.position >= log.begin and log.store in {"", self.store}

    def reached(self, log: archived.Archived) -> float:
        """The newest moment that both lead to."""
        until = log.until if log.branch and self.led_on(log) else log.earlier
        return max(until, self.done, self.until)


def of(context: Context, instance: str) -> Run:
    """An instance's last attempts, to the store that the file names now."""
    found, store = _noted(context.stack.state, instance), place.source(context).address
    if found.store in ("", store):
        return replace(found, store=store)
    every = (*found.former, found.store) if found.done else found.former
    return Run(store=store, former=tuple(dict.fromkeys(one for one in every if one != store)))


def runs(context: Context) -> dict[str, Run]:
    """The same of every instance."""
    return {name: of(context, name) for name in context.stack.instances}


def left(context: Context) -> list[str]:
    """Other stores that have the backups of instances which are not in this one yet."""
    return sorted({one for run in runs(context).values() if not run.done for one in run.former})


def elsewhere(context: Context, instance: str) -> tuple[str, ...]:
    """Other stores to which an instance's backups went before."""
    return of(context, instance).former


def last_taken(context: Context) -> float | None:
    """When the last backup of any instance was finished; None: there never was one."""
    noted = (_noted(context.stack.state, name).done for name in context.stack.instances)
    return max(noted, default=0.0) or None


def newest(context: Context, instance: str) -> float:
    """The newest moment that this machine has stored: in the future where the clock was set back
    since."""
    return max(of(context, instance).moment, archived.read(context, instance).until)


def _noted(state: Path, instance: str) -> Run:
    # of a damaged note the next backup is early, that is all
    return disk.noted(state / _FOLDER / instance, Run, Run())


def begun(context: Context, instance: str) -> None:
    """Note that an attempt begins: one that cannot note its end is not made again and again. Raises
    OSError."""
    _keep(context, instance, replace(of(context, instance), tried=time.time()))


def failed(context: Context, instance: str, error: str) -> None:
    """Keep why an attempt failed. Raises OSError."""
    before = of(context, instance)
    _keep(context, instance, replace(before, tried=time.time(), error=error))


def broken(context: Context, instance: str) -> None:
    """Note that the last backup cannot be restored, or nothing leads on from it any more: another
    one is due at once. Raises OSError."""
    before = replace(of(context, instance), tried=0.0, error="", useless=True)
    _keep(context, instance, replace(before, branch="", position=0, before=0.0))


def succeeded(context: Context, instance: str, found: Manifest) -> None:
    """Keep that an attempt has made a snapshot. Raises OSError."""
    now, point = time.time(), found.taken.log or Point("", 0)
    last, keys = of(context, instance), fingerprint(found.recipients)
    before = last.done if last.branch else 0.0  # after `broken`, this one may precede the log
    run = Run(
        tried=now,
        done=now,
        stored=found.stored,
        branch=point.branch,
        position=point.position,
        before=before,
        seconds=found.finished - found.started,
        keys=keys,
        store=last.store,
        former=last.former,
        first=last.first or now,
        snapshot=found.id,
        moment=found.moment,
    )
    _keep(context, instance, run)


def seen(context: Context, instance: str, found: Manifest, first: float, until: float) -> None:
    """Keep that the newest snapshot of somebody who takes them himself is this one, and the moment
    that can be reached; `first`: when the oldest one that is there was finished. Raises OSError."""
    run = Run(
        tried=found.finished,
        done=found.finished,
        stored=found.stored,
        store=of(context, instance).store,
        first=first,
        snapshot=found.id,
        moment=found.moment,
        until=until,
        looked=time.time(),
    )
    _keep(context, instance, run)


def _keep(context: Context, instance: str, run: Run) -> None:
    folder = disk.private(context.stack.state / _FOLDER)
    disk.write(folder / instance, msgspec.json.encode(run).decode() + "\n")


def scheduled(at: str, now: float, later: float = 0.0) -> float:
    """The last moment before `now` at which the clock said `at` (UTC, or of the zone that it
    names), and `later` seconds after that. A time that clocks skip is an hour later, one that they
    have twice is the first."""
    clock, _, zone = at.partition(" ")
    hour, minute = map(int, clock.split(":"))
    today = datetime.fromtimestamp(now, ZoneInfo(zone) if zone else UTC).replace(
        hour=hour, minute=minute, second=0, microsecond=0, fold=0
    )
    days = (today - timedelta(days=past) for past in range(3))
    return next(found for day in days if (found := day.timestamp() + later) <= now)


def spread(stack: str) -> float:
    """Seconds after its time at which a stack's backups begin, always the same: several stacks do
    not begin at once."""
    return int.from_bytes(hashlib.sha256(stack.encode()).digest()[:4]) % _SPREAD


def backups_due(context: Context, now: float) -> list[str]:
    """Instances whose last backup is older than the file wants, or from which the log that is
    archived does not lead on; none where it has no `backup:`, none that is still empty after the
    stack was set up from a kit, and none whose provider takes them."""
    if context.stack.backup is None:
        return []
    pending = origins(context.stack.state).pending
    last = scheduled(context.stack.backup.at, now, spread(context.located.record.id))
    return [
        name
        for name, run in runs(context).items()
        if name not in pending
        and not context.instance(name).hosted
        and _due(context, name, run, last, now)
    ]


def _due(context: Context, name: str, run: Run, last: float, now: float) -> bool:
    """`last`: when a backup was due last. Moments in the future are of a clock that was set back
    since."""
    unended = run.tried > run.done  # it was killed, or goes on
    if (run.error or unended) and now - _AGAIN < run.tried <= now:
        return False
    if run.useless or not last <= run.done <= now:
        return True
    log = archived.read(context, name)
    broke_off = log.branch and not run.led_on(log)
    # a log that breaks off again and again does not keep the server busy with snapshots
    pause = min(_SOON, max(_RARELY, _SHARE * run.seconds))
    return bool(broke_off) and not now - pause < run.before <= now


def drills_due(context: Context, now: float) -> list[str]:
    """Instances with a backup of which no drill has passed for too long, or none of this store.
    One that costs money at a provider's is made where the file itself asks for drills."""
    if context.stack.backup is None:
        return []
    paid, key = "drill" in context.stack.backup.model_fields_set, place.has_key(context)
    every = context.stack.backup.drill.every.total_seconds()
    passed, tried = history.passed(context.stack.state), history.last(context.stack.state)
    return [
        name
        for name, run in runs(context).items()
        if run.done
        and (paid if context.instance(name).hosted else key)
        and (now - _at(passed.get(name)) > every or _at(passed.get(name)) < run.first)
        and (now - _at(tried.get(name)) > _DRILL_AGAIN or _at(tried.get(name)) < run.first)
    ]


def _at(drill: Mapping[str, Any] | None) -> float:
    """When it was; 0: there was none."""
    return float(drill["at"]) if drill is not None else 0.0
