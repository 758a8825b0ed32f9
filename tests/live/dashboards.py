"""Which metrics of public dashboards the agent serves: tests/data/metrics has the dashboards' names
and the reasons of those that are not served."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from tests.conftest import ROOT

_DATA = ROOT / "tests/data/metrics"
_ENGINES = {"pg": "postgres", "redis": "redis", "mongodb": "mongodb"}
#: Shares of an engine's names that have to be served, or have their reason.
ASKED = {"postgres": 1.0, "redis": 1.0, "mongodb": 0.95}


@dataclass(frozen=True)
class Reason:
    """Why names are not on a page."""

    why: str
    names: tuple[str, ...]
    served: bool
    """Whether they are there as soon as there is what they tell of."""

    def holds(self, name: str) -> bool:
        """Whether it is about this name."""
        return any(
            name.startswith(one[:-1]) if one.endswith("*") else name == one for one in self.names
        )


@dataclass(frozen=True)
class Line:
    """One dashboard, or all of an engine."""

    title: str
    names: tuple[str, ...]
    there: tuple[str, ...]
    excused: Mapping[str, Reason]

    @property
    def missing(self) -> tuple[str, ...]:
        """Names that are neither there nor excused."""
        known = {*self.there, *self.excused}
        return tuple(name for name in self.names if name not in known)

    @property
    def share(self) -> float:
        """Of its names, those that are there or have a reason."""
        return 1 - len(self.missing) / len(self.names)

    def markdown(self) -> str:
        """A row of the table."""
        later = sum(reason.served for reason in self.excused.values())
        cells = (
            self.title, len(self.names), len(self.there), later, len(self.excused) - later,
            ", ".join(self.missing) or "–", f"{self.share:.0%}",
        )  # fmt: skip
        return "| " + " | ".join(map(str, cells)) + " |"


HEAD = """\
| dashboard | names | served | served when there is such a thing | with a reason | missing | share |
|---|---|---|---|---|---|---|"""


def dashboards() -> dict[str, list[str]]:
    """Title to the names that it plots."""
    found: dict[str, list[str]] = {}
    title = ""
    for line in (_DATA / "dashboards.txt").read_text().splitlines():
        if line.startswith("["):
            title = line.strip("[]")
        elif line and not line.startswith("#"):
            found.setdefault(title, []).append(line)
    return found


def reasons() -> dict[str, list[Reason]]:
    """Engine to why some names are not served."""
    read: dict[str, list[dict[str, Any]]] = yaml.safe_load((_DATA / "absent.yaml").read_text())
    return {
        engine: [Reason(one["why"], tuple(one["names"]), one.get("served", False)) for one in every]
        for engine, every in read.items()
    }


def engine_of(name: str) -> str:
    """The engine that a metric is about."""
    return _ENGINES[name.partition("_")[0]]


def of_engine(engine: str) -> list[str]:
    """All names of it that any dashboard plots."""
    every = (name for names in dashboards().values() for name in names)
    return sorted({name for name in every if engine_of(name) == engine})


def line(title: str, names: Iterable[str], served: frozenset[str]) -> Line:
    """How many of `names` are among those that are served."""
    every = reasons()
    wanted = tuple(names)
    excused = {
        name: reason
        for name in wanted
        if name not in served
        for reason in every[engine_of(name)]
        if reason.holds(name)
    }
    return Line(title, wanted, tuple(name for name in wanted if name in served), excused)


def table(served: frozenset[str]) -> str:
    """A row for each dashboard, for each engine, and the reasons."""
    lines = [HEAD]
    lines += [line(title, names, served).markdown() for title, names in dashboards().items()]
    for engine in ASKED:
        lines.append(line(f"all of {engine}", of_engine(engine), served).markdown())
    lines += ["", "Not served:", ""]
    for engine, every in reasons().items():
        lines += [f"- {engine}: {', '.join(one.names)}: {one.why}" for one in every]
    return "\n".join(lines)
