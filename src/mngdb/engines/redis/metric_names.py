"""Fields of INFO and what redis_exporter makes of them: metric, type, divisor to its unit."""

from __future__ import annotations

from typing import Any

from mngdb.data import values
from mngdb.samples import Kind


def _field(text: dict[Any, Any]) -> tuple[str, Kind, float]:
    divisor = float(text.pop("divisor", 1))
    ((kind, name),) = text.items()
    return name, kind, divisor


FIELDS: dict[str, tuple[str, Kind, float]] = {k: _field(v) for k, v in values(__file__).items()}
