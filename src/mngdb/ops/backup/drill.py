"""`drill`: a snapshot restored into a disposable server, tried, measured and removed."""

from __future__ import annotations

import contextlib
import os
import platform
import random
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct, ValidationError, convert, to_builtins
from msgspec.structs import replace

from mngdb import __version__
from mngdb.errors import MngdbError
from mngdb.ops.backup import bases, history, hosted
from mngdb.ops.backup.history import iso
from mngdb.ops.backup.pick import newest_of
from mngdb.ops.backup.reach import Aim, of_snapshot, reachable
from mngdb.ops.backup.restored import DRILLS, alone, sweep
from mngdb.ops.backup.tried import Tell
from mngdb.ops.context import Context
from mngdb.snapshot import Trial
from mngdb.words import many

#: Seconds that another drill of the same instance, the agent's, is waited for.
PATIENCE = 60.0
FOLDER = DRILLS

Verdict = Literal["pass", "fail"]


class Drill(Struct, frozen=True, kw_only=True):
    """What a drill found. Moments are seconds since the epoch; `rto` seconds until the restored
    server answered as every app, `rpo` seconds of writes before the drill that no restore could
    have brought back."""

    instance: str
    engine: str
    snapshot: str
    at: float
    restored_to: float
    rto: float
    rpo: float
    phases: dict[str, float]
    size: int = 0
    """Bytes that were restored, about."""
    checks: tuple[Trial, ...]
    verdict: Verdict
    version: str = ""
    """The server's that the snapshot is of."""
    machine: str = ""
    """Where it was restored."""
    tool: str = f"mngdb {__version__}"
    record: str = ""
    """Its line in the history."""

    def as_json(self) -> dict[str, Any]:
        """As `drill --json` shows it."""
        return {
            "instance": self.instance,
            "engine": self.engine,
            "snapshot": self.snapshot,
            "at": iso(self.at),
            "restored_to": iso(self.restored_to),
            "rto_s": round(self.rto, 3),
            "rpo_s": round(self.rpo, 3),
            "phases": {name: round(seconds, 3) for name, seconds in self.phases.items()},
            "checks": [
                {
                    "name": one.name,
                    "verdict": "pass" if one.passed else "fail",
                    "detail": one.detail,
                }
                for one in self.checks
            ],
            "verdict": self.verdict,
            "version": self.version,
            "machine": self.machine,
            "tool": self.tool,
        }


def drills(state: Path) -> list[Drill]:
    """Those of the history, the oldest first."""
    found = []
    for one in history.history(state):
        with contextlib.suppress(ValidationError):  # of a version before
            found.append(convert(one, Drill))
    return found


def drill(
    context: Context, names: Sequence[str], tell: Tell, snapshot: str | None = None
) -> list[Drill]:
    """Try every instance, or those named, one after the other: a random moment that the newest
    snapshot and the log lead to, or `snapshot` alone. Raises UsageError for an instance without
    one, and MngdbError for what keeps a drill from being made; what does not restore is a drill
    that failed."""
    chosen = [context.instance(name).name for name in names] or list(context.stack.instances)
    found = [_aim(context, name, snapshot) for name in chosen]
    for aim, _ in found:
        hosted.openable(context, aim)  # a missing key is no fault of the snapshot's
    return [_one(context, aim, newest, tell) for aim, newest in found]


def _aim(context: Context, name: str, snapshot: str | None) -> tuple[Aim, float]:
    """What is restored, and the newest moment that could be."""
    if snapshot is not None:
        aim = of_snapshot(context, name, snapshot)
        return aim, aim.moment
    newest = newest_of(reachable(context, name), name)
    if not newest.leads_on:
        return newest.to_newest(), newest.newest
    begin, end = random.choice(newest.spans)  # noqa: S311 — no secret
    return newest.to(random.uniform(begin, end)), newest.newest  # noqa: S311


def _one(context: Context, aim: Aim, newest: float, tell: Tell) -> Drill:
    with alone(context, FOLDER, aim.instance, PATIENCE):
        sweep(context, FOLDER, aim.instance)
        return _tried(context, aim, newest, tell)


def _tried(context: Context, aim: Aim, newest: float, tell: Tell) -> Drill:
    at, begun, manifest = time.time(), time.monotonic(), aim.manifest
    state = context.stack.state / FOLDER / f"{aim.key}-{secrets.token_hex(2)}"
    scratch = hosted.begin(context, aim, state)
    trials: list[Trial] = []
    try:
        asked = scratch.make(tell, closed=True)
        proof = scratch.proved(asked)
        asked = scratch.open(asked, tell)
        trials += [
            Trial(f"login {app}", why is None, why or "does its work")
            for app, why in scratch.logins(asked).items()
        ]
        trials += proof
    except Exception as error:  # noqa: BLE001 — a drill that crashes is one that failed
        trials.append(Trial("restore", False, _told(error)))
    finally:
        took = time.monotonic() - begun - scratch.phases.get("checks", 0.0)
        scratch.remove()
    found = Drill(
        instance=manifest.instance,
        engine=manifest.engine,
        snapshot=manifest.id,
        at=at,
        restored_to=aim.moment,
        size=aim.size,
        rto=took,
        rpo=max(0.0, at - newest),
        phases=scratch.phases,
        checks=tuple(trials),
        verdict="pass" if trials and all(one.passed for one in trials) else "fail",
        version=f"{manifest.taken.product} {manifest.taken.version}",
        machine=scratch.machine or _machine(),
    )
    if found.verdict == "fail" and aim.parents:  # nothing more is built on a chain in doubt
        bases.forget(context.stack.state, manifest.instance)
    data = to_builtins(found)
    del data["record"]
    line = history.keep(context.stack.state, data)
    return replace(found, record=line.decode(errors="replace"))


def _told(error: Exception) -> str:
    if isinstance(error, MngdbError | OSError):
        return str(error)
    return f"mngdb failed, which is a bug: {type(error).__name__}: {error}"


def _machine() -> str:
    """This one, in words."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    system = f"{platform.system()} {platform.release()}"
    return f"{platform.node()}: {system}, {many(os.cpu_count() or 1, 'CPU')}, {memory:.0f} GB"
