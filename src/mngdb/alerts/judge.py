"""The expressions judged by us, on the samples of each round, with Prometheus' semantics.

https://prometheus.io/docs/prometheus/latest/querying/operators/ and …/functions/ say what each
operation does. A round is complete: a series that is not in it is gone, which is what Prometheus'
staleness marks do for a target that it scrapes.
"""

from __future__ import annotations

import math
import operator
from array import array
from collections.abc import Callable, Iterable, Mapping

from msgspec import Struct, field

from mngdb.alerts.expr import (
    Absent,
    Aggregate,
    Binary,
    Change,
    Combined,
    Expr,
    Number,
    Selector,
)
from mngdb.samples import Family

#: Label to value, in the order of the labels' names.
Labels = tuple[tuple[str, str], ...]
Vector = dict[Labels, float]


def _divide(left: float, right: float) -> float:
    if right:
        return left / right
    return math.nan if not left or math.isnan(left) else math.copysign(math.inf, left)


_ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _divide,
}
_COMPARISON: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}


class History(Struct):
    """The newest round of the metrics that are read, and of counters what windows need."""

    now: float = 0.0
    """Time of the newest round, in seconds since the epoch."""
    newest: dict[str, Vector] = field(default_factory=dict)
    _past: dict[str, dict[Labels, array[float]]] = field(default_factory=dict)

    def take(
        self, now: float, families: Iterable[Family], names: set[str], windows: Mapping[str, int]
    ) -> None:
        """Take a round: of the metrics `names`, and of those in `windows` (seconds) the past too.
        Nothing else is kept."""
        self.now = now
        self.newest = {}
        same: dict[Labels, Labels] = {}  # many metrics are about the same database
        for family in families:
            for sample in family.samples:
                if sample.name not in names:
                    continue
                # an empty label is no label
                own = tuple(sorted(pair for pair in sample.labels if pair[1]))
                labels = same.setdefault(own, own)
                self.newest.setdefault(sample.name, {})[labels] = sample.value
                if sample.name in windows and not math.isnan(sample.value):
                    series = self._past.setdefault(sample.name, {})
                    series.setdefault(labels, array("d")).extend((now, sample.value))
        for name, series in self._past.items():
            for labels, past in list(series.items()):
                while past and past[0] <= now - windows[name]:
                    del past[:2]
                if not past:
                    del series[labels]

    def past(self, name: str) -> Mapping[Labels, array[float]]:
        """Time and value in turn, of each series of a metric, as far back as its windows go: with
        hundreds of databases they are many."""
        return self._past.get(name, {})


def judge(expr: Expr, history: History) -> Vector:
    """The series that are left; none means that the condition does not hold."""
    found = _value(expr, history)
    if isinstance(found, float):
        raise TypeError("a number is no condition")
    return found


def _value(expr: Expr, history: History) -> Vector | float:
    match expr:
        case Number():
            return expr.value
        case Selector():
            series = history.newest.get(expr.name, {})
            return {labels: value for labels, value in series.items() if _fits(expr, labels)}
        case Change():
            return _grown(expr, history)
        case Absent():
            asked = tuple(sorted((m.label, m.value) for m in expr.of.matchers if m.operator == "="))
            return {} if _value(expr.of, history) else {asked: 1.0}
        case Aggregate():
            return _aggregate(expr, judge(expr.of, history))
        case Binary():
            return _binary(expr, _value(expr.left, history), _value(expr.right, history))
        case Combined():
            return _combined(expr, judge(expr.left, history), judge(expr.right, history))
    raise TypeError(f"no way to judge {type(expr).__name__}")


def _fits(selector: Selector, labels: Labels) -> bool:
    found = dict(labels)
    return all(matcher.takes(found.get(matcher.label, "")) for matcher in selector.matchers)


def _grown(expr: Change, history: History) -> Vector:
    found = {}
    for labels, past in history.past(expr.of.name).items():
        if _fits(expr.of, labels):
            begin = history.now - expr.window
            points = [
                point for point in zip(past[::2], past[1::2], strict=True) if point[0] > begin
            ]
            if len(points) > 1:
                growth = _extrapolated(points, history.now, expr.window)
                found[labels] = growth / expr.window if expr.function == "rate" else growth
    return found


def _extrapolated(points: list[tuple[float, float]], now: float, window: float) -> float:
    """The growth over the whole window, from the samples in it, as Prometheus estimates it."""
    (first_at, first), (last_at, last) = points[0], points[-1]
    growth = last - first
    previous = first
    for _, value in points[1:]:
        if value < previous:
            growth += previous  # the counter began anew
        previous = value
    sampled = last_at - first_at
    average = sampled / (len(points) - 1)
    to_start, to_end = first_at - (now - window), now - last_at
    if to_start >= average * 1.1:
        to_start = average / 2
    if growth > 0 and first >= 0:
        to_start = min(to_start, sampled * first / growth)  # it was never below zero
    if to_end >= average * 1.1:
        to_end = average / 2
    return growth * (sampled + to_start + to_end) / sampled


def _aggregate(expr: Aggregate, vector: Vector) -> Vector:
    groups: dict[Labels, list[float]] = {}
    for labels, value in vector.items():
        groups.setdefault(_only(labels, expr.by), []).append(value)
    if expr.function == "sum":
        return {labels: sum(values) for labels, values in groups.items()}
    best = max if expr.function == "max" else min
    # NaN is below and above nothing: it counts only where there is nothing else
    return {
        labels: best((v for v in values if not math.isnan(v)), default=math.nan)
        for labels, values in groups.items()
    }


def _only(labels: Labels, names: tuple[str, ...]) -> Labels:
    return tuple((label, value) for label, value in labels if label in names)


def _binary(expr: Binary, left: Vector | float, right: Vector | float) -> Vector:
    pairs: Iterable[tuple[Labels, float, float]]
    kept_right = False
    if isinstance(left, dict) and isinstance(right, dict):
        pairs = [(labels, left[labels], right[labels]) for labels in left if labels in right]
    elif isinstance(left, dict) and isinstance(right, float):
        pairs = [(labels, value, right) for labels, value in left.items()]
    elif isinstance(left, float) and isinstance(right, dict):
        pairs = [(labels, left, value) for labels, value in right.items()]
        kept_right = True
    else:
        raise TypeError("two numbers are no condition")
    compute = _ARITHMETIC.get(expr.operator)
    if compute is not None:
        return {labels: compute(one, other) for labels, one, other in pairs}
    holds = _COMPARISON[expr.operator]
    return {
        labels: other if kept_right else one for labels, one, other in pairs if holds(one, other)
    }


def _combined(expr: Combined, left: Vector, right: Vector) -> Vector:
    def key(labels: Labels) -> Labels:
        return _only(labels, expr.on) if expr.on else labels

    if expr.operator == "or":
        return {**{k: v for k, v in right.items() if k not in left}, **left}
    known = {key(labels) for labels in right}
    wanted = expr.operator == "and"
    return {labels: value for labels, value in left.items() if (key(labels) in known) == wanted}
