"""`just bench`: runs everything and writes the table into benchmarks/README.md."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

from tests.conftest import pytest_report_header

from benchmarks import cold_up, commands, keys, many_apps, scrape
from benchmarks.common import machine

_TEXT = """\
# Benchmarks

`just bench` runs them and writes this page. Each row compares mngdb with what a user would do
instead, on the same machine in the same run; figures are medians, the ratio is what counts.

{when}, on {machine}. Servers: {servers}.

| what | mngdb | instead | ratio | asked for | met |
|---|---|---|---|---|---|
{rows}

How each is measured stands in the modules beside this page: `cold_up.py` (the bare start is
`initdb`, start and first answer of the three servers in parallel, without users, rights or a
replica set), `commands.py`, `many_apps.py`, `scrape.py` (the exporters are Debian trixie's, and
Percona's 0.43.1; both sides log in as `monitor` and are scraped in turns), `keys.py`.
"""


def main() -> None:
    """Run every benchmark."""
    rows = []
    for module in (cold_up, commands, many_apps, scrape, keys):
        for row in module.rows():
            print(row.markdown(), file=sys.stderr, flush=True)
            rows.append(row)
    servers = ", ".join(pytest_report_header()[1:])
    page = _TEXT.format(
        when=f"{datetime.now(UTC):%Y-%m-%d}",
        machine=machine(),
        servers=servers,
        rows="\n".join(row.markdown() for row in rows),
    )
    (Path(__file__).parent / "README.md").write_text(page)


main()
