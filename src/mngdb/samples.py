"""Measurements in the data model of Prometheus: what exporters serve and alerts judge."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
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


class Ration:
    """Lets a dear question be asked only so often that it takes `share` of a server's core."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._from = 0.0

    @property
    def due(self) -> bool:
        """Whether it may be asked again."""
        return time.monotonic() >= self._from

    def spend(self, seconds: float) -> None:
        """The question has taken the server so long."""
        self.wait(seconds / self._share)

    def wait(self, seconds: float) -> None:
        """Do not ask for so long."""
        self._from = time.monotonic() + seconds


def labelled(families: Iterable[Family], **labels: str) -> Iterator[Family]:
    """The families with the labels that a scrape adds. What a sample says itself counts: mngdb's
    own metrics name the instance that they are about."""
    for family in families:
        samples = []
        for name, own, value in family.samples:
            said = {label for label, _ in own}
            more = (label for label in labels.items() if label[0] not in said)
            samples.append(Sample(name, (*own, *more), value))
        yield family._replace(samples=samples)


def exposition(families: Iterable[Family]) -> Iterator[str]:
    """The text that Prometheus scrapes, version 0.0.4, a piece for each family: with thousands of
    tables the whole is large. Families without samples are left out.

    https://prometheus.io/docs/instrumenting/exposition_formats/
    """
    for name, kind, text, samples in families:
        if not samples:
            continue
        lines = [_head(name, kind, text)]
        for sample, labels, value in samples:
            shown = _labels(labels) if labels else ""
            # repr is the shortest text that reads back as the same number
            number = repr(value) if -_HUGE < value < _HUGE else _extreme(value)
            lines.append(f"{sample}{shown} {number}\n")
        yield "".join(lines)


#: Beyond it there are only infinities; comparing with it tells NaN as well.
_HUGE = 1.8e308


def _extreme(value: float) -> str:
    return "NaN" if value != value else "+Inf" if value > 0 else "-Inf"


@lru_cache(maxsize=8192)
def _head(name: str, kind: Kind, text: str) -> str:
    shown = text.replace("\\", r"\\").replace("\n", r"\n")
    return f"# HELP {name} {shown}\n# TYPE {name} {kind}\n"


@lru_cache(maxsize=32768)
def _labels(labels: tuple[tuple[str, str], ...]) -> str:
    """A scrape has many samples of one table or database; the next scrape has the same again."""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
