"""The older names of metrics, which the exporter has with `--compatible-mode`."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from msgspec import Struct, convert

from mngdb.data import values
from mngdb.samples import Family, Labels, Sample

_PREFIX = "mongodb_"


class _Rule(Struct, frozen=True):
    """How labels change with a name: see metric_names.yaml."""

    labels: dict[str, str] = {}
    values: dict[str, str] = {}
    only: dict[str, str] = {}

    def of(self, labels: Labels) -> Labels:
        """The labels under the older name."""
        if self.only:
            return tuple(self.only.items())
        if not (self.labels or self.values):
            return labels
        return tuple(
            (self.labels.get(name, name), self.values.get(value, value)) for name, value in labels
        )


@lru_cache(maxsize=1)
def _rules() -> dict[str, dict[str, _Rule]]:
    found = convert(values(__file__), dict[str, dict[str, _Rule]])
    return {
        _PREFIX + name: {_PREFIX + old: rule for old, rule in rules.items()}
        for name, rules in found.items()
    }


def older(name: str) -> tuple[str, ...]:
    """The older names of a metric."""
    return tuple(_rules().get(name, ()))


def compatible(families: Iterable[Family]) -> list[Family]:
    """The same numbers under their older names; several metrics may be one of these."""
    found: dict[str, Family] = {}
    for family in families:
        for old, rule in _rules().get(family.name, {}).items():
            samples = [Sample(old, rule.of(one.labels), one.value) for one in family.samples]
            before = found.get(old)
            if before:
                # some servers tell the same in two places
                told = {one.labels for one in before.samples}
                samples = [*before.samples, *(one for one in samples if one.labels not in told)]
            found[old] = Family(old, family.kind, family.help, samples)
    return list(found.values())
