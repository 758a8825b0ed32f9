"""What goes wrong because a test said so."""

from __future__ import annotations

import random
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any

from tests.atlas.errors import AtlasError

#: Lists whose order means something.
_ORDERED = frozenset({"index", "slowQueries", "dataPoints", "predicates"})


@dataclass
class Fault:
    """For so many requests of an operation (a pattern of its name), after some that pass:

    - `status` with `code`, `detail` and `retry_after` (seconds): this answer, and no effect;
    - `drop`: the connection is cut `before` the effect or `after` it; with `kill`, a process is
      killed at that moment;
    - `slow`: seconds that the answer takes longer.
    """

    operation: str = "*"
    method: str = "*"
    times: int = 1
    skip: int = 0
    status: int = 0
    code: str = ""
    detail: str = ""
    retry_after: float | None = None
    drop: str = ""
    kill: int = 0
    slow: float = 0

    @property
    def refusal(self) -> AtlasError:
        """The answer."""
        code = self.code or {429: "RATE_LIMITED", 503: "SERVICE_UNAVAILABLE"}.get(
            self.status, "UNEXPECTED_ERROR"
        )
        return AtlasError(self.status, code, self.detail or "An error that a test asked for.")


class Faults:
    """Those that are still to come, first come first served."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []
        self._chance: random.Random | None = None

    def add(self, **fault: Any) -> None:
        """One more."""
        self._waiting.append(Fault(**fault))

    def clear(self) -> None:
        """None any more."""
        self._waiting.clear()
        self._chance = None

    def next(self, operation: str, method: str) -> Fault | None:
        """What goes wrong with this request."""
        for one in self._waiting:
            if fnmatch(operation, one.operation) and fnmatch(method, one.method):
                if one.skip:
                    one.skip -= 1
                    continue
                one.times -= 1
                if one.times == 0:
                    self._waiting.remove(one)
                return one
        return None

    def disorder(self, seed: int) -> None:
        """From now on lists come in any order, and documents with fields that nobody knows."""
        self._chance = random.Random(seed)

    def mix(self, node: Any, name: str = "") -> Any:
        """A document as it is sent."""
        if self._chance is None:
            return node
        if isinstance(node, dict):
            entries = [(key, self.mix(value, key)) for key, value in node.items()]
            if name != "keys":
                self._chance.shuffle(entries)
            return {**dict(entries), "newInAtlas": self._chance.choice([None, 0, "", []])}
        if isinstance(node, list) and name not in _ORDERED:
            mixed = [self.mix(one) for one in node]
            self._chance.shuffle(mixed)
            return mixed
        return node
