"""Measurements in the data model of Prometheus: what exporters serve and alerts judge."""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

#: A metric's type, as the exposition format names it.
Kind = Literal["gauge", "counter", "histogram", "summary", "untyped"]
#: Names and values of labels, in the order in which they are shown.
Labels = tuple[tuple[str, str], ...]


class Sample(NamedTuple):
    """One value. Units stand in the name."""

    name: str
    labels: Labels
    value: float


class Family(NamedTuple):
    """All samples of one metric."""

    name: str
    kind: Kind
    help: str
    samples: Sequence[Sample]


class Columns(NamedTuple):
    """Values of many things by many metrics, kept small: a row of labels for each thing, an array
    for each metric with a number for each thing, NaN where there is none."""

    labels: Sequence[Labels] = ()
    values: Sequence[array[float]] = ()


def families(
    metrics: Sequence[tuple[str, Kind, str]], tables: Sequence[Columns]
) -> Iterator[Family]:
    """A family for each metric (name, kind, help), of all `tables`, one at a time."""
    for number, (name, kind, text) in enumerate(metrics):
        samples = [
            Sample(name, labels, value)
            for table in tables
            if table.values
            for labels, value in zip(table.labels, table.values[number], strict=True)
            if value == value
        ]
        yield Family(name, kind, text, samples)


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
    pairs = tuple(labels.items())  # the same objects for all: alerts keep thousands of samples
    for family in families:
        samples = []
        for name, own, value in family.samples:
            said = {label for label, _ in own}
            more = (label for label in pairs if label[0] not in said)
            samples.append(Sample(name, (*own, *more), value))
        yield family._replace(samples=samples)


def exposition(families: Iterable[Family]) -> Iterator[str]:
    """The text that Prometheus scrapes, version 0.0.4, a piece for each family: with thousands of
    tables the whole is large. Families without samples are left out.

    https://prometheus.io/docs/instrumenting/exposition_formats/
    """
    # a page has many samples of one table or database; between pages it is given up
    shown: dict[Labels, str] = {(): ""}
    for name, kind, text, samples in families:
        if not samples:
            continue
        lines = [f"# HELP {name} {_helped(text)}\n# TYPE {name} {kind}\n"]
        for sample, labels, value in samples:
            label = shown.get(labels)
            if label is None:
                if len(shown) >= _SHOWN:
                    shown.clear()
                label = shown[labels] = _labels(labels)
            # repr is the shortest text that reads back as the same number
            number = repr(value) if -_HUGE < value < _HUGE else _extreme(value)
            lines.append(f"{sample}{label} {number}\n")
        yield "".join(lines)


#: Labels of so many things are kept as text while a page is made.
_SHOWN = 1024
#: Beyond it there are only infinities; comparing with it tells NaN as well.
_HUGE = 1.8e308


def _extreme(value: float) -> str:
    return "NaN" if value != value else "+Inf" if value > 0 else "-Inf"


def _helped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
