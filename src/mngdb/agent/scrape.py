"""One server and its metrics: a session that is kept, a time limit that holds."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from itertools import chain

from mngdb.agent.jobs import log
from mngdb.engines.protocol import Scraper
from mngdb.errors import MngdbError, UnreachableError
from mngdb.ops.context import Context
from mngdb.samples import Family, Sample
from mngdb.spec.agent import MONITOR
from mngdb.spec.engine_info import ENGINE_INFO
from mngdb.spec.stack import Member

_WAITED = MngdbError("another scrape is waiting for the server")


class Target:
    """A server of the stack. May be used by several threads; they take turns."""

    def __init__(
        self, context: Context, member: Member, lost: Callable[[], str] = lambda: ""
    ) -> None:
        """`lost` says why the way to it is known to be closed; empty: it is not."""
        self.member = member
        self.instance = instance = member.instance
        self._lost = lost
        self._context = context
        self._engine = context.engine(instance)
        self._guard = threading.Lock()
        self._scraper: Scraper | None = None
        self._held = ExitStack()
        self._scrapes = 0
        self._up: bool | None = None

    def families(self, timeout: float) -> Iterable[Family]:
        """The server's metrics and whether it is up; it never takes longer than about `timeout`
        seconds, and a server that is down or hangs is an answer, not an error."""
        begun = time.monotonic()
        if not self._guard.acquire(timeout=timeout):
            return self._own(time.monotonic() - begun, self._closed(_WAITED), self._up)
        late = time.monotonic() - begun > timeout / 2
        try:
            found, error = self._tried(begun + timeout)
            # with too little time left to find out, what the scrape before it found counts
            if error is None or not late:
                self._note(error)
            up = self._up
        finally:
            self._guard.release()
        return chain(found, self._own(time.monotonic() - begun, error, up))

    def _closed(self, error: MngdbError) -> MngdbError:
        """The error of a server that could not be looked at: it may be for want of a way there."""
        lost = self._lost()
        return UnreachableError(lost) if lost else error

    def _tried(self, deadline: float) -> tuple[Iterable[Family], MngdbError | None]:
        kept, allowed = self._scraper is not None, deadline - time.monotonic()
        try:
            return self._scrape(deadline), None
        except MngdbError as error:
            self.close()
            # a session that was kept may be one of a server that is another by now
            if not kept or deadline - time.monotonic() < allowed / 2:
                return [], self._closed(error)
        except BaseException:
            self.close()
            raise
        try:
            return self._scrape(deadline), None
        except MngdbError as error:
            self.close()
            return [], self._closed(error)

    def _scrape(self, deadline: float) -> Iterable[Family]:
        if self._scraper is None:
            self._scraper = self._connect(max(0.1, deadline - time.monotonic()))
        return self._scraper.scrape(max(0.1, deadline - time.monotonic()))

    def _connect(self, timeout: float) -> Scraper:
        asked = self._context.as_login(self.instance, MONITOR)
        with ExitStack() as held:
            # also the way is opened anew each time: what hangs in it is ended with it
            held.enter_context(self._context.reach(self.instance))
            access = self._context.login(asked, MONITOR)
            session = held.enter_context(self._engine.connect(access, timeout))
            scraper = self._engine.metrics(session, asked)
            held.callback(scraper.close)
            self._held = held.pop_all()
        return scraper

    def end(self, timeout: float) -> None:
        """Give up the session for good, when a scrape that is under way has had `timeout` seconds
        to end."""
        if self._guard.acquire(timeout=timeout):
            self.close()

    def close(self) -> None:
        """Give up the session; the next scrape opens another."""
        self._scraper = None
        held, self._held = self._held, ExitStack()
        held.close()

    def _note(self, error: MngdbError | None) -> None:
        up = error is None
        if up != self._up:
            log(f"{self.instance.name}: {error.message if error else 'metrics are read'}")
        self._up = up

    def _own(self, seconds: float, error: MngdbError | None, found: bool | None) -> list[Family]:
        """Whether the server is up, as `found` (NaN: there was no way to find out), and what the
        exporters say of their scrapes."""
        lost = isinstance(error, UnreachableError)
        failed = math.nan if lost else 0.0 if error is None else 1.0
        is_up = math.nan if lost or found is None else float(found)
        self._scrapes += 1
        metrics = ENGINE_INFO[self.instance.engine].metrics
        up, head, label = f"{metrics.prefix}_up", f"{metrics.prefix}_exporter", metrics.error_label
        told = ((label, error.message if error else ""),) if label else ()
        return [
            _one(up, "Whether the server answers", is_up, metrics.up_labels),
            _one(f"{head}_last_scrape_duration_seconds", "How long the scrape took", seconds),
            _one(
                f"{head}_last_scrape_error",
                "Whether the scrape failed",
                failed,
                told,
            ),
            _one(f"{head}_scrapes_total", "Scrapes so far", float(self._scrapes), counter=True),
        ]


def _one(
    name: str,
    text: str,
    value: float,
    labels: tuple[tuple[str, str], ...] = (),
    *,
    counter: bool = False,
) -> Family:
    return Family(name, "counter" if counter else "gauge", text, (Sample(name, labels, value),))
