"""What the agent does again and again, each job in a thread of its own."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence

from msgspec import Struct

from mngdb.errors import MngdbError
from mngdb.samples import Family, Sample


class Job(Struct, frozen=True):
    """`run` is called every `interval` seconds. What it raises is logged (once, while it is the
    same) and counted, and the next round comes all the same."""

    name: str
    interval: float
    run: Callable[[], object]


class Jobs:
    """Runs jobs until `stop` is set."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._jobs = jobs
        self._stop = threading.Event()
        self._now = {job.name: threading.Event() for job in jobs}
        self._failures = dict.fromkeys((job.name for job in jobs), 0)
        self._seconds: dict[str, float] = {}
        self._troubles = Troubles()

    def start(self) -> None:
        """Begin; the first round comes at once."""
        for job in self._jobs:
            threading.Thread(target=self._loop, args=(job,), name=job.name, daemon=True).start()

    def stop(self) -> None:
        """Begin no further round."""
        self._stop.set()
        for event in self._now.values():
            event.set()

    def hasten(self, name: str) -> None:
        """Have a job's next round begin at once, where there is such a job."""
        if name in self._now:
            self._now[name].set()

    def _loop(self, job: Job) -> None:
        while not self._stop.is_set():
            begun = time.monotonic()
            error = ""
            try:
                job.run()
            except MngdbError as failure:
                error = failure.message
            except Exception:  # noqa: BLE001 - told in the log and by a metric; the rest runs on
                error = traceback.format_exc()
            self._failures[job.name] += bool(error)
            self._troubles.tell(job.name, error, "works again")
            self._seconds[job.name] = time.monotonic() - begun
            self._now[job.name].wait(job.interval)
            if not self._stop.is_set():
                self._now[job.name].clear()

    def families(self) -> list[Family]:
        """How the jobs do."""
        failures, took = "mngdb_agent_job_failures_total", "mngdb_agent_job_seconds"
        return [
            Family(
                failures,
                "counter",
                "Rounds of a job that failed",
                [Sample(failures, (("job", n),), float(v)) for n, v in self._failures.items()],
            ),
            Family(
                took,
                "gauge",
                "How long the last round of a job took",
                [Sample(took, (("job", n),), v) for n, v in list(self._seconds.items())],
            ),
        ]


class Troubles:
    """Logs what is wrong with something when it changes, not again and again."""

    def __init__(self) -> None:
        self._told: dict[str, str] = {}

    def tell(self, name: str, error: str, over: str) -> None:
        """`error` is empty where nothing is wrong; `over` says so after something was."""
        if error != self._told.get(name, ""):
            log(f"{name}: {error or over}")
        self._told[name] = error


def log(text: str) -> None:
    """A line in the agent's log, which is its standard error."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with contextlib.suppress(OSError):  # its disk is full: no job ends for that
        print(f"{stamp} {text.rstrip()}", file=sys.stderr, flush=True)
