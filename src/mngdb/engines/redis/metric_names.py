"""Fields of INFO and what redis_exporter makes of them: metric, type, divisor to its unit."""

from __future__ import annotations

from typing import Any, NamedTuple

from mngdb.data import values
from mngdb.samples import Kind


class Field(NamedTuple):
    """What a field of INFO becomes."""

    names: tuple[str, ...]
    kind: Kind
    divisor: float
    """Of its value, to the metric's unit."""


def _field(text: dict[Any, Any]) -> Field:
    divisor, before = float(text.pop("divisor", 1)), text.pop("before", None)
    ((kind, name),) = text.items()
    return Field((name, before) if before else (name,), kind, divisor)


FIELDS: dict[str, Field] = {k: _field(v) for k, v in values(__file__).items()}
