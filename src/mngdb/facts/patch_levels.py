"""The least safe patch level of each release line: which known security holes a version still has.

The table is data of one day (`AS_OF`) and is renewed with each release of mngdb. Sources, by the
advisory's number: postgresql.org/support/security, the release notes and advisories of Redis and
Valkey, MongoDB's release notes, and the CVE records of all four. Where a source gives a range, the
later version stands here. A hole that needs no login, or by which a login becomes the server's own
account, is listed; crashes that need a login are not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date

from mngdb.words import numbers

#: The month up to which advisories were read.
AS_OF = "2026-11"

Settings = Mapping[str, str]


@dataclass(frozen=True)
class Hole:
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


@dataclass(frozen=True)
class Product:
    """A server program, its release lines and its holes."""

    parts: int
    """How many numbers of a version name the release line: 17.11 is of 17, 8.4.6 of 8.4."""
    ends: Mapping[str, date]
    """Release line to the last day on which it gets fixes, where that day is published."""
    holes: tuple[Hole, ...]


def _without_zlib(settings: Settings) -> bool:
    # mongod's default: snappy,zstd,zlib
    return "zlib" not in settings.get("net.compression.compressors", "zlib")


def _without_javascript(settings: Settings) -> bool:
    return settings.get("security.javascriptEnabled") == "false"


def _without_tls(settings: Settings) -> bool:
    return settings.get("tls-port", "0") == "0"


_CODE = "any login can run code as the server's account"

#: By the name that people know the program by.
PRODUCTS: Mapping[str, Product] = {
    "PostgreSQL": Product(
        1,
        # https://www.postgresql.org/support/versioning/
        {
            "13": date(2025, 11, 13),
            "14": date(2026, 11, 12),
            "15": date(2027, 11, 11),
            "16": date(2028, 11, 9),
            "17": date(2029, 11, 8),
            "18": date(2030, 11, 14),
        },
        (
            # re-creation of a cursor with other types
            Hole(
                "CVE-2026-16239",
                _CODE,
                True,
                {"14": "14.24", "15": "15.19", "16": "16.15", "17": "17.11", "18": "18.6"},
            ),
            # length of multibyte characters
            Hole(
                "CVE-2026-2006",
                _CODE,
                True,
                {"14": "14.21", "15": "15.16", "16": "16.12", "17": "17.8", "18": "18.2"},
            ),
        ),
    ),
    "Redis": Product(
        2,
        {},
        (
            # use after free among connections with pending TLS data
            Hole(
                "CVE-2026-81934",
                "anybody who reaches its TLS port may run code as the server's account",
                False,
                {
                    **{"6.2": "6.2.24", "7.2": "7.2.16", "7.4": "7.4.11", "8.2": "8.2.9"},
                    **{"8.4": "8.4.6", "8.6": "8.6.6", "8.8": "8.8.2", "8.10": "8.10.1"},
                },
                closed=_without_tls,
            ),
            # use after free of a client that is unblocked; CVE-2026-25243 and -23631 went with it
            Hole(
                "CVE-2026-23479",
                _CODE,
                True,
                {
                    **{"6.2": "6.2.22", "7.2": "7.2.14", "7.4": "7.4.9", "8.2": "8.2.6"},
                    **{"8.4": "8.4.3", "8.6": "8.6.3"},
                },
            ),
            Hole(
                "CVE-2025-67733",
                "a script can put replies of its own into a connection that others use",
                True,
                {
                    **{"6.2": "6.2.21", "7.2": "7.2.13", "7.4": "7.4.8", "8.0": "8.0.6"},
                    **{"8.2": "8.2.5", "8.4": "8.4.2"},
                },
            ),
            # use after free in Lua
            Hole(
                "CVE-2025-49844",
                _CODE,
                True,
                {
                    **{"6.2": "6.2.20", "7.2": "7.2.11", "7.4": "7.4.6", "8.0": "8.0.4"},
                    **{"8.2": "8.2.2"},
                },
            ),
        ),
    ),
    "Valkey": Product(
        2,
        {},
        (
            # use after free of the Lua interpreter, by the script debugger
            Hole(
                "GHSA-fq2f-crmw-q97r",
                "anybody who reaches its port may crash it or worse",
                False,
                {"9.1": "9.1.2"},
                since="9.1",
            ),
            # RESTORE of a stream
            Hole(
                "CVE-2026-63639",
                _CODE,
                True,
                {
                    **{"7.2": "7.2.14", "8.0": "8.0.10", "8.1": "8.1.9", "9.0": "9.0.5"},
                    **{"9.1": "9.1.1"},
                },
            ),
            Hole(
                "CVE-2025-67733",
                "a script can put replies of its own into a connection that others use",
                True,
                {"7.2": "7.2.12", "8.0": "8.0.7", "8.1": "8.1.6", "9.0": "9.0.3"},
            ),
        ),
    ),
    "MongoDB": Product(
        2,
        # https://www.mongodb.com/legal/support-policy/lifecycles
        {
            "4.4": date(2024, 2, 29),
            "5.0": date(2024, 10, 31),
            "6.0": date(2025, 7, 31),
            "7.0": date(2027, 8, 31),
            "8.0": date(2029, 10, 31),
        },
        (
            # use after free while a primary catches up
            Hole(
                "CVE-2026-118383",
                "anybody who reaches its port may crash it or worse",
                False,
                {
                    **{"4.4": "4.4.32", "5.0": "5.0.35", "6.0": "6.0.30", "7.0": "7.0.48"},
                    **{"8.0": "8.0.37", "8.3": "8.3.16", "9.0": "9.0.7"},
                },
            ),
            # use after free in server-side JavaScript
            Hole(
                "CVE-2026-11933",
                "a login that may run JavaScript reads the server's memory",
                True,
                {
                    **{"4.4": "4.4.31", "5.0": "5.0.34", "6.0": "6.0.29", "7.0": "7.0.37"},
                    **{"8.0": "8.0.26", "8.2": "8.2.11", "8.3": "8.3.4"},
                },
                closed=_without_javascript,
            ),
            # "mongobleed": lengths in messages that zlib compressed
            Hole(
                "CVE-2025-14847",
                "anybody who reaches its port reads the server's memory",
                False,
                {
                    **{"4.4": "4.4.30", "5.0": "5.0.32", "6.0": "6.0.27", "7.0": "7.0.28"},
                    **{"8.0": "8.0.17", "8.2": "8.2.3"},
                },
                closed=_without_zlib,
            ),
        ),
    ),
}


def line_of(product: str, version: str) -> str:
    """The release line of a version."""
    return ".".join(map(str, numbers(version)[: PRODUCTS[product].parts]))


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
