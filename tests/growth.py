"""Whether work grows with its size, and not faster. How many seconds it takes says more of the
machine, and of what else that does."""

from __future__ import annotations

import time
from collections.abc import Callable

#: Four times the size is four times the work; the square of it would be sixteen times.
_MOST = 10


def took(work: Callable[[], object]) -> float:
    """Seconds of this process' processor."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def grows_linearly(work: Callable[[int], object], size: int) -> None:
    """Fails where `work(4 * size)` takes far more than four times as long as `work(size)`, each
    time of three: other processes may have slowed one of them down."""
    pairs = []
    for _ in range(3):
        few, many = took(lambda: work(size)), took(lambda: work(4 * size))
        if many < _MOST * few:
            return
        pairs.append(f"{few:.3f} s and {many:.3f} s")
    raise AssertionError(f"{size} and {4 * size} took {', '.join(pairs)}")
