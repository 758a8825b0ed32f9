"""How an instance's backups are, from what was noted here: the store is not asked."""

from __future__ import annotations

import time
from typing import Any

from msgspec import Struct

from mngdb.ops.backup import archived, commits, history, kept, lost, schedule
from mngdb.ops.backup.moments import shown
from mngdb.ops.context import Context
from mngdb.spec.base import RecoveryPoint

#: Seconds after which it counts that the log is not stored: a server may just have been started.
_LATE = 30.0


class Glance(Struct, frozen=True, kw_only=True):
    """The backups of one instance. In seconds: how long ago the moment is that could be restored
    now, when the last snapshot was finished, when a drill passed last, and how long that restore
    took; None: never. `mode`: whether commits wait until the store has them; None: the log is not
    archived. `error`: why the log is not archived any further, or commits fare otherwise. `lack`:
    whether the store has not what was stored there, as it was written."""

    instance: str
    mode: RecoveryPoint | None
    recovery_point: float | None
    snapshot: float | None
    stored: int
    proved: float | None
    rto: float | None
    error: str
    lack: bool = False
    keeper: str | None = None
    """Who takes and keeps them, where that is not us."""

    @property
    def late(self) -> str:
        """Why the newest writes are not in the store; empty: they are, or nothing is known to keep
        them from it."""
        behind = self.recovery_point is None or self.recovery_point > _LATE
        return self.error if self.lack or behind else ""

    def as_json(self) -> dict[str, Any]:
        """As `status --json` shows it."""
        return {
            "instance": self.instance,
            "recovery_point": self.mode,
            "recovery_point_s": _rounded(self.recovery_point),
            "snapshot_age_s": _rounded(self.snapshot),
            "stored_bytes": self.stored,
            "proved_age_s": _rounded(self.proved),
            "rto_s": _rounded(self.rto),
            "error": self.error or None,
            "kept_by": self.keeper,
        }


def glance(context: Context) -> list[Glance]:
    """Every instance's; empty where the file has no `backup:`."""
    if context.stack.backup is None:
        return []
    now, keepers = time.time(), kept.keepers(context)
    followed = {one.name: one.recovery_point for one in archived.followed(context)}
    passed = history.passed(context.stack.state)
    found, gone = [], lost.kept(context)
    for name, run in schedule.runs(context).items():
        log = archived.read(context, name) if name in followed else archived.Archived()
        drill = passed.get(name)
        lack = None if run.healed else gone.get(name)
        reached = lack.newest if lack is not None else run.reached(log)
        found.append(
            Glance(
                instance=name,
                mode=followed.get(name),
                keeper=keepers.get(name),
                recovery_point=_age(reached, log, now) if run.done and reached else None,
                snapshot=max(0.0, now - run.done) if run.done else None,
                stored=run.stored,
                proved=max(0.0, now - float(drill["at"])) if drill else None,
                rto=float(drill["rto"]) if drill else None,
                lack=lack is not None,
                error="; ".join(
                    filter(
                        None,
                        (
                            *(log.error or _failed(run), _commits(context, name)),
                            lack.text if lack else "",
                        ),
                    )
                ),
            )
        )
    return found


def _age(reached: float, log: archived.Archived, now: float) -> float:
    """Seconds since the newest moment, which is in the future where the clock was set back."""
    if reached <= now:
        return now - reached
    return log.age(now) if log.branch else 0.0


def _failed(run: schedule.Run) -> str:
    """Why the last backup failed, and when that was: it may be over by now."""
    return f"the backup of {shown(run.tried)} failed: {run.error}" if run.error else ""


def _commits(context: Context, name: str) -> str:
    """What is wrong with commits that should wait for the store."""
    instance = context.stack.instances.get(name)
    if instance is None or instance not in commits.waited(context):
        return ""
    return commits.told(instance.recovery_point, commits.read(context, name))


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
