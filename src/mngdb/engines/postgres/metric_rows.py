"""Rows of answers, as they are kept from scrape to scrape."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from math import nan

from mngdb.engines.postgres.batch import Refusal, Rows
from mngdb.samples import Columns

#: Asked before and after what is dear.
CLOCK = "SELECT extract(epoch FROM clock_timestamp())"


def between(before: Rows | Refusal, after: Rows | Refusal) -> float:
    """Seconds of the server between two answers to `CLOCK`."""
    if isinstance(before, Refusal) or isinstance(after, Refusal):
        return 0.0
    (begun,), (done,) = before.column(0), after.column(0)
    return float(done or 0) - float(begun or 0)


def text(value: bytes | None) -> str:
    """A label. What is no UTF-8 is replaced."""
    return value.decode(errors="replace") if value is not None else ""


def columns(rows: Rows, labels: Sequence[str], count: int, first: int = 0) -> Columns:
    """Rows whose columns are labels, from `first` on, and then `count` numbers. What is kept is a
    fifth of the rows themselves."""
    same: dict[tuple[str, str], tuple[str, str]] = {}  # thousands of tables, a few schemas
    order = sorted(enumerate(labels, first), key=lambda one: one[1])
    found = []
    for row in rows:
        pairs = ((label, text(row[column])) for column, label in order)
        found.append(tuple(same.setdefault(pair, pair) for pair in pairs))
    begin = first + len(labels)
    return Columns(
        found,
        [
            array("d", (nan if value is None else float(value) for value in rows.column(column)))
            for column in range(begin, begin + count)
        ],
    )
