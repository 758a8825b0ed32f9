"""A bounded share of a server's time: work in slices that others hardly notice, then rest."""

from __future__ import annotations

import time
from collections.abc import Callable

#: Seconds that the server works on one slice: what another client waits at most.
SLICE = 60e-6
#: Seconds after which the server is asked for its own time again.
_LOOK = 0.25
_KEYS = (4, 128)


class Pace:
    """Keeps to a share of the server's time (0 to 1). `server_time` gives the seconds of CPU that
    the server's thread has used, or None when it does not say.

    How long a slice takes is seen from here, which counts also what the network and this machine
    take; over a while, that is held against the time that the server used for everything.
    """

    def __init__(self, share: float, server_time: Callable[[], float | None]) -> None:
        self.keys = 16
        """How many keys to ask for at a time."""
        self.used = 0.0
        """Seconds of the server's time that were taken, at most."""
        self._share = share
        self._ask = server_time
        self._ratio = 1.0
        self._window = 0.0
        self._looked = time.perf_counter()
        self._server = server_time()
        self._next = 0.0

    def wait(self) -> float:
        """Rest as long as is due; returns when the slice begins."""
        now = time.perf_counter()
        if now - self._looked > _LOOK:
            self._look()
            now = time.perf_counter()
        if self._next > now:
            time.sleep(self._next - now)
            now = time.perf_counter()
        return now

    def took(self, begun: float, keys: int) -> None:
        """A slice is done, with so many keys."""
        now = time.perf_counter()
        seen = now - begun
        self._window += seen
        mine = seen * self._ratio
        self.used += mine
        self._next = now + mine * (1 / self._share - 1)
        if keys:
            fits = SLICE / (mine / keys)
            low, high = _KEYS
            # slowly up, quickly down
            self.keys = max(low, min(high, int(min(fits, self.keys + 1))))

    def _look(self) -> None:
        now, server = time.perf_counter(), self._ask()
        if server is not None and self._server is not None and self._window:
            # others' work is in it: it is more than ours, never less
            self._ratio = max(0.05, min(1.0, (server - self._server) / self._window))
        self._looked, self._server, self._window = now, server, 0.0
