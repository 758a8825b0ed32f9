"""What is known of an instance's backups."""

from __future__ import annotations

from msgspec import Struct


class Proved(Struct, frozen=True):
    """The drills of one instance. All in seconds."""

    age: float | None
    """Since the last one that passed; None: none ever did."""
    rto: float
    """What it took."""
    failed: str
    """Why the last one failed; empty: it passed, or there was none."""
    every: float
    """How old it may be."""
    limit: float
    """How long a restore may take."""
