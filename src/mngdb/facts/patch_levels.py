"""The least safe patch level of each release line: which known security holes a version still has.

The table is data of one day (`AS_OF`): patch_levels.yaml.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from msgspec import Struct

from mngdb.data import texts
from mngdb.words import numbers

Settings = Mapping[str, str]


class Hole(Struct, frozen=True):
    """A known security hole. `gives` completes the sentence "by it, …"."""

    id: str
    gives: str
    login: bool
    """Whether one has to log in first."""
    fixed: Mapping[str, str]
    """Release line to the first version without it. Lines before the last one that is named and
    not named themselves have no fix; later ones never had the hole."""
    since: str = ""
    """The first release line that has it; empty: all."""
    closed: Callable[[Settings], bool] | None = None
    """Whether these settings of the server keep everybody from reaching it; None: none do."""


class Product(Struct, frozen=True):
    """A server program, its release lines and its holes."""

    parts: int
    """How many numbers of a version name the release line: 17.11 is of 17, 8.4.6 of 8.4."""
    ends: Mapping[str, date]
    """Release line to the last day on which it gets fixes, where that day is published."""
    holes: tuple[Hole, ...]


#: What the file calls a setting that closes a hole.
_CLOSED: Mapping[str, Callable[[Settings], bool]] = {
    # mongod's default: snappy,zstd,zlib
    "zlib": lambda found: "zlib" not in found.get("net.compression.compressors", "zlib"),
    "javascript": lambda found: found.get("security.javascriptEnabled") == "false",
    "tls": lambda found: found.get("tls-port", "0") == "0",
}


def _line(version: str, parts: int) -> str:
    return ".".join(map(str, numbers(version)[:parts]))


def _hole(text: Mapping[str, Any], parts: int) -> Hole:
    return Hole(
        text["id"],
        text["gives"],
        text["login"] == "true",
        {_line(version, parts): version for version in text["fixed"]},
        text.get("since", ""),
        _CLOSED[text["closed"]] if "closed" in text else None,
    )


def _product(text: Mapping[str, Any]) -> Product:
    parts = int(text["parts"])
    ends = {line: date.fromisoformat(day) for line, day in text.get("ends", {}).items()}
    return Product(parts, ends, tuple(_hole(hole, parts) for hole in text["holes"]))


_TABLE = texts(__file__)
#: The month up to which advisories were read.
AS_OF: str = _TABLE["as_of"]
#: By the name that people know the program by.
PRODUCTS: Mapping[str, Product] = {n: _product(text) for n, text in _TABLE["products"].items()}


def line_of(product: str, version: str) -> str:
    """The release line of a version."""
    return _line(version, PRODUCTS[product].parts)


def least_safe(product: str, line: str) -> str | None:
    """The first version of a release line without a known hole; None: there is no such version, or
    the line is not known."""
    found = []
    for hole in PRODUCTS[product].holes:
        if line in hole.fixed:
            found.append(hole.fixed[line])
        elif _affects(hole, line):
            return None
    return max(found, key=numbers) if found else None


def newer(product: str, found: str) -> str:
    """What follows from its holes: which version is the first without one, or that none is."""
    line = line_of(product, found)
    safe = least_safe(product, line)
    if safe is None:
        return f"lacks security fixes that the line {line} never got"
    return f"lacks the security fixes of {safe}"


def known(product: str, line: str) -> bool:
    """Whether the table has, or had to have, this release line: it is not newer than the table."""
    lines = {*PRODUCTS[product].ends, *(line for h in PRODUCTS[product].holes for line in h.fixed)}
    return numbers(line) <= max(map(numbers, lines))


def holes(product: str, version: str) -> tuple[Hole, ...]:
    """The known holes that a version has, reachable or not. A version that is not written in full
    (17) tells nothing, and has none; nor has a product that is not in the table."""
    if product not in PRODUCTS:
        return ()
    line = line_of(product, version)
    if numbers(line) == numbers(version):
        return ()
    return tuple(hole for hole in PRODUCTS[product].holes if _has(hole, line, version))


def reachable(product: str, version: str, settings: Callable[[], Settings]) -> tuple[Hole, ...]:
    """The known holes of a version that its settings do not close."""
    found = holes(product, version)
    given = settings() if any(hole.closed for hole in found) else {}
    return tuple(hole for hole in found if hole.closed is None or not hole.closed(given))


def _has(hole: Hole, line: str, version: str) -> bool:
    if line in hole.fixed:
        return numbers(version) < numbers(hole.fixed[line])
    return _affects(hole, line)


def _affects(hole: Hole, line: str) -> bool:
    """Whether a line that got no fix has the hole."""
    if hole.since and numbers(line) < numbers(hole.since):
        return False
    return numbers(line) < max(map(numbers, hole.fixed))
