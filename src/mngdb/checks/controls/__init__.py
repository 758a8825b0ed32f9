"""Control lists as data: the boxes of the guide, KISA's items, ISMS-P, CIS. Each item names the
checks that judge it; an item without checks says why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

from msgspec import Struct, convert

from mngdb.data import texts

#: The guide's list: its checks name it as a whole, without the box.
CHECKLIST = "guide: checklist"


class Item(Struct, frozen=True):
    """One control. Titles and notes by language."""

    id: str
    title: Mapping[str, str]
    checks: tuple[str, ...] = ()
    """Ids of checks, or `*.` and what follows the engine."""
    note: Mapping[str, str] = {}
    """What a reader has to know, above all where there are no checks."""

    def has(self, check: str) -> bool:
        """Whether a check is one of the item's."""
        return any(fnmatchcase(check, pattern) for pattern in self.checks)


class ControlList(Struct, frozen=True):
    """A list of controls."""

    name: str
    title: Mapping[str, str]
    items: tuple[Item, ...]
    sources: Mapping[str, str] = {}
    """Beginnings of sources that checks have themselves, to what the ids of their items begin
    with: such a list has no items of its own."""

    def under(self, source: str) -> str:
        """The id of the item that a check's own source is; empty: of none."""
        for begin, head in self.sources.items():
            if source.startswith(begin):
                return f"{head} {source.removeprefix(begin)}"
        return ""


@cache
def lists() -> Mapping[str, ControlList]:
    """All lists, by name."""
    files = sorted(Path(__file__).parent.glob("*.yaml"))
    found = [convert(texts(str(file)), ControlList) for file in files]
    return {one.name: one for one in found}


def sources(check: str, own: Sequence[str]) -> tuple[str, ...]:
    """The sources of a check, with those of the lists that name it: `kisa: D-01`."""
    exact, by_ending = _index()
    found = dict.fromkeys(own)
    found |= dict.fromkeys(exact.get(check, ()))
    found |= dict.fromkeys(by_ending.get(check.partition(".")[2], ()))
    for one in lists().values():
        items = filter(None, map(one.under, own))
        found |= dict.fromkeys(f"{one.name}: {item}" for item in items)
    return tuple(found)


@cache
def _index() -> tuple[Mapping[str, list[str]], Mapping[str, list[str]]]:
    """Sources by the whole id of a check, and by what follows the engine in it."""
    exact: dict[str, list[str]] = {}
    by_ending: dict[str, list[str]] = {}
    for name, pattern, item in _patterns():
        source = name if name == CHECKLIST else f"{name}: {item}"
        ending = pattern.removeprefix("*.")
        (exact if ending == pattern else by_ending).setdefault(ending, []).append(source)
    return exact, by_ending


def _patterns() -> Iterator[tuple[str, str, str]]:
    for one in lists().values():
        for item in one.items:
            for pattern in item.checks:
                yield one.name, pattern, item.id
