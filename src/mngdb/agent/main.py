"""`mngdb agent`: put together, run, end."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import linecache
import os
import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from mngdb import disk
from mngdb.agent import rotations, signing_keys
from mngdb.agent.archiver import KEYS_EVERY, Archiver
from mngdb.agent.backups import INTERVAL as INTERVAL_OF_BACKUPS
from mngdb.agent.backups import Backups
from mngdb.agent.children import Children
from mngdb.agent.containers import Containers
from mngdb.agent.guard import Guard
from mngdb.agent.jobs import Job, Jobs, log
from mngdb.agent.privileges import drop
from mngdb.agent.refusals import Refusals
from mngdb.agent.rotations import INTERVAL as INTERVAL_OF_ROTATIONS
from mngdb.agent.scrape import Target
from mngdb.agent.self_metrics import SelfMetrics
from mngdb.agent.statements import Statements
from mngdb.agent.watch import LOGS_EVERY, Watch
from mngdb.agent.web import LIMIT, Page, Web
from mngdb.errors import LockedError, MngdbError, UsageError
from mngdb.lock import lock
from mngdb.ops.agent import LOOK_AGAIN, AgentUnit
from mngdb.ops.alerts import Alerts
from mngdb.ops.backup import growth, reach
from mngdb.ops.context import Context
from mngdb.samples import Family, exposition, labelled
from mngdb.spec.agent import Agent as Spec
from mngdb.targets.process import machine
from mngdb.targets.process.processes import record

#: Parameters of mallopt(3).
_M_ARENA_MAX, _M_MMAP_THRESHOLD = -8, -3
#: Bytes of a block that goes back to the system as soon as it is free.
_LARGE = 128 << 10
#: Seconds between two rounds of measuring, and of judging what was measured.
INTERVAL = 15.0
#: The job that judges the alerts.
ALERTS = "alerts"
#: Seconds that commands which the agent runs may take to end, once it does.
_CHILDREN = 5.0
#: Seconds between two attempts to look at the store.
INTERVAL_OF_STORE = 300.0


class Agent(Struct, frozen=True):
    """The parts of the agent, for jobs."""

    context: Context
    targets: Sequence[Target]
    watch: Watch
    containers: Containers
    self_metrics: SelfMetrics
    refusals: Refusals
    alerts: Alerts
    statements: Statements
    children: Children
    backups: Backups
    archiver: Archiver
    guard: Guard

    def judge(self) -> None:
        """A round of the alerts, on what Prometheus would have scraped now."""
        for line in self.alerts.round(time.time(), self._measured()):
            log(line)

    def _measured(self) -> Iterator[Family]:
        wanted = self.alerts.metrics
        # side by side: one that hangs takes all of its time
        with ThreadPoolExecutor(max(1, len(self.targets))) as pool:
            scraped = list(pool.map(lambda target: _of(target, wanted), self.targets))
        yield from chain.from_iterable(scraped)
        own = [*self.self_metrics.families(), *self.alerts.families()]
        yield from labelled(own, job="mngdb", instance=self.context.stack.name)


def _of(target: Target, wanted: set[str]) -> list[Family]:
    """Some of a server's families; of the others nothing is kept."""
    instance, member = target.instance, target.member.name
    found = (family for family in target.families(LIMIT) if family.name in wanted)
    return [*labelled(found, job=instance.engine, instance=instance.name, member=member)]


def jobs(agent: Agent, spec: Spec) -> list[Job]:
    """What runs again and again: one line a job."""
    found = [
        Job("machine", INTERVAL, agent.self_metrics.measure),
        Job("logs", LOGS_EVERY, agent.watch.rotate),
        Job("refusals", INTERVAL, agent.refusals.look),
        Job("memory", INTERVAL, _give_back),
        Job("statements", spec.statements.total_seconds(), agent.statements.keep),
    ]
    if agent.containers:
        found.append(Job("containers", INTERVAL, agent.containers.look))
    if spec.alerts:
        found.append(Job(ALERTS, agent.alerts.every, agent.judge))
    if agent.context.stack.backup is not None:
        found.append(Job("backups", INTERVAL_OF_BACKUPS, agent.backups.look))
        found.append(Job("drills", INTERVAL_OF_BACKUPS, agent.backups.drill))
        found.append(Job("backup keys", KEYS_EVERY, agent.archiver.look))
        found.append(Job("store", INTERVAL_OF_STORE, lambda: growth.look(agent.context)))
        found.append(Job("stored", INTERVAL_OF_STORE, lambda: reach.look(agent.context)))
    if agent.context.stack.source.jwt is not None:
        every = signing_keys.INTERVAL
        renew = partial(signing_keys.look, agent.context, agent.children)
        found.append(Job("signing keys", every, renew))
    rotate = partial(rotations.look, agent.context, agent.children)
    found.append(Job("rotations", INTERVAL_OF_ROTATIONS, rotate))
    if spec.restart:
        found.append(Job("restarts", 1.0, agent.watch.look))
        found.append(Job("restores", INTERVAL_OF_BACKUPS, agent.backups.resume))
    return found


def run(context: Context) -> None:
    """Run until SIGTERM, SIGINT or SIGHUP; SIGCONT has it judge the alerts at once. Raises
    UsageError when the file wants no agent, MngdbError when one runs already or a port is taken."""
    spec = context.stack.agent
    if spec is None:
        raise UsageError(
            "this stack has no agent: the file disables it, or no server of the stack is on this "
            "machine",
            "'agent: true' in the file includes servers in containers, 'agent: {external: true}' "
            "external servers",
        )
    drop()
    # the agent works in a folder of its own, from where no other file is found
    files = tuple(path.absolute() for path in context.stack.files)
    context = replace(context, stack=replace(context.stack, files=files), keep_secrets=False)
    unit = AgentUnit(context)
    context.claim()
    folder = disk.private(unit.folder)
    try:
        with lock(folder / "lock", "agent"):
            _run(context, spec, unit, folder)
    except LockedError:
        raise MngdbError(
            f"{unit.name} is already running", "mngdb status shows it, mngdb down stops it"
        ) from None


def signals() -> int:
    """A file handle that has the number of each signal that came, one byte each: of those that end
    the agent, and of the one that has it look again. A lock is no way to wait for that: a signal
    that another thread gets does not wake the main thread from it."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    ending = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # nohup
        ending.remove(signal.SIGHUP)
    for number in (*ending, LOOK_AGAIN):
        signal.signal(number, lambda *_: None)
    return reading


def _frugal() -> None:
    """One heap for all threads: with glibc's default, each thread that scrapes keeps its own. Large
    answers stay out of it: by default, each that is freed makes glibc keep larger ones in it.
    Another C library has no such call, and no such habits."""
    with contextlib.suppress(AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_MMAP_THRESHOLD, _LARGE)


def _give_back() -> None:
    """What a large page took goes back to the system."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _run(context: Context, spec: Spec, unit: AgentUnit, folder: Path) -> None:
    _frugal()
    os.chdir(folder)  # by which commands know it again
    watch = Watch(context, folder)
    containers = Containers(context)
    children = Children(context)
    refusals = Refusals(context)
    members = [one for instance in context.stack.monitored for one in instance.members]
    targets = [Target(context, one, containers.why(one)) for one in members]
    agent = Agent(
        context,
        targets,
        watch,
        containers,
        SelfMetrics(context, watch, containers, refusals),
        refusals,
        Alerts(context),
        Statements(context, context.stack.monitored, folder),
        children,
        Backups(context, children),
        Archiver(context),
        Guard(context, lambda: running.hasten(ALERTS)),
    )
    running = Jobs(jobs(agent, spec))
    came = signals()
    webs = [
        _listen(spec, unit.name, port, _pages(targets, port, spec))
        for port in _ports(spec, targets)
    ]
    healthy = f"{unit.digest}\n"
    webs.append(
        _listen(
            spec,
            unit.name,
            spec.ports.mngdb,
            {
                "/metrics": lambda _: exposition(
                    [*agent.self_metrics.families(), *agent.alerts.families(), *running.families()]
                ),
                "/-/healthy": lambda _: (healthy,),
            },
        )
    )
    disk.write(unit.pidfile, record(os.getpid()), durable=False)
    for web in webs:
        web.start()
    running.start()
    agent.archiver.start()
    agent.guard.start()
    log(f"{unit.name} is running on {spec.bind}: {unit.places()}")
    linecache.clearcache()  # pydantic read the source of what it took docstrings from
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000)  # it is here to stay, and its memory is counted
    while os.read(came, 1)[0] == LOOK_AGAIN:
        running.hasten(ALERTS)
    log(f"{unit.name} exits; the servers keep running")
    running.stop()
    agent.guard.stop()  # first: what waits is set free
    agent.children.end()
    agent.archiver.stop()
    agent.alerts.close(time.time())
    for target in targets:
        target.end(1.0)
    agent.children.ended(_CHILDREN)
    unit.pidfile.unlink(missing_ok=True)


def _ports(spec: Spec, targets: Sequence[Target]) -> list[int]:
    return list(dict.fromkeys(spec.ports.of(target.instance.engine) for target in targets))


def _pages(targets: Sequence[Target], port: int, spec: Spec) -> dict[str, Page]:
    """`/metrics` is the first instance of an engine, `/metrics/NAME` each one."""
    here = [t for t in targets if spec.ports.of(t.instance.engine) == port]
    pages: dict[str, Page] = {"/metrics": _page(here[0])}
    return pages | {f"/metrics/{target.instance.name}": _page(target) for target in here}


def _page(target: Target) -> Page:
    return lambda timeout: exposition(target.families(timeout))


def _listen(spec: Spec, name: str, port: int, pages: dict[str, Page]) -> Web:
    try:
        return Web(spec.bind, port, pages, spec.names)
    except OSError as error:
        holder = machine.port_holder(spec.bind, port)
        why = f"is taken by {holder}" if holder else f"cannot be used: {error.strerror}"
        raise MngdbError(
            f"{name}: port {port} of {spec.bind} {why}", "set another one: agent: {ports: …}"
        ) from None
