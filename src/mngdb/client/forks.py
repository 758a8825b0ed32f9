"""A lock that a fork does not leave held."""

from __future__ import annotations

import os
import threading


class ForkLock:
    """A lock; in a child another one, for whoever held it is not there."""

    def __init__(self) -> None:
        self._made = os.getpid(), threading.Lock()

    def __call__(self) -> threading.Lock:
        """The lock of this process."""
        if self._made[0] != os.getpid():
            self._made = os.getpid(), threading.Lock()
        return self._made[1]
