"""mngdb's own metrics: units, secrets, certificates, this machine, this process."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from mngdb import __version__
from mngdb.agent import backup_metrics
from mngdb.agent.containers import Containers
from mngdb.agent.jobs import Troubles, log
from mngdb.agent.refusals import Refusals
from mngdb.agent.watch import Watch
from mngdb.errors import MngdbError
from mngdb.ops.backup import archived, commits, place
from mngdb.ops.context import Context
from mngdb.run import run
from mngdb.samples import Family, Kind, Labels, Sample
from mngdb.spec.stack import secret_name

#: What other parts will fill in, and nobody knows before: absent until then, never 0.
LATER = (
    Family("mngdb_findings", "gauge", "Findings of the last check, by severity and verdict", ()),
)


#: Prints when the first certificate of each file is over; `nan`: it has none that can be read.
_UNTIL = """\
import pathlib, sys
from cryptography import x509
for path in sys.argv[1:]:
    try:
        found = x509.load_pem_x509_certificate(pathlib.Path(path).read_bytes())
        print(found.not_valid_after_utc.timestamp())
    except (OSError, ValueError):
        print("nan")
"""


class SelfMetrics:
    """What the agent knows itself."""

    def __init__(
        self, context: Context, watch: Watch, containers: Containers, refusals: Refusals
    ) -> None:
        self._context = context
        self._refusals = refusals
        self._watch = watch
        self._containers = containers
        self._begun = time.time()
        self._cpu = _cpu_times()
        self._busy: float | None = None
        self._followed = [one.name for one in archived.followed(context)]
        self._waited = commits.waited(context)
        self._certificates: dict[Path, tuple[int, float]] = {}
        self._troubles = Troubles()

    def measure(self) -> None:
        """How busy the processors were since the last call."""
        before, self._cpu = self._cpu, _cpu_times()
        total = self._cpu[1] - before[1]
        if total > 0:
            self._busy = (self._cpu[0] - before[0]) / total

    def families(self) -> list[Family]:
        """Every family. What cannot be measured is left out, and logged."""
        found = [_family("mngdb_build_info", "Version", [((("version", __version__),), 1.0)])]
        for name, part in (
            ("units", self._units),
            ("refusals", self._refusals.families),
            ("secrets", self._secrets),
            ("certificates", self._expiry),
            ("backups", self._backups),
            ("machine", self._host),
            ("agent", self._process),
        ):
            error = ""
            try:
                found += list(part())
            except (MngdbError, OSError) as failure:
                error = f"no metrics: {failure}"
            self._troubles.tell(name, error, "metrics again")
        return [*found, *LATER]

    def _units(self) -> Iterator[Family]:
        up: dict[str, float] = {unit: self._watch.up(unit) for unit in self._watch.units}
        restarts = dict(self._watch.restarts)
        lost = self._containers.lost
        for unit, health in self._containers.health.items():
            up[unit], restarts[unit] = math.nan if lost else health.up, health.restarts
        yield _family(
            "mngdb_unit_up",
            "Whether the unit's process runs; NaN where the Docker engine does not answer",
            [(_server(unit), float(found)) for unit, found in up.items()],
        )
        if self._containers:
            yield _family(
                "mngdb_docker_up",
                "Whether the Docker engine of the servers answers",
                [((), 0.0 if lost else 1.0)],
            )
        yield _family(
            "mngdb_unit_restarts_total",
            "Times that the unit crashed and was restarted",
            [(_server(unit), float(found)) for unit, found in restarts.items()],
            "counter",
        )

    def _secrets(self) -> Iterator[Family]:
        instances = self._context.stack.instances.values()
        names = [
            secret_name(one, login) for one in instances for login in self._context.logins(one)
        ]
        entries, now = self._context.vault.get_many(names), time.time()
        found: list[tuple[Labels, float]] = [
            ((("secret", name),), max(0.0, now - entry.changed))
            for name, entry in entries.items()
            if entry.changed is not None
        ]
        problems = [entry.problem for entry in entries.values() if entry.problem is not None]
        if problems and not found:
            raise problems[0]
        yield _family("mngdb_secret_age_seconds", "Age of the secret in the vault", found)

    def _backups(self) -> Iterator[Family]:
        yield from backup_metrics.families(self._context, self._followed)
        yield from self._commits()

    def _commits(self) -> Iterator[Family]:
        """Of instances whose commits are to wait for the store, once that is known."""
        every = {one.name: commits.read(self._context, one.name) for one in self._waited}
        waits = {"held": 1.0, "stuck": 1.0, "free": 0.0}
        yield _family(
            "mngdb_commits_wait",
            "Whether commits wait until the store has them, by instance that is to do so",
            [
                ((("instance", n),), waits[one.state])
                for n, one in every.items()
                if one.state in waits
            ],
        )
        yield _family(
            "mngdb_commits_late_seconds",
            "For how long the store has taken nothing while commits wait for it, by instance",
            [
                ((("instance", n),), one.late if one.state == "stuck" else 0.0)
                for n, one in every.items()
            ],
        )

    def _expiry(self) -> Iterator[Family]:
        until = self._until(self._certificate_files())
        every = self._context.stack.members.values()
        of_server = {one.instance.name: (("member", one.name),) for one in every}
        found: list[tuple[Labels, float]] = [
            ((("instance", name), *of_server.get(name, ())), at - time.time())
            for name, at in until.items()
        ]
        yield _family(
            "mngdb_certificate_expiry_seconds", "Time until the server's certificate expires", found
        )

    def _certificate_files(self) -> dict[str, Path]:
        """By instance, and that of the page: no instance beside one has its name."""
        every = (outside.certificates() for outside in self._context.outside())
        return {name: path for found in every for name, path in found.items()}

    def _until(self, files: dict[str, Path]) -> dict[str, float]:
        """When certificates are over, in seconds since the epoch. A server that was not made yet
        has none."""
        changed = {}
        for path in files.values():
            with suppress(FileNotFoundError):
                # the child below would wait for whoever writes to a pipe
                if path.is_file():
                    changed[path] = path.stat().st_mtime_ns
        known = self._certificates
        new = [path for path, at in changed.items() if known.get(path, (0, 0.0))[0] != at]
        if new:
            # by a child: cryptography would stay in memory, and it is large
            argv = [sys.executable, "-I", "-c", _UNTIL, *map(str, new)]
            lines = run(argv, timeout=30.0).stdout.split()
            for path, at in zip(new, map(float, lines), strict=True):
                known[path] = changed[path], at
                if math.isnan(at):
                    log(f"{path} has no readable certificate")
        until = {name: known[path][1] for name, path in files.items() if path in changed}
        return {name: at for name, at in until.items() if not math.isnan(at)}

    def _host(self) -> Iterator[Family]:
        if self._busy is not None:
            yield _family(
                "mngdb_host_cpu_ratio",
                "Share of the processors' time that was used lately, 0 to 1",
                [((), self._busy)],
            )
        memory = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        for key, name, text in (
            ("MemTotal", "total", "Memory of the machine"),
            ("MemAvailable", "available", "Memory that programs can have without swapping"),
        ):
            size = float(memory[key].split()[0]) * 1024
            yield _family(f"mngdb_host_memory_{name}_bytes", text, [((), size)])
        sizes: list[tuple[Labels, float]] = []
        free: list[tuple[Labels, float]] = []
        for path in self._disks():
            found = os.statvfs(path)
            label = (("path", str(path)),)
            sizes.append((label, float(found.f_blocks * found.f_frsize)))
            free.append((label, float(found.f_bavail * found.f_frsize)))
        yield _family(
            "mngdb_host_disk_size_bytes",
            "Size of the disk that has the data, or the backups",
            sizes,
        )
        yield _family(
            "mngdb_host_disk_free_bytes", "Free on the disk that has the data, or the backups", free
        )

    def _disks(self) -> list[Path]:
        """One folder of data, or of backups, for each file system."""
        found: dict[int, Path] = {}
        backups = place.directory(self._context) if self._context.stack.backup else None
        for path in (*self._watch.data(), *filter(None, [self._containers.root, backups])):
            if path.exists():
                found.setdefault(path.stat().st_dev, path)
        return list(found.values())

    def _process(self) -> Iterator[Family]:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        used = os.times()
        for name, kind, value in (
            ("resident_memory_bytes", "gauge", float(pages * os.sysconf("SC_PAGE_SIZE"))),
            ("cpu_seconds_total", "counter", used.user + used.system),
            ("start_time_seconds", "gauge", self._begun),
        ):
            yield _family(f"process_{name}", "Of the agent", [((), value)], kind)  # type: ignore[arg-type]


def _server(unit: str) -> Labels:
    """Those of a server: `member` is what every metric of a server has."""
    return (("unit", unit), ("member", unit))


def _family(
    name: str, text: str, found: list[tuple[Labels, float]], kind: Kind = "gauge"
) -> Family:
    return Family(name, kind, text, [Sample(name, labels, value) for labels, value in found])


def _cpu_times() -> tuple[int, int]:
    """Busy and all ticks of all processors since the machine started."""
    words = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    ticks = [int(word) for word in words]
    idle = ticks[3] + ticks[4]
    return sum(ticks) - idle, sum(ticks)
