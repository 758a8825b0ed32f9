"""Measurements in the data model of Prometheus: what exporters serve and alerts judge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

#: A metric's type, as the exposition format names it.
Kind = Literal["gauge", "counter", "histogram", "summary", "untyped"]


class Sample(NamedTuple):
    """One value. Labels are in the order in which they are shown; units stand in the name."""

    name: str
    labels: tuple[tuple[str, str], ...]
    value: float


class Family(NamedTuple):
    """All samples of one metric."""

    name: str
    kind: Kind
    help: str
    samples: Sequence[Sample]
