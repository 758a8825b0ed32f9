"""Drivers are imported one after the other."""

from __future__ import annotations

from threading import RLock

#: Held while a driver is imported. Two threads that import at the same time hand the interpreter to
#: each other at every file: `status` of three engines took an eighth longer.
TURN = RLock()
