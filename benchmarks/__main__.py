"""`just bench`: runs everything and writes benchmarks/README.md; `python -m benchmarks check` runs
what is named and writes its part anew."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

from tests.conftest import pytest_report_header

from benchmarks import (
    backup,
    check,
    client,
    cold_up,
    commands,
    hardening,
    keys,
    many_apps,
    rotation,
    scrape,
)
from benchmarks.common import Row, machine

_MODULES = {
    module.__name__.rpartition(".")[2]: module
    for module in (
        *(cold_up, commands, hardening, check, many_apps),
        *(rotation, scrape, keys, client, backup),
    )
}
#: It wants a disk: a file system in memory has no room for it.
_LARGE = "backup"
_ENGINES = ("postgres: ", "redis: ", "mongodb: ")
_PAGE = Path(__file__).parent / "README.md"
_TEXT = """\
# Benchmarks

`just bench` runs them and writes this page; `python -m benchmarks check` writes one part anew. Each
row compares mngdb with what a user would do instead, on the same machine in the same run; figures
are medians, the ratio is what counts. How each is measured stands in the modules beside this page.
"""
_HEAD = """\
| what | mngdb | instead | ratio | asked for | met |
|---|---|---|---|---|---|
"""


def main(names: list[str]) -> None:
    """Run these benchmarks; without names all but `backup`."""
    unknown = [name for name in names if name not in _MODULES]
    if unknown:
        sys.exit(f"no benchmark is called {unknown[0]!r}; there are: {', '.join(_MODULES)}")
    parts = _parts(_PAGE.read_text()) if _PAGE.exists() else {}
    for name in names or [one for one in _MODULES if one != _LARGE]:
        begun = os.getloadavg()[0]
        parts[name] = _part(_MODULES[name], _told(_MODULES[name].rows()), begun)
    shown = (f"## {name}\n\n{parts[name]}\n" for name in _MODULES if name in parts)
    _PAGE.write_text("\n".join([_TEXT, *shown]))


def _told(rows: Iterator[Row]) -> Iterator[str]:
    for row in rows:
        print(row.markdown(), file=sys.stderr, flush=True)
        yield row.markdown()


def _part(module: ModuleType, rows: Iterator[str], load: float) -> str:
    table = _HEAD + "\n".join(rows)
    servers = ", ".join(line for line in pytest_report_header() if line.startswith(_ENGINES))
    where = f"{datetime.now(UTC):%Y-%m-%d}, {machine()}, load {load:.1f} before. {servers}."
    return f"{(module.__doc__ or '').strip()}\n\n{table}\n\n{where}"


def _parts(page: str) -> dict[str, str]:
    """Name to what stands under its heading."""
    found = re.split(r"^## (\w+)\n", page, flags=re.MULTILINE)[1:]
    return {name: text.strip() for name, text in zip(found[::2], found[1::2], strict=True)}


main(sys.argv[1:])
