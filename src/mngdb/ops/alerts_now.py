"""What fires now: the agent's last round, or one look at everything where it does not judge."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from mngdb.alerts import expr
from mngdb.alerts.evaluator import Alert, Evaluator
from mngdb.alerts.rules import Active
from mngdb.errors import ConnectError, MngdbError, UnobservableError, UnreachableError
from mngdb.ops.agent import OUTDATED, STALE, AgentUnit
from mngdb.ops.alerts import every_rule, judged, rules
from mngdb.ops.context import Context
from mngdb.samples import Family, Sample, labelled
from mngdb.spec.agent import MONITOR
from mngdb.spec.engine_info import ENGINE_INFO
from mngdb.spec.stack import Instance

#: Seconds that a server has for one look.
_LOOK_TIMEOUT = 5.0
#: What only an agent measures, by the subject of its rules.
_WITHOUT_AGENT = {
    "host": "processors and memory",
    "backup": "backups",
    "secrets": "secrets and certificates",
    "mngdb": "crashes and refusals",
}
#: What the agent measures of disks, too.
_DISK_SIZE, _DISK_FREE = "mngdb_host_disk_size_bytes", "mngdb_host_disk_free_bytes"
#: What each agent serves.
_BUILD = "mngdb_build_info"


class Now(Struct, frozen=True):
    """What fires now."""

    alerts: tuple[Alert, ...]
    agent: bool
    """Whether the agent judges round by round; else this was one look, which waits for nothing."""
    unknown: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Why rules were not judged, to their names."""
    unreachable: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Why servers could not be looked at, to their instances: whether they are up is unknown."""
    unmeasured: tuple[str, ...] = ()
    """What nobody measures in a stack without an agent, for people."""
    running: bool = False
    """Whether an agent runs whose last round cannot be read: its disk is full, for one."""


def now(context: Context, at: float | None = None) -> Now:
    """What the agent saw last, if it runs; else one look. Raises UsageError, OSError."""
    at = time.time() if at is None else at
    found = judged(context, at)
    return look(context, at) if found is None else Now(found, agent=True)


def look(context: Context, at: float) -> Now:
    """Judge the stack once, without its past: what a rule waits for is not waited for."""
    families, lost = _measured(context)
    running = _runs(AgentUnit(context))
    if running:  # it serves this, whether or not it can keep its rounds
        families.append(Family(_BUILD, "gauge", "", [Sample(_BUILD, (), 1.0)]))
    there = {sample.name for family in families for sample in family.samples}
    every = context.stack.instances.values()
    reached = [one for one in every if one.name not in lost]
    able = [replace(one, wait=0) for one in every_rule(context, reached) if _can_judge(one, there)]
    if context.stack.agent is None:
        able = [one for one in able if one.rule.subject in ENGINE_INFO or not _absence(one)]
    evaluator = Evaluator(able)
    evaluator.feed(at, families)
    names = {one.name for one in able}
    down = _down(families)
    unknown: dict[str, tuple[str, ...]] = {}
    for rule in rules(context, every):
        ours = [one.name for one in every if one.engine == rule.rule.subject]
        if rule.name not in names or lost.keys() & ours:
            why = _unjudged(rule, [one for one in ours if one in down or one in lost])
            unknown[why] = (*unknown.get(why, ()), rule.name)
    causes: dict[str, tuple[str, ...]] = {}
    for name, error in lost.items():
        causes[error.message] = (*causes.get(error.message, ()), name)
    return Now(
        tuple(evaluator.alerts),
        agent=False,
        unknown=unknown,
        unreachable=causes,
        unmeasured=tuple(_unmeasured(context, names)),
        running=running,
    )


def _runs(unit: AgentUnit) -> bool:
    """Whether an agent answers, be it an older one."""
    process = unit.process()
    if process is None or process.state() == "T":
        return False
    return unit.answers() in {None, STALE, OUTDATED}


def _can_judge(rule: Active, there: set[str]) -> bool:
    """Whether one look is enough: no window, and metrics that are there (or asked to be)."""
    enough = not expr.window(rule.expr) and expr.metrics(rule.expr) <= there
    return enough or _absence(rule)


def _absence(rule: Active) -> bool:
    return any(isinstance(part, expr.Absent) for part in rule.expr.walk())


def _down(families: Iterable[Family]) -> set[str]:
    """Instances that do not answer."""
    ups = {f"{info.metrics.prefix}_up" for info in ENGINE_INFO.values()}
    return {
        dict(sample.labels)["instance"]
        for family in families
        if family.name in ups
        for sample in family.samples
        if sample.value == 0
    }


def _unjudged(rule: Active, away: Sequence[str]) -> str:
    """Why one look could not judge a rule."""
    if away:
        return f"{' and '.join(away)} did not answer"
    if expr.window(rule.expr):
        return "more than one measurement needed"
    return "the server does not have, or does not show, what they need"


def _unmeasured(context: Context, able: Collection[str]) -> Iterator[str]:
    if context.stack.agent is None:
        left = {r.rule.subject for r in every_rule(context, ()) if r.name not in able}
        for subject, what in _WITHOUT_AGENT.items():
            if subject in left and (subject != "backup" or context.stack.backup is not None):
                yield what


def _measured(context: Context) -> tuple[list[Family], dict[str, UnreachableError]]:
    """The metrics of every instance, side by side; a server that does not answer is down, and of
    one that there was no way to nothing is known but why."""
    instances = list(context.stack.instances.values())
    lost: dict[str, UnreachableError] = {}

    def one(instance: Instance) -> list[Family]:
        try:
            return _of_instance(context, instance)
        except UnreachableError as error:
            lost[instance.name] = error
            return []

    with ThreadPoolExecutor(len(instances)) as pool:
        found = [family for families in pool.map(one, instances) for family in families]
    found += _disks(instances, context)
    return found, {one.name: lost[one.name] for one in instances if one.name in lost}


def _disks(instances: Iterable[Instance], context: Context) -> list[Family]:
    """The disks of this machine that have data: on a full one the agent can keep no round."""
    found: dict[int, tuple[str, os.statvfs_result]] = {}
    for instance in instances:
        outside = context.target(instance).outside
        with contextlib.suppress(UnobservableError, OSError):
            if outside is not None:
                path = Path(outside.disk(instance).path)
                found.setdefault(path.stat().st_dev, (str(path), os.statvfs(path)))
    sizes, free = [], []
    for name, seen in found.values():
        where = (("path", name),)
        sizes.append(Sample(_DISK_SIZE, where, float(seen.f_blocks * seen.f_frsize)))
        free.append(Sample(_DISK_FREE, where, float(seen.f_bavail * seen.f_frsize)))
    return [
        Family(_DISK_SIZE, "gauge", "Size of the disk that has the data", sizes),
        Family(_DISK_FREE, "gauge", "Free on the disk that has the data", free),
    ]


def _of_instance(context: Context, instance: Instance) -> list[Family]:
    """Raises UnreachableError."""
    engine = context.engine(instance)
    login = MONITOR if instance.monitored else "admin"
    asked = context.as_login(instance, login)
    at = context.admin(asked)
    access = engine.login(asked, at, MONITOR) if instance.monitored else at
    families: list[Family] = []
    try:
        with context.reach(instance), engine.connect(access, _LOOK_TIMEOUT) as session:
            scraper = engine.metrics(session, asked)
            try:
                families += scraper.scrape(_LOOK_TIMEOUT)
            finally:
                scraper.close()
        up = 1.0
    except ConnectError:
        _require_host(context, instance)
        up = 0.0
    except UnreachableError:
        raise
    except UnobservableError:
        up = 1.0  # it answers; what this login may not see is not judged, and said
    name = f"{ENGINE_INFO[instance.engine].metrics.prefix}_up"
    families.append(Family(name, "gauge", "Whether it answered", [Sample(name, (), up)]))
    where = {"instance": instance.name, "member": instance.unit}
    return list(labelled(families, job=instance.engine, **where))


def _require_host(context: Context, instance: Instance) -> None:
    """Raise UnreachableError where nobody can tell whether an instance runs: it is not down."""
    servers = context.target(instance).servers
    if servers is None:
        return
    try:
        servers.process(instance.unit)
    except UnobservableError as error:
        raise UnreachableError(error.message, error.hint) from None
    except MngdbError:
        return  # what has its name is not it
