"""Conditions of alerts as a small tree: rendered to PromQL here, judged in `judge`.

As little of PromQL as the rules need. A comparison filters: what is left of a vector fires.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

Arithmetic = Literal["+", "-", "*", "/"]
Comparison = Literal[">", "<", ">=", "<=", "==", "!="]
SetOperation = Literal["and", "or", "unless"]


class Expr(Struct, frozen=True):
    """A vector or a number. Operators make trees, as in PromQL; `equals` is its `==`."""

    def promql(self) -> str:
        """The expression as Prometheus reads it."""
        raise NotImplementedError

    def _parts(self) -> Iterator[Expr]:
        """The expressions directly below."""
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, Expr):
                yield value

    def walk(self) -> Iterator[Expr]:
        """This expression and everything below it."""
        yield self
        for part in self._parts():
            yield from part.walk()

    def __add__(self, other: Expr | float) -> Expr:
        return Binary("+", self, _expr(other))

    def __sub__(self, other: Expr | float) -> Expr:
        return Binary("-", self, _expr(other))

    def __rsub__(self, other: float) -> Expr:
        return Binary("-", _expr(other), self)

    def __mul__(self, other: Expr | float) -> Expr:
        return Binary("*", self, _expr(other))

    def __truediv__(self, other: Expr | float) -> Expr:
        return Binary("/", self, _expr(other))

    def __gt__(self, other: Expr | float) -> Expr:
        return Binary(">", self, _expr(other))

    def __lt__(self, other: Expr | float) -> Expr:
        return Binary("<", self, _expr(other))

    def equals(self, other: float) -> Expr:
        """Where the value is this one."""
        return Binary("==", self, _expr(other))

    def differs(self, other: float) -> Expr:
        """Where the value is not this one."""
        return Binary("!=", self, _expr(other))

    def where(self, other: Expr, *on: str) -> Expr:
        """This, where the other has something with the same labels (or the same `on`)."""
        return Combined("and", self, other, on)

    def unless(self, other: Expr, *on: str) -> Expr:
        """This, where the other has nothing with the same labels (or the same `on`)."""
        return Combined("unless", self, other, on)

    def otherwise(self, other: Expr) -> Expr:
        """This, and of the other what has labels that are not here."""
        return Combined("or", self, other, ())


class Number(Expr, frozen=True):
    """A constant."""

    value: float

    def promql(self) -> str:
        return f"{self.value:.15g}"


class Matcher(Struct, frozen=True):
    """A condition on a label. `=~` and `!~` take words with `|` between them, nothing more."""

    label: str
    operator: Literal["=", "!=", "=~", "!~"]
    value: str

    def takes(self, value: str) -> bool:
        """Whether a label's value fits; a label that is missing is empty."""
        words = self.value.split("|") if self.operator in ("=~", "!~") else [self.value]
        return (value in words) == (self.operator in ("=", "=~"))

    def promql(self) -> str:
        """As Prometheus reads it."""
        # "idle in transaction (aborted)" is a word of PostgreSQL's
        value = re.sub(r"[()]", r"\\\g<0>", self.value) if "~" in self.operator else self.value
        return f"{self.label}{self.operator}{json.dumps(value, ensure_ascii=False)}"


class Selector(Expr, frozen=True):
    """The newest value of each series of one metric."""

    name: str
    matchers: tuple[Matcher, ...] = ()

    def promql(self) -> str:
        inside = ",".join(matcher.promql() for matcher in self.matchers)
        return f"{self.name}{{{inside}}}" if inside else self.name


class Change(Expr, frozen=True):
    """How a counter grew in the last `window` seconds: per second (`rate`) or in all."""

    function: Literal["rate", "increase"]
    of: Selector
    window: int

    def promql(self) -> str:
        return f"{self.function}({self.of.promql()}[{duration(self.window)}])"


class Absent(Expr, frozen=True):
    """1, with the labels asked for, where there is no such series."""

    of: Selector

    def promql(self) -> str:
        return f"absent({self.of.promql()})"


class Aggregate(Expr, frozen=True):
    """One value for each combination of the labels `by`."""

    function: Literal["sum", "max", "min"]
    of: Expr
    by: tuple[str, ...]

    def promql(self) -> str:
        return f"{self.function} by ({', '.join(self.by)}) ({self.of.promql()})"


class Binary(Expr, frozen=True):
    """Arithmetic or a comparison, between series with the same labels or with a number."""

    operator: Arithmetic | Comparison
    left: Expr
    right: Expr

    def promql(self) -> str:
        return f"{_inner(self.left)} {self.operator} {_inner(self.right)}"


class Combined(Expr, frozen=True):
    """Series of the left, chosen by whether the right has such labels; `or` adds the right's."""

    operator: SetOperation
    left: Expr
    right: Expr
    on: tuple[str, ...]

    def promql(self) -> str:
        on = f" on ({', '.join(self.on)})" if self.on else ""
        return f"{_inner(self.left)} {self.operator}{on} {_inner(self.right)}"


def metric(name: str, **labels: str) -> Selector:
    """The series of a metric with these labels. A value that begins with `!` must not be; words
    with `|` between them are alternatives."""
    return Selector(name, tuple(_matcher(label, value) for label, value in labels.items()))


def rate(of: Selector, window: int) -> Expr:
    """Growth per second over the last `window` seconds."""
    return Change("rate", of, window)


def increase(of: Selector, window: int) -> Expr:
    """Growth over the last `window` seconds."""
    return Change("increase", of, window)


def total(of: Expr, *by: str) -> Expr:
    """The sum by labels."""
    return Aggregate("sum", of, by)


def highest(of: Expr, *by: str) -> Expr:
    """The maximum by labels."""
    return Aggregate("max", of, by)


def lowest(of: Expr, *by: str) -> Expr:
    """The minimum by labels."""
    return Aggregate("min", of, by)


def narrowed(expr: Expr, label: str, value: str) -> Expr:
    """The same of series with this label alone."""
    if isinstance(expr, Selector):
        return replace(expr, matchers=(*expr.matchers, Matcher(label, "=", value)))
    parts = {name: getattr(expr, name) for name in expr.__struct_fields__}
    found = {n: narrowed(p, label, value) for n, p in parts.items() if isinstance(p, Expr)}
    return replace(expr, **found)


def metrics(expr: Expr) -> set[str]:
    """The names of the metrics that an expression reads."""
    return {part.name for part in expr.walk() if isinstance(part, Selector)}


def window(expr: Expr) -> int:
    """The longest window of an expression in seconds; 0 when it looks at one moment only."""
    return max((part.window for part in expr.walk() if isinstance(part, Change)), default=0)


def duration(seconds: int) -> str:
    """Seconds as Prometheus writes them."""
    for size, letter in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{letter}"
    return f"{seconds}s"


def _matcher(label: str, value: str) -> Matcher:
    wanted = value.removeprefix("!")
    several = "|" in wanted
    if value.startswith("!"):
        return Matcher(label, "!~" if several else "!=", wanted)
    return Matcher(label, "=~" if several else "=", wanted)


def _expr(value: Expr | float) -> Expr:
    return value if isinstance(value, Expr) else Number(float(value))


def _inner(expr: Expr) -> str:
    text = expr.promql()
    return f"({text})" if isinstance(expr, Binary | Combined) else text
